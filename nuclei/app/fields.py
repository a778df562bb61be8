"""Pick a slide, and a field of it on its overview."""

import html
import os
from functools import partial

import cv2
import ipywidgets as widgets

from ..atomic import expand
from ..errors import InputError
from ..images import name_of
from ..slides.files import find
from ..slides.readers import is_slide
from ..slides.slide import Slide
from .controls import ROW, WIDE
from .view import View

VARIABLE = "NUCLEI_SLIDES"
"""The folder of the slides that a served page offers; `tools/app.py` always sets it."""

SIDES = (512, 1024, 2048, 4000)
"""Pixels of a side of a field."""

THUMBNAIL, LARGEST_OVERVIEW = 150, 1000
"""Pixels of the longer side of a thumbnail and of an overview."""

AT_ONCE = 12
"""Thumbnails that are made at once: those of large slides take a while."""


def folder_of(slides=""):
    """Say which folder a page offers slides from.

    Parameters
    ----------
    slides : str
        What the notebook says.

    Returns
    -------
    str or None
        The folder, "" for no slides, or None for a notebook whose user may open any path. A page
        that is served shows no files of its computer but those in the folder that was named.
    """
    if VARIABLE in os.environ:
        return os.environ[VARIABLE]
    served = "VOILA_BASE_URL" in os.environ or "SERVER_SOFTWARE" in os.environ
    return slides or ("" if served else None)


def slides_in(folder):
    """List the slides directly in a folder.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    list of Path
        Sorted by name, without links that lead out of the folder.

    Raises
    ------
    InputError
        If it is no folder, or has no slides.
    """
    folder = expand(folder).resolve()
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: name one with slides.")
    inside = [path for path in find([folder]) if path.resolve().is_relative_to(folder)]
    if not (slides := [path for path in inside if is_slide(path)]):
        raise InputError(f"{folder} contains no slides: name another folder.")
    return slides


def read_field(slide, left, top, side):
    """Read a field at the resolution that the networks were trained at.

    Parameters
    ----------
    slide : Slide
    left, top, side : int
        In pixels of `slide.shape`.

    Returns
    -------
    image : ndarray of uint8, shape (H, W, 3)
        RGB; `side` pixels high and wide, less where the slide ends.
    mpp : float
        Micrometres per pixel.

    Raises
    ------
    SlideError
        If a tile of the file is damaged.
    """
    height, width = slide.shape
    return slide.read(top, left, min(side, height - top), min(side, width - left)), slide.mpp


