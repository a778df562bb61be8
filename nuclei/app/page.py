"""The widgets of `notebooks/try_it.ipynb`, and what happens when they are moved."""

import asyncio
import html
import math
import time
from functools import cache

import ipyleaflet
import ipywidgets as widgets

from .. import modelfiles
from ..errors import InputError
from ..images.resolution import MPP, PLAUSIBLE
from ..prediction import artefacts, engines
from ..prediction.confidence import MIN_SCORE
from . import picture, report
from .work import EXAMPLES, Work, example, read

load_engine = cache(engines.load)

HEIGHT = 520
"""Of the view of the image, in pixels."""

PATIENCE = 0.4
"""Seconds without a change after which the charts, the slowest part, are drawn again."""

SCORES = {"dice": "Dice", "aji": "AJI", "pq": "PQ"}
"""The key figures of a model, and their names."""

STYLE = """<style>
.nuclei-page { max-width: 1200px }
.nuclei-page .widget-label { width: auto; min-width: 9em; color: #111 }
.nuclei-page .leaflet-image-layer { image-rendering: pixelated }
.nuclei-page .charts img { max-width: 100% }
.nuclei-page .downloads a { display: inline-block; padding: .5em; color: #00507e }
.nuclei-page .problem { color: #8a1c00; font-weight: bold }
.nuclei-page :focus-visible { outline: 3px solid #00507e }
</style>"""


