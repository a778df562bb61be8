"""One visitor's page: what happens when the controls of `notebooks/try_it.ipynb` are moved."""

import asyncio
import time
from functools import cache, partial
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..prediction import engines
from ..prediction.confidence import MIN_SCORE
from ..prediction.image import predict_maps
from . import picture, report
from .charts import Charts
from .controls import Controls, card, table
from .fields import Fields, folder_of
from .upload import Upload
from .view import View
from .work import EXAMPLES, Work, check_size, example, read

load_engine = cache(engines.load)

PATIENCE = 0.4
"""Seconds without a change after which the charts are drawn again."""

KEPT = 20_000_000
"""Pixels of images whose maps stay in memory, about 15 bytes each: one of 4,000 x 4,000."""


class Shown(NamedTuple):
    """An image of the page: RGB, uint8 of shape (H, W, 3), and micrometres per pixel."""

    name: str
    image: np.ndarray
    mpp: float


class Page:
    """One visitor's page. Nothing of it is shared with others: each has a Python of their own.

    Parameters
    ----------
    model : str
        The model that is chosen first, as for `modelfiles.members`.
    threshold, min_score : float
        Where the sliders stand first.
    slides : str
        Folder of the slides that are offered, see `fields.folder_of`.

    Attributes
    ----------
    widget : ipywidgets.VBox
        To display.
    controls, upload, fields, view, charts
        Its parts.
    sources : dict of str to callable
        The images that can be chosen. Each gives RGB, and micrometres per pixel.
    shown : Shown or None
        The image that was read last.
    work : Work or None
        The image that is shown and its nuclei.
    model : str or None
        The model that found them.
    """

    def __init__(self, model="unet_instances", threshold=0.5, min_score=MIN_SCORE, slides=""):
        self.shown, self.work, self.model, self.chosen = None, None, None, 0
        self._waiting, self._maps = None, {}
        self.sources = {name: partial(example, name) for name in EXAMPLES}
        self.controls = Controls(model, threshold, min_score)
        problem, progress = partial(self.controls.say, kind="problem"), self.controls.progress
        self.upload = Upload(self._received, self._refused, progress)
        self.fields = Fields(folder_of(slides), self.add, problem, progress)
        self.view = View(self._clicked)
        self.charts = Charts(self._draw)
        self._connect()
        self.widget = self.controls.lay_out(
            self.upload, self.fields.widget, self.view.widget, self.charts.widget
        )
        first = next(iter(EXAMPLES))
        self.add(first, self.sources[first])

    def _connect(self):
        controls = self.controls
        controls.files.observe(self._picked, "value")
        controls.model.observe(self._repredicted, "value")
        controls.mpp.observe(self._rescaled, "value")
        for slider in (controls.threshold, controls.min_score):
            slider.observe(lambda _: self.refine(), "value")
        controls.opacity.observe(lambda change: self.view.fade(change["new"]), "value")
        controls.fill.observe(lambda _: self._draw(), "value")
        controls.number.observe(lambda change: self.choose(change["new"]), "value")
        controls.save.on_click(lambda _: self._make_files())

    def _received(self, name, content, number, count):
        """Keep an upload in memory, and show it."""
        self.add(name, partial(read, name, content), f" ({number} of {count})" * (count > 1))
        self._taken(number, count)

    def _refused(self, error, number, count):
        self._fail(error)
        self.controls.kept.append(str(error))
        self._taken(number, count)

    def _taken(self, number, count):
        """After the last of several files, the next sentence replaces all that was said of them."""
        if number == count:
            self.controls.kept = []

    def add(self, name, source, more=""):
        """Offer an image and show it, if it can be read.

        Parameters
        ----------
        name : str
        source : callable
            Gives RGB, uint8 of shape (H, W, 3), and micrometres per pixel, or raises InputError.
        more : str
            To say after the name while it is opened, if it is one of several.
        """
        self.controls.say(f"{name}{more}: reading ...")
        self.controls.progress(0)
        try:
            image, mpp = source()
        except InputError as error:
            self._fail(error)
            if more:  # the next one must not hide it
                self.controls.kept.append(str(error))
            if self.sources.get(name) is source and name != self.shown.name:
                del self.sources[name]
            self._list(self.shown.name)
            return
        if self.sources.get(name) is not source:
            others = {key: value for key, value in self.sources.items() if key != name}
            self.sources = {name: source, **others}
            self._forget(name)
        self._list(name)
        self.shown = Shown(name, image, mpp)
        self.controls.mpp.value = mpp
        self.predict(more)

    def _forget(self, name):
        """Drop the maps of an image whose name belongs to another from now on."""
        self._maps = {key: maps for key, maps in self._maps.items() if key[0] != name}

    def _list(self, name):
        """Offer all images, and choose one without opening it."""
        files = self.controls.files
        files.unobserve(self._picked, "value")
        files.options = list(self.sources)
        files.value = name
        files.observe(self._picked, "value")

    def _picked(self, change):
        self.add(change["new"], self.sources[change["new"]])

    def _fail(self, error):
        self.controls.progress(1)
        self.controls.say(error, "problem")

    def _rescaled(self, change):
        if change["new"] != self.shown.mpp:  # by hand
            self.shown = self.shown._replace(mpp=change["new"])
            self.predict()

    def _repredicted(self, _):
        self.predict()

    def predict(self, more=""):
        """Run the network on the image, unless its maps are in memory, and show the nuclei."""
        name, image, mpp = self.shown
        controls = self.controls
        controls.say(f"{name}{more}: looking for nuclei ...")
        start = time.monotonic()
        key = name, controls.model.value, mpp
        try:
            if key not in self._maps:
                check_size(name, image, mpp)
                engine = load_engine(controls.model.value)
                self._keep(key, predict_maps(engine, image, mpp, progress=self._counted))
            self.work = Work(name, self._maps[key], *controls.settings())
        except InputError as error:
            self._fail(error)
            if self.work:
                self._go_back()
            return
        self.model = controls.model.value
        controls.card.value = card(self.model)
        seconds = time.monotonic() - start
        controls.progress(0.9)
        self.view.show(image)
        self._changed(f" Found in {seconds:.1f} s.")
        controls.progress(1)

    def _go_back(self):
        """Let the controls say how the nuclei were found that are still shown."""
        name, found, model = self.work.name, self.work.found, self.controls.model
        self.shown = Shown(name, found.image, found.mpp)
        self.controls.mpp.value = found.mpp
        self._list(name)
        model.unobserve(self._repredicted, "value")
        model.value = self.model
        model.observe(self._repredicted, "value")

    def _counted(self, batches):
        """Show progress over the windows of an image, see `windows.predict_maps`."""
        for number, batch in enumerate(batches):
            self.controls.progress(0.1 + 0.6 * number / len(batches))
            yield batch

    def _keep(self, key, maps):
        """Keep the maps of an image, and of so many images before it as fit into memory."""
        self._maps[key] = maps
        while len(self._maps) > 1 and sum(m.ink.size for m in self._maps.values()) > KEPT:
            del self._maps[next(iter(self._maps))]

    def refine(self):
        """Separate the nuclei again, where the sliders stand now."""
        settings = self.controls.settings()
        if self.work and settings != (self.work.threshold, self.work.min_score):
            self.work = self.work.at(*settings)
            self._changed()

    def _changed(self, more=""):
        """Show other nuclei of the same image."""
        notices = self.work.found.notices(self.work.name)
        self.controls.say(" ".join([self.work.sentence() + more, *notices]))
        self.controls.links.value = ""
        self.charts.clear()
        self._draw()
        self.controls.number.max = self.work.summary["nuclei"]
        self.choose(0)
        self._chart_soon()

    def _draw(self):
        if self.work:
            fill = picture.FILLS[self.controls.fill.value]
            layer = picture.layer(self.work, fill, self.charts.selection)
            self.view.cover(layer, self.controls.opacity.value)

    def _clicked(self, x, y):
        if self.work:
            self.choose(self.work.nucleus_at(x, y))

    def choose(self, number):
        """Mark a nucleus in the image and in the charts, and show its measures; 0 for none."""
        if not self.work or not 0 <= number <= self.work.summary["nuclei"]:
            return
        self.chosen = number
        if self.controls.number.value != number:
            self.controls.number.value = number  # which calls this again
            return
        self.view.unmark()
        self.controls.measures.value = ""
        if number:
            row, mpp = self.work.rows[number - 1], self.work.found.mpp
            self.view.circle(row["x_um"] / mpp, row["y_um"] / mpp)
            self.controls.measures.value = table(row)
        self.charts.mark(number)

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
        self.charts.show(self.work.rows)
        self.charts.mark(self.chosen)

    def _make_files(self):
        links = self.controls.links
        if not self.work or links.value:  # a second click: they are made already
            return
        links.value = "<p>Making the files ...</p>"
        try:
            made = report.files(self.work, self.model)
        except InputError as error:
            links.value = ""
            self._fail(error)
        else:
            links.value = report.links(made)