class Fields:
    """The part of a page that picks slides and fields.

    Parameters
    ----------
    folder : str or None
        As from `folder_of`.
    opened : callable
        Called with the name of a field, and a function that reads it.
    say : callable
        Called with an InputError.
    progress : callable
        Called with the part of the thumbnails that is made, 0 to 1.

    Attributes
    ----------
    widget : ipywidgets.VBox
        To display.
    """

    def __init__(self, folder, opened, say, progress):
        self._opened, self._say, self._progress = opened, say, progress
        self.slide, self._left = None, []
        self.path = widgets.Text(
            folder or "", description="Slide or folder", continuous_update=False, **WIDE
        )
        self.list = widgets.Button(description="Show slides")
        # Hidden widgets can be reached by forged messages, so without slides it does nothing.
        if folder != "":
            self.list.on_click(lambda _: self._go(self._open_path, folder or self.path.value))
        self.more = widgets.Button(description="More slides")
        self.more.on_click(lambda _: self._go(self._show_more))
        self.thumbnails = widgets.Box(layout=ROW)
        self.view = View(self._clicked, height=300)
        self.view.widget.add_class("overview")
        self.side = widgets.Dropdown(
            options=[(f"{side} x {side} pixels", side) for side in SIDES],
            value=SIDES[1],
            description="Field",
            **WIDE,
        )
        centre = {"min": 0, "step": 0.1, **WIDE, "layout": {"width": "18em"}}
        self.x, self.y = (
            widgets.BoundedFloatText(description=f"Centre {axis} (mm)", **centre) for axis in "xy"
        )
        for one in (self.x, self.y, self.side):
            one.observe(lambda _: self._frame(), "value")
        self.read = widgets.Button(description="Show this field")
        self.read.on_click(lambda _: self._go(self.open_field))
        self.overview = widgets.VBox(
            [
                widgets.HTML("<p>Click on the overview, or write where the field is.</p>"),
                self.view.widget,
                widgets.Box(
                    [self.side, self.x, self.y, self.read],
                    layout=ROW,
                ),
            ]
        )
        asked = [self.list] if folder else [self.path, self.list]
        self.widget = widgets.VBox([*asked, self.thumbnails, self.more, self.overview])
        _show(self.more, False)
        _show(self.overview, False)
        _show(self.widget, folder != "")

    def _go(self, action, *arguments):
        """Do what a visitor asked for, and say what went wrong."""
        try:
            action(*arguments)
        except InputError as error:
            self._say(error)

    def _open_path(self, path):
        path = expand(path)
        if path.is_dir():
            self.thumbnails.children, self._left = (), slides_in(path)
            self._show_more()
        else:
            self.open_slide(path)

    def _show_more(self):
        """Make the next thumbnails."""
        now, self._left = self._left[:AT_ONCE], self._left[AT_ONCE:]
        for number, path in enumerate(now):
            self._progress(number / len(now))
            self.thumbnails.children += (self._thumbnail(path),)
        self._progress(1)
        _show(self.more, bool(self._left))

    def _thumbnail(self, path):
        button = widgets.Button(description=path.name, tooltip=path.name)
        button.on_click(lambda _: self._go(self.open_slide, path))
        try:
            picture = widgets.Image(value=_png(_overview(Slide(path), THUMBNAIL)[0]))
            picture.layout = {"object_fit": "contain", "height": f"{THUMBNAIL}px"}
        except InputError as error:
            words = str(error).replace(str(path), path.name)  # visitors do not see the folder
            picture, button.disabled = widgets.HTML(f"<p>{html.escape(words)}</p>"), True
            picture.layout = {"width": "100%"}
        layout = {"width": f"{THUMBNAIL + 10}px", "align_items": "center"}
        return widgets.VBox([picture, button], layout=layout)

    def open_slide(self, path):
        """Show the overview of a slide.

        Parameters
        ----------
        path : Path

        Raises
        ------
        InputError
            If it cannot be read.
        """
        slide = Slide(path)
        image, self._factor = _overview(slide, LARGEST_OVERVIEW)
        self.slide = None  # while the controls move
        height, width = slide.shape
        for one, length in ((self.x, width), (self.y, height)):
            one.max = length * slide.mpp / 1000
            one.value = one.max / 2
        self.slide = slide
        _show(self.overview, True)
        self.view.show(image)
        self._frame()

    def _corner(self):
        """Left and top of the field in pixels of the slide: within it, if it is large enough."""
        side = self.side.value
        centre = (round(one.value * 1000 / self.slide.mpp) for one in (self.x, self.y))
        return [
            max(0, min(middle - side // 2, length - side))
            for middle, length in zip(centre, self.slide.shape[::-1], strict=True)
        ]

    def _frame(self):
        if self.slide:
            corner, side = self._corner(), self.side.value
            self.view.frame(*(length / self._factor for length in (*corner, side, side)))

    def _clicked(self, x, y):
        if self.slide:
            self.x.value, self.y.value = (
                max(0, min(place * self._factor * self.slide.mpp / 1000, one.max))
                for place, one in ((x, self.x), (y, self.y))
            )
            self._go(self.open_field)

    def open_field(self):
        """Hand over the field whose centre the controls say."""
        left, top = self._corner()
        place = "_".join(
            f"{axis}{round(length * self.slide.mpp)}um"
            for axis, length in (("x", left), ("y", top))
        )
        name = f"{name_of(self.slide.path)}_{place}_{self.side.value}px"
        self._opened(name, partial(read_field, self.slide, left, top, self.side.value))


def _overview(slide, longest):
    """A slide with at most `longest` pixels a side, and the pixels of the slide in one of them."""
    image = slide.overview(max(slide.shape) * slide.mpp / longest)[0]
    if max(image.shape) > longest:  # a level that is a little finer
        scale = longest / max(image.shape)
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return image, slide.shape[1] / image.shape[1]


def _png(image):
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def _show(widget, visible):
    widget.layout.display = "" if visible else "none"