class Page:
    """One visitor's page. Nothing of it is shared with others: each has a Python of their own.

    Parameters
    ----------
    model : str
        The model that is chosen first, as for `modelfiles.find`.
    threshold, min_score : float
        Where the sliders stand first.

    Attributes
    ----------
    widget : ipywidgets.VBox
        To display.
    work : Work or None
        The image that is shown and its nuclei.
    """

    def __init__(self, model="unet_instances", threshold=0.5, min_score=MIN_SCORE):
        self.work, self.chosen, self._waiting = None, 0, None
        self.source = (*example(next(iter(EXAMPLES))), next(iter(EXAMPLES)))
        self._make_controls(model, threshold, min_score)
        self._make_view()
        self._connect()
        self._lay_out()
        self.predict()

    def _make_controls(self, model, threshold, min_score):
        wide = {"style": {"description_width": "initial"}, "layout": {"width": "auto"}}
        names = sorted(path.parent.name for path in modelfiles.MODELS.glob("*/config.json"))
        self.upload = widgets.FileUpload(
            accept=".png,.tif,.tiff,.jpg,.jpeg", multiple=True, description="Choose images"
        )
        self.files = widgets.Dropdown(options=list(EXAMPLES), description="Image", **wide)
        self.model = widgets.Dropdown(options=names, value=model, description="Model", **wide)
        self.card = widgets.HTML(_card(model))
        low, high = PLAUSIBLE
        self.mpp = widgets.BoundedFloatText(
            MPP, min=low, max=high, step=0.01, description="\u00b5m per pixel", **wide
        )
        limits = {"min": 0.05, "max": 0.95, "step": 0.01, **wide}
        self.threshold = widgets.FloatSlider(threshold, description="Threshold", **limits)
        limits["min"] = 0
        self.min_score = widgets.FloatSlider(min_score, description="Lowest score", **limits)
        self.opacity = widgets.FloatSlider(
            1, min=0, max=1, step=0.05, description="Opacity of outlines", **wide
        )
        self.fill = widgets.Dropdown(options=list(picture.FILLS), description="Fill by", **wide)
        self.number = widgets.BoundedIntText(0, min=0, max=0, description="Nucleus no.", **wide)
        self.save = widgets.Button(description="Make files to download", layout={"width": "auto"})

    def _make_view(self):
        self.status, self.measures = widgets.HTML(), widgets.HTML()
        self.charts, self.links = widgets.HTML(), widgets.HTML()
        self.map = ipyleaflet.Map(
            crs=ipyleaflet.projections.Simple,
            layers=(),  # no tiles of the world
            min_zoom=-4,
            max_zoom=4,
            zoom_snap=0.25,
            scroll_wheel_zoom=True,
            attribution_control=False,
            layout={"height": f"{HEIGHT}px", "width": "100%"},
        )
        self.outlines = self.marker = None

    def _connect(self):
        self.upload.observe(self._uploaded, "value")
        self.files.observe(self._picked, "value")
        self.model.observe(lambda _: self.predict(), "value")
        self.mpp.observe(self._rescaled, "value")
        for slider in (self.threshold, self.min_score):
            slider.observe(lambda _: self.refine(), "value")
        self.opacity.observe(lambda _: self._fade(), "value")
        self.fill.observe(lambda _: self._draw(), "value")
        self.number.observe(lambda change: self.choose(change["new"]), "value")
        self.save.on_click(lambda _: self._make_files())
        self.map.on_interaction(self._clicked)

    def _lay_out(self):
        left = widgets.VBox(
            [self.upload, self.files, self.model, self.card, self.mpp]
            + [self.threshold, self.min_score, self.opacity, self.fill],
            layout={"flex": "1 1 280px", "min_width": "0"},
        )
        right = widgets.VBox(
            [self.status, self.map, self.number, self.measures],
            layout={"flex": "3 1 320px", "min_width": "0"},
        )
        both = widgets.Box([left, right], layout={"display": "flex", "flex_flow": "row wrap"})
        self.widget = widgets.VBox([widgets.HTML(STYLE), both, self.charts, self.save, self.links])
        self.widget.add_class("nuclei-page")
        self.charts.add_class("charts")
        self.uploads = {}

    def _uploaded(self, change):
        """Keep uploads in memory, and show the last one that is an image."""
        if not change["new"]:
            return
        for file in change["new"]:
            self.uploads[file["name"]] = bytes(file["content"])
        self.upload.value = ()  # the same file may be given again
        self._list_files(file["name"])
        self._open(file["name"])

    def _list_files(self, name):
        """Offer the uploads and the examples, and choose one without opening it."""
        self.files.unobserve(self._picked, "value")
        self.files.options = [*self.uploads, *EXAMPLES]
        self.files.value = name
        self.files.observe(self._picked, "value")

    def _picked(self, change):
        self._open(change["new"])

    def _open(self, name):
        """Read an upload or draw an example, and find its nuclei."""
        try:
            image, mpp = read(name, self.uploads[name]) if name in self.uploads else example(name)
        except InputError as error:
            self._say(error, "problem")
            del self.uploads[name]
            self._list_files(self.source[2])  # the image that is still shown
            return
        self.source = image, mpp, name
        self.mpp.value = mpp
        self.predict()

    def _rescaled(self, change):
        image, mpp, name = self.source
        if change["new"] != mpp:  # by hand
            self.source = image, change["new"], name
            self.predict()

    def predict(self):
        """Run the network on the image, and show the nuclei."""
        image, mpp, name = self.source
        self.card.value = _card(self.model.value)
        self._say(f"{name}: looking for nuclei ...")
        start = time.monotonic()
        settings = self.threshold.value, self.min_score.value
        try:
            engine = load_engine(self.model.value)
            self.work = Work.predict(engine, name, image, mpp, *settings)
        except InputError as error:
            self._say(error, "problem")
            return
        seconds = time.monotonic() - start
        self._show_image()
        self._changed(f" Found in {seconds:.1f} s.")

    def refine(self):
        """Separate the nuclei again, where the sliders stand now."""
        if self.work:
            self.work = self.work.at(self.threshold.value, self.min_score.value)
            self._changed()

    def _changed(self, more=""):
        """Show other nuclei of the same image."""
        notice = artefacts.notice(self.work.name, self.work.found.excluded.mean())
        self._say(self.work.sentence() + more + (f" {notice}" if notice else ""))
        self.links.value = ""
        self._draw()
        self.number.max = self.work.summary["nuclei"]
        self.choose(0)

    def _show_image(self):
        image = self.work.found.image
        height, width = image.shape[:2]
        self.bounds = ((-height, 0), (0, width))
        photograph = ipyleaflet.ImageOverlay(url=picture.photograph(image), bounds=self.bounds)
        self.outlines = ipyleaflet.ImageOverlay(
            url=picture.layer(self.work), bounds=self.bounds, opacity=self.opacity.value
        )
        self.marker = None
        self.map.layers = (photograph, self.outlines)
        self.map.center, self.map.zoom = (-height / 2, width / 2), _zoom(max(image.shape))

    def _draw(self):
        if self.work:
            self.outlines.url = picture.layer(self.work, picture.FILLS[self.fill.value])

    def _fade(self):
        self.outlines.opacity = self.opacity.value

    def _clicked(self, **event):
        if event.get("type") == "click" and self.work:
            y, x = event["coordinates"]
            self.choose(self.work.nucleus_at(x, -y))

    def choose(self, number):
        """Mark a nucleus in the image and in the charts, and show its measures; 0 for none."""
        if not self.work or not 0 <= number <= len(self.work.rows):
            return
        self.chosen = number
        if self.number.value != number:
            self.number.value = number  # which calls this again
            return
        if self.marker:
            self.map.remove(self.marker)
            self.marker = None
        self.measures.value = ""
        if number:
            row, mpp = self.work.rows[number - 1], self.work.found.mpp
            place = (-row["y_um"] / mpp, row["x_um"] / mpp)
            self.marker = ipyleaflet.CircleMarker(
                location=place, radius=16, color="#D55E00", fill=False
            )
            self.map.add(self.marker)
            self.measures.value = _table(row)
        self._chart_soon()

    def _chart_soon(self):
        """Draw the charts once nothing has changed for a while, so that sliders need not wait."""
        if self._waiting:
            self._waiting.cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a plain script
            self._chart()
        else:
            self._waiting = loop.call_later(PATIENCE, self._chart)

    def _chart(self):
        address = picture.data_url(picture.charts(self.work, self.chosen), "image/png")
        words = "Histogram of the area of nuclei, and area against haematoxylin"
        self.charts.value = f'<img alt="{words}" src="{address}">'

    def _make_files(self):
        if self.work:
            self.links.value = report.links(report.files(self.work, self.model.value))

    def _say(self, text, kind="said"):
        self.status.value = f'<p role="status" class="{kind}">{html.escape(str(text))}</p>'


def _card(model):
    """Key figures of a model, from its test images."""
    metrics = modelfiles.read_metrics(modelfiles.find(model))
    test = metrics.get("test", {})
    mean = test.get("mean")
    if not mean:
        return "<p>This model was not measured on test images.</p>"
    words = [f"{title} {mean[key]['mean']:.3f}" for key, title in SCORES.items() if key in mean]
    return f"<p>On {len(test['images'])} test images: {', '.join(words)}.</p>"


def _table(row):
    cells = "".join(
        f"<tr><th scope='row'>{html.escape(name)}</th><td>{value}</td></tr>"
        for name, value in row.items()
    )
    return f"<table class='measures'>{cells}</table>"


def _zoom(side):
    """The zoom at which an image fits into `HEIGHT`, in quarters."""
    return min(0, math.floor(4 * math.log2(HEIGHT / side)) / 4)
