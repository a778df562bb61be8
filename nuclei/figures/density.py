"""A map of how dense the nuclei of a slide are, beside its tissue."""

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .style import figure_style

EMPTY = "#EDEDED"
"""Colour of squares without a nucleus, which is none of the scale."""
STEPS = np.outer(10.0 ** np.arange(9), (1, 2, 5)).ravel()
"""Nuclei per mm² at which the colour changes: so few colours are matched with the scale by eye."""


@figure_style()
def density_map(picture, x, y, size, step=32):
    """Show the tissue of a slide and, beside it in the same frame, the density of its nuclei.

    Parameters
    ----------
    picture : ndarray of uint8, shape (H, W, 3)
        The whole slide, at any resolution.
    x, y : ndarray of float, shape (N,)
        Centres of the nuclei, in micrometres from the top left corner.
    size : tuple of float
        Height and width of the slide, in micrometres.
    step : float
        Side of the squares in which nuclei are counted, in micrometres.

    Returns
    -------
    Figure
    """
    edges = [np.arange(0, length + step, step) for length in size]
    counts, *_ = np.histogram2d(y, x, edges)
    values = np.ma.masked_equal(counts / (step / 1000) ** 2, 0)
    found = values.compressed() if values.count() else [1]
    first, last = np.searchsorted(STEPS, (min(found), max(found)), side="right")
    steps = STEPS[max(0, first - 1) : last + 1]
    colors = mpl.colormaps["viridis"].resampled(len(steps) - 1).with_extremes(bad=EMPTY)

    height, width = size
    figure = Figure(figsize=(11, 1.1 + 4.4 * min(1.2, height / width)))
    figure.suptitle("Density of nuclei")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    left.imshow(picture, extent=(0, width, height, 0))
    left.set_title("Tissue")
    shown = right.imshow(
        values, cmap=colors, norm=mpl.colors.BoundaryNorm(steps, len(steps) - 1),
        extent=(0, edges[1][-1], edges[0][-1], 0), interpolation="nearest",
    )  # fmt: skip
    right.set_title(f"Density in squares of {step:g} um")
    figure.colorbar(shown, ax=right, label="nuclei per mm²", shrink=0.8, format="{x:,.0f}")
    for axis in (left, right):
        axis.set(xlim=(0, width), ylim=(height, 0), xlabel="x (um)")
        axis.grid(False)
    left.set_ylabel("y (um)")
    key = Patch(facecolor=EMPTY, label="no nuclei")
    figure.legend(handles=[key], loc="outside lower right")
    return figure
