"""The controls of the page and where they stand: what people move, and no more."""

import html
from pathlib import Path

import ipywidgets as widgets

from .. import modelfiles
from ..errors import InputError
from ..images.resolution import MPP, PLAUSIBLE
from ..scores import KEY_SCORES
from . import picture
from .access import Access
from .work import EXAMPLES

# The second line of colours is for a dark theme of JupyterLab.
STYLE = """<style>
.nuclei-page { max-width: 1200px; padding: 0 3px }
.nuclei-page { --text: #111; --accent: #00507e; --wrong: #8a1c00 }
[data-jp-theme-light=false] .nuclei-page { --text: #eee; --accent: #7cc4f5; --wrong: #ff9e80 }
.nuclei-page, .nuclei-page .bqplot { color: var(--text) }
.nuclei-page .widget-label { width: auto; min-width: 10em; color: var(--text) }
.nuclei-page .widget-button { width: auto; max-width: 100%; align-self: flex-start }
.nuclei-page .widget-readout { box-shadow: none }
.nuclei-page .range { flex-wrap: wrap; height: auto }
.nuclei-page .range .widget-label { flex: 1 0 100%; text-align: left }
.nuclei-page .range .widget-readout { min-width: 7.5em }
.nuclei-page .noUi-handle::after { inset: -8px; width: auto; height: auto; background: none }
.nuclei-page .noUi-handle::after { content: "" } /* a finger needs more than the handle */
.nuclei-page p { margin: .4em 0; line-height: 1.5; overflow-wrap: anywhere }
.nuclei-page .leaflet-image-layer { image-rendering: pixelated }
.nuclei-page .status p:first-child { margin-top: 0 }
.nuclei-page progress { display: block; width: 100%; accent-color: var(--accent) }
.nuclei-page .measures tbody { display: flex; flex-flow: row wrap; gap: 0 1.2em }
.nuclei-page .downloads a { display: inline-block; margin-right: 1.2em; color: var(--accent) }
.nuclei-page .problem { color: var(--wrong); font-weight: bold }
@media (max-width: 680px) { /* one column: what is said of a file stands below the field for it */
  .nuclei-page .columns { flex-flow: column nowrap !important; align-items: stretch !important }
  .nuclei-page .columns > .widget-vbox { display: contents }
  .nuclei-page .nuclei-upload { order: -2 }
  .nuclei-page :is(.status, .bar) { order: -1 }
}
.nuclei-page .jupyter-widgets :focus-visible { outline: 3px solid var(--accent) !important }
</style>"""

ROW = {"display": "flex", "flex_flow": "row wrap", "grid_gap": "0 24px"}
WIDE = {"style": {"description_width": "initial"}, "layout": {"width": "auto"}}


class Controls:
    """The widgets of one page.

    Parameters
    ----------
    model : str
        What is chosen first, as for `modelfiles.members`; offered with the models of `models/`.
    threshold, min_score : float
        Where the sliders stand first.

    Attributes
    ----------
    kept : list of str
        What went wrong with some of several files, while the others are opened: it is said again
        with each sentence.
    """

    def __init__(self, model, threshold, min_score):
        model = modelfiles.identity(model)
        names = list(dict.fromkeys([*modelfiles.names(), model]))
        self.files = widgets.Dropdown(options=list(EXAMPLES), description="Image", **WIDE)
        self.model = widgets.Dropdown(options=names, value=model, description="Model", **WIDE)
        self.card = widgets.HTML(card(model))
        low, high = PLAUSIBLE
        self.mpp = widgets.BoundedFloatText(
            MPP, min=low, max=high, step=0.01, description="\u00b5m per pixel", **WIDE
        )
        limits = {"min": 0.05, "max": 0.95, "step": 0.01, **WIDE}
        self.threshold = widgets.FloatSlider(threshold, description="Threshold", **limits)
        limits["min"] = 0
        self.min_score = widgets.FloatSlider(min_score, description="Lowest score", **limits)
        self.opacity = widgets.FloatSlider(
            1, min=0, max=1, step=0.05, description="Opacity of outlines", **WIDE
        )
        self.fill = widgets.Dropdown(options=list(picture.FILLS), description="Fill by", **WIDE)
        self.number = widgets.BoundedIntText(0, min=0, max=0, description="Nucleus no.", **WIDE)
        self.save = widgets.Button(description="Make files to download")
        self.kept = []
        self.status, self.bar, self.measures, self.links = (widgets.HTML() for _ in range(4))
        self.status.add_class("status")
        self.bar.add_class("bar")
        self.links.add_class("live")
        self.bar.layout.height = "16px"
        self.progress(1)

    def lay_out(self, upload, fields, view, charts):
        """Arrange the other parts of the page and the controls in one widget."""
        left = widgets.VBox(
            [upload, fields, self.files, self.model, self.card, self.mpp]
            + [self.threshold, self.min_score, self.opacity, self.fill],
            layout={"flex": "1 1 280px", "min_width": "0"},
        )
        right = widgets.VBox(
            [self.status, self.bar, view, self.number, self.measures, charts]
            + [self.save, self.links],
            layout={"flex": "3 1 320px", "min_width": "0"},
        )
        both = widgets.Box([left, right], layout={**ROW, "align_items": "flex-start"})
        both.add_class("columns")
        page = widgets.VBox([widgets.HTML(STYLE), Access(), both])
        page.add_class("nuclei-page")
        return page

    def settings(self):
        """Threshold and lowest score, as two numbers.

        They are rounded as the sliders show them: a browser sends 0.5 back as 0.49999999999999994,
        which nobody has moved.
        """
        return round(self.threshold.value, 2), round(self.min_score.value, 2)

    def say(self, text, kind="said"):
        """Write a sentence over the image; `problem` is the kind of errors."""
        lines = [*(("problem", one) for one in self.kept), (kind, text)]
        words = "".join(f'<p class="{kind}">{html.escape(str(one))}</p>' for kind, one in lines)
        self.status.value = words

    def progress(self, done):
        """Show how much of something is done, 0 to 1; at 1, the bar vanishes."""
        bar = f'<progress aria-label="Progress" max="100" value="{100 * done:.0f}"></progress>'
        self.bar.value = bar
        self.bar.layout.visibility = "hidden" if done >= 1 else "visible"


def card(model):
    """Key figures of a model, or of each of several, from its test images, in HTML."""
    members = modelfiles.members(model)
    if len(members) == 1:
        return f"<p>{_scores(model)}</p>"
    names = (html.escape(Path(name).name) for name in members)
    alone = zip(names, map(_scores, members), strict=True)
    return "".join(f"<p>{name} alone:<br>{scores}</p>" for name, scores in alone)


def _scores(model):
    """The same of one model, in a sentence."""
    try:
        metrics = modelfiles.read_metrics(modelfiles.find(model))
    except InputError:  # no record of a model that predicts all the same
        metrics = {}
    test = metrics.get("test", {})
    mean = test.get("mean")
    if not mean:
        return "This model was not measured on test images."
    words = [f"{title} {mean[key]['mean']:.3f}" for key, title in KEY_SCORES.items() if key in mean]
    return f"On {len(test['images'])} test images: {', '.join(words)}."


def table(row):
    """The measures of one nucleus, in HTML."""
    cells = "".join(
        f"<tr><th scope='row'>{html.escape(name)}</th><td>{value}</td></tr>"
        for name, value in row.items()
    )
    return f"<table class='measures'>{cells}</table>"
