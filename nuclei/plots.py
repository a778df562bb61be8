"""One visual style for every figure; each function returns a matplotlib Figure."""

import io

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from PIL import Image

from . import files

# Okabe and Ito, "Color Universal Design", 2008: told apart with any colour vision.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, YELLOW, GREY = "#E69F00", "#56B4E9", "#F0E442", "#6E6E6E"
COLORS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
"""Of the curves of one figure, in this order."""
OUTLINE = "#00E5FF"
"""Contours on H&E: cyan is far from the hues of both stains."""

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
    "xtick.color": GREY,
    "xtick.labelcolor": "black",
    "xtick.labelsize": 8,
    "ytick.color": GREY,
    "ytick.labelcolor": "black",
    "ytick.labelsize": 8,
}


def style():
    """Apply the style, as ``with style():`` or as the decorator ``@style()``."""
    return plt.rc_context(STYLE)


def save(figure, path, kilobytes=300):
    """Write a figure as PNG, whole or not at all, small enough to commit.

    Photographs of tissue shrink by a palette of 256 colours, and where that is not enough by
    fewer pixels.

    Parameters
    ----------
    figure : Figure
    path : str or Path
    kilobytes : float
        The largest file to write.

    Returns
    -------
    Path
        `path`, so that a notebook can show what was saved.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    dpi = figure.dpi
    while len(png := _png(figure, dpi)) > 1000 * kilobytes:
        dpi *= min(0.95, (1000 * kilobytes / len(png)) ** 0.5)  # bytes grow with the pixels
    with files.whole(path) as temporary:
        temporary.write_bytes(png)
    return path


def _png(figure, dpi):
    drawn, packed = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi)
    picture = Image.open(drawn).convert("RGB")
    picture = picture.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    picture.save(packed, format="png", optimize=True, dpi=(dpi, dpi))
    return packed.getvalue()


@style()
def tilings(layouts, size):
    """Draw the windows of one or more tilings, and the pixels that no window reaches.

    Parameters
    ----------
    layouts : dict of str to (ndarray of uint8, shape (H, W, 3), int)
        For each title the image as it is tiled and the stride in pixels. Windows start at the
        top left and stay inside the image.
    size : int
        Side of a window in pixels.

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(4.3 * len(layouts), 5))
    figure.suptitle(f"Windows of {size} x {size} pixels on one image")
    axes = figure.subplots(1, len(layouts), squeeze=False)[0]
    for axis, (title, (image, stride)) in zip(axes, layouts.items(), strict=True):
        height, width = image.shape[:2]
        corners = [
            (left, top)
            for top in range(0, height - size + 1, stride)
            for left in range(0, width - size + 1, stride)
        ]
        seen = np.zeros((height, width), bool)
        for left, top in corners:
            seen[top : top + size, left : left + size] = True
        axis.imshow(np.where(seen[..., None], image, image // 3))
        for number, corner in enumerate(corners):
            axis.add_patch(Rectangle(corner, size, size, fill=False, edgecolor="white", lw=0.7))
            axis.text(
                *np.add(corner, 10), number, size=6, color="white", va="top",
                bbox={"facecolor": BLUE, "edgecolor": "none", "pad": 1},
            )  # fmt: skip
        middle = np.subtract((width, height), size) / 2
        central = min(corners, key=lambda corner: np.linalg.norm(corner - middle))
        axis.add_patch(Rectangle(central, size, size, fill=False, edgecolor=YELLOW, lw=2.5))
        unseen = "every pixel" if seen.all() else f"{seen.mean():.1%} of the pixels"
        axis.set(title=f"{title}\n{len(corners)} windows see {unseen}")
        axis.set(xlabel="x (pixels)", ylabel="y (pixels)", xlim=(0, width), ylim=(height, 0))
        axis.grid(False)
    keys = [
        Patch(facecolor=BLUE, label="number of the window that begins here"),
        Patch(facecolor="none", edgecolor=YELLOW, lw=2.5, label="one whole window"),
        Patch(facecolor="#40303F", label="never seen"),
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys))
    return figure


@style()
def gallery(images, masks, titles, title, columns=4):
    """Show patches with the outlines of the nuclei in them.

    Parameters
    ----------
    images : sequence of ndarray of uint8, shape (H, W, 3)
    masks : sequence of ndarray of bool, shape (H, W)
    titles : sequence of str
        One for each patch.
    title : str
        Title of the figure.
    columns : int

    Returns
    -------
    Figure
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(max(2.25 * columns, 4), 2.4 * rows + 0.8))
    figure.suptitle(title)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axis, image, mask, name in zip(axes.flat, images, masks, titles, strict=False):
        axis.imshow(image)
        if mask.any() and not mask.all():
            axis.contour(mask, levels=[0.5], colors=OUTLINE, linewidths=0.9)
        axis.set_title(name)
        axis.grid(False)
    _label_outside(axes, len(images), "x (pixels)", "y (pixels)")
    key = Line2D([], [], color=OUTLINE, label="outline of a nucleus in the mask")
    figure.legend(handles=[key], loc="outside lower center")
    return figure


@style()
def histograms(groups, bins, title, xlabel, ylabel):
    """Compare distributions: one panel a group, one colour a series, with size and median.

    Parameters
    ----------
    groups : dict of str to dict of str to array
        For each group (an organ) the values of each series ("Training", "Test").
    bins : array
        Edges; values beyond the last one are counted in the last bin.
    title, xlabel, ylabel : str
        Heights are percentages: `ylabel` says of what.

    Returns
    -------
    Figure
    """
    columns = min(4, len(groups))
    rows = -(-len(groups) // columns)
    series = list(dict.fromkeys(name for values in groups.values() for name in values))
    figure = Figure(figsize=(max(2.4 * columns, 5), 1.9 * rows + 1.1))
    figure.suptitle(title)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    _label_outside(axes, len(groups), xlabel, ylabel)
    looks = [
        {"color": color, "histtype": "step", "linewidth": 1.6, "label": name}
        for name, color in zip(series, COLORS, strict=False)
    ]
    looks[0] |= {"histtype": "stepfilled", "linewidth": 0, "alpha": 0.45}
    for axis, (group, members) in zip(axes.flat, groups.items(), strict=False):
        axis.set_title(group)
        for look, top in zip(looks, np.arange(0.97, 0, -0.22), strict=False):
            values = np.asarray(members.get(look["label"], ()))
            if values.size:
                share = np.full(values.size, 100 / values.size)
                axis.hist(np.minimum(values, bins[-1]), bins, weights=share, **look)
                axis.text(
                    0.98, top, f"n = {values.size:,}\nmedian {np.median(values):.1f}", size=7.5,
                    transform=axis.transAxes, ha="right", va="top", color=look["color"],
                )  # fmt: skip
    keys = [Patch(facecolor=BLUE, alpha=0.45, label=series[0])]
    for look in looks[1:]:
        keys.append(Patch(facecolor="none", edgecolor=look["color"], lw=1.6, label=look["label"]))
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys))
    return figure


def _label_outside(axes, panels, xlabel, ylabel):
    """Label the left column and the lowest panel of each column; hide what is past the last."""
    for axis in axes[:, 0]:
        axis.set_ylabel(ylabel)
    for axis in axes.flat[:panels][-axes.shape[1] :]:
        axis.set_xlabel(xlabel)
        axis.tick_params(labelbottom=True)
    for axis in axes.flat[panels:]:
        axis.set_axis_off()


@style()
def curves(history, score, title, ylabel):
    """Plot a score of training and validation over the epochs.

    Parameters
    ----------
    history : list of dict of str to float
        A row an epoch with `epoch`, `<score>`, `val_<score>` and `val_dice`, by which the
        best epoch is told.
    score : str
    title, ylabel : str

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(6, 3.6))
    axis = figure.subplots()
    epochs = [row["epoch"] for row in history]
    axis.plot(epochs, [row[score] for row in history], label="training (augmented patches)")
    axis.plot(epochs, [row[f"val_{score}"] for row in history], label="validation patients")
    best = max(history, key=lambda row: row["val_dice"])
    axis.plot(
        best["epoch"], best[f"val_{score}"], "o", color=VERMILION,
        label=f"weights kept: epoch {best['epoch']:.0f}, {best[f'val_{score}']:.3f}",
    )  # fmt: skip
    axis.set(title=title, xlabel="epoch", ylabel=ylabel)
    axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    axis.legend()
    return figure


