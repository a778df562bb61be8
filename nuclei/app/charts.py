"""The charts of the page: areas of nuclei, and area against haematoxylin, in which one selects."""

import bqplot
import ipywidgets as widgets
import numpy as np

from ..figures.style import BLUE, VERMILION
from .controls import ROW, WIDE
from .picture import AREA, STAIN, TITLES

HEIGHT = 280
"""Of a chart, in pixels."""

FEWEST = 8.0
"""Nuclei that the histogram reaches up to at least: bqplot counts fewer in halves."""

MARGIN = {"top": 34, "bottom": 42, "left": 52, "right": 14}


class Charts:
    """A histogram, a scatter, and two ranges that select nuclei.

    The mouse draws a rectangle in the scatter, which sets the ranges; the keyboard moves the ranges
    themselves.

    Parameters
    ----------
    selected : callable
        Called without arguments when other nuclei are selected.

    Attributes
    ----------
    widget : ipywidgets.VBox
        To display.
    selection : ndarray of bool, shape (N,), or None
        True for each of the N nuclei that is selected. None if the ranges exclude none of them.
    """

    def __init__(self, selected):
        self._selected, self._busy = selected, False
        self._values, self.selection = dict.fromkeys(TITLES, np.zeros(0)), None
        x, y, counts = (bqplot.LinearScale() for _ in range(3))
        empty = {"x": [], "y": []}
        self._bars = bqplot.Bars(**empty, scales={"x": x, "y": counts}, colors=[BLUE], padding=0.05)
        counts.min, counts.max = 0.0, FEWEST
        self.points, self.chosen = (
            bqplot.Scatter(
                **empty,
                scales={"x": x, "y": y},
                colors=[colour],
                default_size=size,
                stroke="white",
                selected_style={"fill": VERMILION},
            )
            for colour, size in ((BLUE, 24), (VERMILION, 140))
        )
        self.chosen.marker = "diamond"
        self.brush = bqplot.interacts.BrushSelector(x_scale=x, y_scale=y, color=VERMILION)
        self.brush.observe(self._brushed, ("brushing", "selected_x", "selected_y"))
        self.ranges = {
            name: widgets.FloatRangeSlider(
                description=f"Select {title}",
                # Else browsers answer to new limits with the old ones, as if people moved it.
                continuous_update=False,
                **{**WIDE, "layout": {"flex": "1 1 320px", "min_width": "0"}},
            )
            for name, title in TITLES.items()
        }
        for slider in self.ranges.values():
            slider.add_class("range")
            slider.observe(lambda _: self._select(), "value")
        self.count = widgets.HTML()
        self.count.add_class("live")
        histogram = _figure("Area of nuclei", [self._bars], x, counts, TITLES[AREA], "nuclei")
        marks = [self.points, self.chosen]
        scatter = _figure("Area and stain", marks, x, y, TITLES[AREA], TITLES[STAIN])
        scatter.interaction = self.brush
        scatter.padding_x = scatter.padding_y = 0.03  # else points at the rim are cut
        self.widget = widgets.VBox(
            [
                widgets.Box([histogram, scatter], layout=ROW),
                widgets.Box(list(self.ranges.values()), layout=ROW),
                self.count,
            ]
        )

    def show(self, rows):
        """Draw other nuclei, none of which is selected.

        Parameters
        ----------
        rows : list of dict
            Their measures.
        """
        for name in TITLES:
            self._values[name] = np.array([row[name] for row in rows], float)
        areas, stains = self._values.values()
        with self.points.hold_sync():
            self.points.x, self.points.y = areas, stains
        heights, edges = np.histogram(areas, bins=25) if rows else (np.zeros(1), np.arange(2.0))
        with self._bars.hold_sync():
            self._bars.x, self._bars.y = (edges[:-1] + edges[1:]) / 2, heights
        self._bars.scales["y"].max = max(FEWEST, float(heights.max()))
        self._busy = True  # what follows is no selection
        for name, slider in self.ranges.items():
            low, high = _limits(self._values[name])
            with slider.hold_sync():
                slider.min, slider.max = min(low, slider.min), max(high, slider.max)
                slider.value = low, high
                slider.min, slider.max, slider.step = low, high, (high - low) / 100
        self._busy = False
        self._tell()

    def clear(self):
        """Select nothing, and nothing can be selected until other nuclei are drawn."""
        self._values, self.selection = dict.fromkeys(TITLES, np.zeros(0)), None
        self._busy = True
        self.brush.selected = None
        self._busy = False
        self._tell()

    def mark(self, number=0):
        """Mark the point of a nucleus; with 0, of none."""
        here = slice(number - 1, number) if number else slice(0)
        with self.chosen.hold_sync():
            self.chosen.x, self.chosen.y = self._values[AREA][here], self._values[STAIN][here]

    def _brushed(self, _):
        """Set the ranges to the rectangle, once the mouse is released."""
        if self.brush.brushing or self._busy:
            return
        self._busy = True
        for slider, pair in zip(
            self.ranges.values(), (self.brush.selected_x, self.brush.selected_y), strict=True
        ):
            ends = (slider.min, slider.max) if pair is None or len(pair) < 2 else pair
            slider.value = tuple(float(np.clip(end, slider.min, slider.max)) for end in ends)
        self._busy = False
        self._select()

    def _select(self):
        """Select the nuclei within the ranges, unless these exclude none."""
        if self._busy:
            return
        inside = np.ones(len(self._values[AREA]), bool)
        for name, slider in self.ranges.items():
            low, high = slider.value
            rim = slider.step / 2  # browsers round: an end at a limit leaves nothing out
            inside &= (self._values[name] >= low) | (low < slider.min + rim)
            inside &= (self._values[name] <= high) | (high > slider.max - rim)
        self.selection = None if inside.all() else inside
        self._tell()
        self._selected()

    def _tell(self):
        words = "No nuclei are selected: draw a rectangle in the second chart, or move the ranges."
        if self.selection is not None:
            words = f"{self.selection.sum():,} of {len(self.selection):,} nuclei are selected."
        self.points.selected = None if self.selection is None else np.flatnonzero(self.selection)
        self.count.value = f"<p>{words}</p>"


def _limits(values):
    """Round limits that hold all values, and some width even if there are none."""
    if not len(values):
        return 0.0, 1.0
    low, high = np.floor(values.min() * 100) / 100, np.ceil(values.max() * 100) / 100
    return float(low), float(max(high, low + 0.01))


def _figure(title, marks, x, y, x_title, y_title):
    style = {"grid_color": "#8888883a", "tick_style": {"fill": "currentColor", "font-size": "12px"}}
    return bqplot.Figure(
        marks=marks,
        axes=[
            bqplot.Axis(scale=x, label=x_title, **style),
            bqplot.Axis(scale=y, label=y_title, side="left", **style),
        ],
        title=title,
        title_style={"font-size": "15px"},
        fig_margin=MARGIN,
        padding_y=0,
        display_toolbar=False,
        layout={"flex": "1 1 320px", "min_width": "0", "height": f"{HEIGHT}px"},
    )
