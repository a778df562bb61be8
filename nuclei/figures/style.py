"""The visual style of all figures, and a function to save them."""

import io

import matplotlib as mpl
import matplotlib.pyplot as plt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..atomic import atomic_write

# Okabe and Ito, "Color Universal Design", 2008: distinguishable with any colour vision.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"

ORANGE, SKY, YELLOW, GREY = "#E69F00", "#56B4E9", "#F0E442", "#6E6E6E"

COLORS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
"""Colours of the curves in a figure, in this order."""

STYLE = {
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.linewidth": 0.8,
    "axes.prop_cycle": mpl.cycler(color=COLORS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "figure.dpi": 150,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "image.interpolation": "antialiased",
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "savefig.dpi": "figure",
    "text.parse_math": False,  # names of images may have dollars
    "xtick.color": GREY,
    "xtick.labelcolor": "black",
    "xtick.labelsize": 8,
    "ytick.color": GREY,
    "ytick.labelcolor": "black",
    "ytick.labelsize": 8,
}


def figure_style():
    """Apply the style, as ``with figure_style():`` or as the decorator ``@figure_style()``."""
    return plt.rc_context(STYLE)


def save_figure(figure, path, kilobytes=300):
    """Write a figure as PNG, completely or not at all, small enough to commit.

    The figure is reduced to a palette of 256 colours. If the file is still too large, the
    resolution is reduced.

    Parameters
    ----------
    figure : Figure
    path : str or Path
    kilobytes : float
        Largest size of the file, in units of 1000 bytes.

    Returns
    -------
    str or Path
        `path`.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    dpi = figure.dpi
    while len(png := _png(figure, dpi)) > 1000 * kilobytes:
        # Bytes of tissue grow with about the power 1.5 of the resolution: mostly once is enough.
        dpi *= (970 * kilobytes / len(png)) ** (1 / 1.5)
    with atomic_write(path) as temporary:
        temporary.write_bytes(png)
    return path


def show_figure(figure, path):
    """Save a figure as `save_figure` does, and show the file in a notebook.

    Parameters
    ----------
    figure : Figure
        Its title, or that of its first panel, is the text for those who cannot see it.
    path : str or Path

    Returns
    -------
    IPython.display.Image

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    from IPython.display import Image  # not at the top: commands draw figures without it

    title = figure.get_suptitle() or figure.axes[0].get_title()
    return Image(filename=save_figure(figure, path), alt=title)


def _png(figure, dpi):
    drawn, packed = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="raw", dpi=dpi)  # pixels: packing them twice would take longer
    size = [int(side * dpi) for side in figure.get_size_inches()]
    picture = Image.frombuffer("RGBA", size, drawn.getbuffer()).convert("RGB")
    picture = picture.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    drawn_by = PngInfo()  # `evaluate` replaces no other PNG
    drawn_by.add_text("Software", "nuclei")
    picture.save(packed, format="png", optimize=True, dpi=(dpi, dpi), pnginfo=drawn_by)
    return packed.getvalue()


def label_outside(axes, panels, xlabel, ylabel):
    """Label the left column and the lowest panel of each column, and hide unused panels.

    Parameters
    ----------
    axes : ndarray of Axes, shape (rows, columns)
    panels : int
        Number of panels that are used.
    xlabel, ylabel : str
    """
    for axis in axes[:, 0]:
        axis.set_ylabel(ylabel)
    for axis in axes.flat[:panels][-axes.shape[1] :]:
        axis.set_xlabel(xlabel)
        axis.tick_params(labelbottom=True)
    for axis in axes.flat[panels:]:
        axis.set_axis_off()
