"""One visitor's page: what happens when the controls of `notebooks/try_it.ipynb` are moved."""

import asyncio
import time
from functools import cache

import ipywidgets as widgets

from ..errors import InputError
from ..prediction import artefacts, engines
from ..prediction.confidence import MIN_SCORE
from . import picture, report
from .controls import Controls, card, table
from .view import View
from .work import EXAMPLES, Work, example, read

load_engine = cache(engines.load)

PATIENCE = 0.4
"""Seconds without a change after which the charts, the slowest part, are drawn again."""


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
    controls : Controls
    view : View
        Of the image.
    work : Work or None
        The image that is shown and its nuclei.
    """

    def __init__(self, model="unet_instances", threshold=0.5, min_score=MIN_SCORE):
        self.work, self.chosen, self._waiting, self.uploads = None, 0, None, {}
        self.source = (*example(next(iter(EXAMPLES))), next(iter(EXAMPLES)))
        self.controls = Controls(model, threshold, min_score)
        self.view = View(self._clicked)
        self.charts = widgets.HTML()
        self._connect()
        self.widget = self.controls.lay_out(self.view.widget, self.charts)
        self.predict()

    def _connect(self):
        controls = self.controls
        controls.upload.observe(self._uploaded, "value")
        controls.files.observe(self._picked, "value")
        controls.model.observe(lambda _: self.predict(), "value")
        controls.mpp.observe(self._rescaled, "value")
        for slider in (controls.threshold, controls.min_score):
            slider.observe(lambda _: self.refine(), "value")
        controls.opacity.observe(lambda _: self._fade(), "value")
        controls.fill.observe(lambda _: self._draw(), "value")
        controls.number.observe(lambda change: self.choose(change["new"]), "value")
        controls.save.on_click(lambda _: self._make_files())

    def _uploaded(self, change):
        """Keep uploads in memory, and show the last one that is an image."""
        if not change["new"]:
            return
        for file in change["new"]:
            self.uploads[file["name"]] = bytes(file["content"])
        self.controls.upload.value = ()  # the same file may be given again
        self._list_files(file["name"])
        self._open(file["name"])

    def _list_files(self, name):
        """Offer the uploads and the examples, and choose one without opening it."""
        files = self.controls.files
        files.unobserve(self._picked, "value")
        files.options = [*self.uploads, *EXAMPLES]
        files.value = name
        files.observe(self._picked, "value")

    def _picked(self, change):
        self._open(change["new"])

    def _open(self, name):
        """Read an upload or draw an example, and find its nuclei."""
        try:
            image, mpp = read(name, self.uploads[name]) if name in self.uploads else example(name)
        except InputError as error:
            self.controls.say(error, "problem")
            del self.uploads[name]
            self._list_files(self.source[2])  # the image that is still shown
            return
        self.source = image, mpp, name
        self.controls.mpp.value = mpp
        self.predict()

    def _rescaled(self, change):
        image, mpp, name = self.source
        if change["new"] != mpp:  # by hand
            self.source = image, change["new"], name
            self.predict()

    def predict(self):
        """Run the network on the image, and show the nuclei."""
        image, mpp, name = self.source
        controls = self.controls
        controls.card.value = card(controls.model.value)
        controls.say(f"{name}: looking for nuclei ...")
        start = time.monotonic()
        settings = controls.threshold.value, controls.min_score.value
        try:
            engine = load_engine(controls.model.value)
            self.work = Work.predict(engine, name, image, mpp, *settings)
        except InputError as error:
            controls.say(error, "problem")
            return
        seconds = time.monotonic() - start
        self.view.show(image, picture.layer(self.work), controls.opacity.value)
        self._changed(f" Found in {seconds:.1f} s.")

    def refine(self):
        """Separate the nuclei again, where the sliders stand now."""
        if self.work:
            self.work = self.work.at(self.controls.threshold.value, self.controls.min_score.value)
            self._changed()

    def _changed(self, more=""):
        """Show other nuclei of the same image."""
        notice = artefacts.notice(self.work.name, self.work.found.excluded.mean())
        self.controls.say(self.work.sentence() + more + (f" {notice}" if notice else ""))
        self.controls.links.value = ""
        self._draw()
        self.controls.number.max = self.work.summary["nuclei"]
        self.choose(0)

    def _draw(self):
        if self.work:
            self.view.layer.url = picture.layer(self.work, picture.FILLS[self.controls.fill.value])

    def _fade(self):
        if self.work:
            self.view.layer.opacity = self.controls.opacity.value

    def _clicked(self, x, y):
        if self.work:
            self.choose(self.work.nucleus_at(x, y))

    def choose(self, number):
        """Mark a nucleus in the image and in the charts, and show its measures; 0 for none."""
        if not self.work or not 0 <= number <= len(self.work.rows):
            return
        self.chosen = number
        if self.controls.number.value != number:
            self.controls.number.value = number  # which calls this again
            return
        self.view.mark()
        self.controls.measures.value = ""
        if number:
            row, mpp = self.work.rows[number - 1], self.work.found.mpp
            self.view.mark(row["x_um"] / mpp, row["y_um"] / mpp)
            self.controls.measures.value = table(row)
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
            made = report.files(self.work, self.controls.model.value)
            self.controls.links.value = report.links(made)