@style()
def predictions(samples, probabilities, titles, title, threshold=0.5, crop=400):
    """Show the middle of images beside their masks, the prediction and where the two differ.

    Parameters
    ----------
    samples : sequence of dataset.Sample
    probabilities : sequence of ndarray of float32, shape (H, W)
    titles : sequence of str
        One for each row.
    title : str
        Title of the figure.
    threshold : float
    crop : int
        Side of the square that is shown, in pixels.

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(9.2, 2.35 * len(samples) + 0.9))
    figure.suptitle(title)
    axes = figure.subplots(len(samples), 4, squeeze=False, sharex=True, sharey=True)
    headings = ("Image", "Annotation", "Probability", "Errors")
    for axis, heading in zip(axes[0], headings, strict=True):
        axis.set_title(heading)
    for row, sample, probability, name in zip(axes, samples, probabilities, titles, strict=True):
        top, left = (max(0, side - crop) // 2 for side in sample.mask.shape)
        middle = np.s_[top : top + crop, left : left + crop]
        image, mask, probability = sample.image[middle], sample.mask[middle], probability[middle]
        predicted = probability >= threshold
        row[0].imshow(image)
        row[1].imshow(image)
        if mask.any() and not mask.all():
            row[1].contour(mask, levels=[0.5], colors=OUTLINE, linewidths=0.8)
        row[2].imshow(probability, cmap="magma", vmin=0, vmax=1)
        errors = np.full((*mask.shape, 3), 255, np.uint8)
        for where, color in zip(_outcomes(mask, predicted), OUTCOMES.values(), strict=True):
            errors[where] = np.round(np.multiply(mpl.colors.to_rgb(color), 255))
        row[3].imshow(errors)
        row[0].set_ylabel(name)
        for axis in row:
            axis.grid(False)
    figure.supxlabel("x (pixels)", size=9)
    keys = [Patch(facecolor=color, label=outcome) for outcome, color in OUTCOMES.items()]
    keys.append(Line2D([], [], color=OUTLINE, label="outline in the mask"))
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys))
    scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, 1), "magma")
    figure.colorbar(scale, ax=axes, location="right", shrink=0.4, label="probability of nucleus")
    return figure


OUTCOMES = {"true positive": "#B8C4CE", "false positive": VERMILION, "false negative": BLUE}
"""Colours of predicted pixels against the mask."""


def _outcomes(mask, predicted):
    return mask & predicted, ~mask & predicted, mask & ~predicted
