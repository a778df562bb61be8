"""Figures that show tissue: patches, annotated nuclei, and predictions with their errors."""

import textwrap

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from ..images.scaling import middle_of
from ..prediction.image import predict_image
from ..prediction.overlay import CYAN
from .style import BLUE, VERMILION, YELLOW, figure_style, label_outside

OUTLINE = tuple(channel / 255 for channel in CYAN)
"""Colour of contours on H&E."""

OUTCOMES = {"true positive": "#B8C4CE", "false positive": VERMILION, "false negative": BLUE}
"""Colours of pixels by how the prediction compares with the mask."""


@figure_style()
def tilings(layouts, size):
    """Draw one or more layouts of patches on an image, and the pixels that no patch covers.

    Parameters
    ----------
    layouts : dict of str to (ndarray of uint8, shape (H, W, 3), int)
        For each title the image, padded as it is for cutting, and the stride in pixels. Patches
        start at the top left and stay inside the image.
    size : int
        Side of a patch in pixels.

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(4.3 * len(layouts), 5))
    figure.suptitle(f"Patches of {size} x {size} pixels on one image")
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
        axis.set(title=f"{title}\n{len(corners)} patches cover {unseen}")
        axis.set(xlabel="x (pixels)", ylabel="y (pixels)", xlim=(0, width), ylim=(height, 0))
        axis.grid(False)
    keys = [
        Patch(facecolor=BLUE, label="number of the patch that starts here"),
        Patch(facecolor="none", edgecolor=YELLOW, lw=2.5, label="one whole patch"),
        Patch(facecolor="#40303F", label="not covered"),
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys))
    return figure


@figure_style()
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
        Number of columns, at most.

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
    label_outside(axes, len(images), "x (pixels)", "y (pixels)")
    key = Line2D([], [], color=OUTLINE, label="outline of a nucleus in the mask")
    figure.legend(handles=[key], loc="outside lower center")
    return figure


@figure_style()
def predictions(samples, probabilities, titles, title, threshold=0.5, crop=400):
    """Show the middle of each image, its mask, the prediction and the errors of the prediction.

    Parameters
    ----------
    samples : sequence of Sample
    probabilities : sequence of ndarray of float32, shape (H, W)
        Predicted probability map of each sample.
    titles : sequence of str
        One for each row.
    title : str
        Title of the figure.
    threshold : float
        A pixel belongs to a nucleus from this probability up.
    crop : int
        Side of the square that is shown, in pixels.

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(9.2, 2.15 * len(samples) + 1.05))
    figure.suptitle(title)
    axes = figure.subplots(len(samples), 4, squeeze=False, sharex=True, sharey=True)
    headings = ("Image", "Annotation", "Probability", "Errors")
    for axis, heading in zip(axes[0], headings, strict=True):
        axis.set_title(heading)
    for row, sample, probability, name in zip(axes, samples, probabilities, titles, strict=True):
        whole = sample.image, sample.mask, probability
        image, mask, probability = (middle_of(pixels, crop) for pixels in whole)
        predicted = probability >= threshold
        row[0].imshow(image)
        row[1].imshow(image)
        if mask.any() and not mask.all():
            row[1].contour(mask, levels=[0.5], colors=OUTLINE, linewidths=0.8)
        row[2].imshow(probability, cmap="magma", vmin=0, vmax=1)
        row[3].imshow(_outcomes(mask, predicted))
        row[0].set_ylabel(name)
        for axis in row:
            axis.grid(False)
    for axis in axes[-1]:
        axis.set_xlabel("x (pixels)")
    keys = [Patch(facecolor=color, label=outcome) for outcome, color in OUTCOMES.items()]
    keys.append(Line2D([], [], color=OUTLINE, label="outline in the mask"))
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys))
    scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, 1), "magma")
    look = {"location": "right", "shrink": 0.4, "aspect": 30, "pad": 0.01}
    figure.colorbar(scale, ax=axes, label="probability of nucleus", **look)
    return figure


def best_median_worst(model, samples, report, title):
    """Show the predictions of the images with the highest, the median and the lowest Dice.

    Parameters
    ----------
    model : keras.Model
    samples : sequence of Sample
    report : dict
        What `evaluation.evaluate` returned for these samples.
    title : str
        Title of the figure; ": best, median, worst" is added.

    Returns
    -------
    Figure
    """
    order = _by_dice(report)[::-1]
    chosen = dict.fromkeys([order[0], order[len(order) // 2], order[-1]])
    return _chosen(model, samples, report, chosen, f"{title}: best, median, worst")


def worst(model, samples, report, title, number=3, augment=False):
    """Show the predictions of the images with the lowest Dice; as `best_median_worst`.

    `augment` is that of the report, see `predict_image`.
    """
    chosen = _by_dice(report)[:number]
    return _chosen(model, samples, report, chosen, f"{title}: lowest Dice", augment)


def _by_dice(report):
    return np.argsort([image["dice"] for image in report["images"]])


def headline(sample):
    """Name a sample in a figure: its organ or, where that is not known, its name, not too long."""
    return textwrap.shorten(sample.organ or sample.name, 24, placeholder="...")


def _chosen(model, samples, report, chosen, title, augment=False):
    """Show some images of a report, by their numbers."""
    shown = [samples[i] for i in chosen]
    options = {"threshold": report["threshold"], "augment": augment}
    maps = [predict_image(model, sample.image, **options).probability for sample in shown]
    titles = [
        f"{headline(sample)}, Dice {report['images'][i]['dice']:.3f}\ny (pixels)"
        for i, sample in zip(chosen, shown, strict=True)
    ]
    return predictions(shown, maps, titles, title, report["threshold"])


@figure_style()
def errors(sample, masks, title, middle=(500, 500), crop=300, columns=4):
    """Show where the masks of several models differ from the annotation, in one field.

    Parameters
    ----------
    sample : Sample
    masks : dict of str to ndarray of bool, shape (H, W)
        The mask that each model predicts.
    title : str
        Title of the figure.
    middle : tuple of int
        Row and column of the middle of the field, which is moved if it would exceed the image.
    crop : int
        Side of the field, in pixels.
    columns : int
        Number of columns, at most.

    Returns
    -------
    Figure
    """
    top, left = (
        max(0, min(place - crop // 2, side - crop))
        for place, side in zip(middle, sample.mask.shape, strict=True)
    )
    field = np.s_[top : top + crop, left : left + crop]
    panels = {"Image, annotated": sample.image[field]}
    panels |= {name: _outcomes(sample.mask[field], mask[field]) for name, mask in masks.items()}
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(max(2.7 * columns, 6), 3 * rows + 0.8))
    figure.suptitle(title)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    mask = sample.mask[field]
    right, bottom = left + mask.shape[1], top + mask.shape[0]
    extent = np.subtract((left, right, bottom, top), 0.5)
    for axis, (name, panel) in zip(axes.flat, panels.items(), strict=False):
        axis.imshow(panel, extent=extent)
        axis.set_title(name)
        axis.grid(False)
    if mask.any() and not mask.all():
        x, y = np.arange(left, right), np.arange(top, bottom)
        axes[0, 0].contour(x, y, mask, levels=[0.5], colors=OUTLINE, linewidths=0.8)
    label_outside(axes, len(panels), "x (pixels)", "y (pixels)")
    keys = [Patch(facecolor=color, label=outcome) for outcome, color in OUTCOMES.items()]
    keys.append(Line2D([], [], color=OUTLINE, label="outline in the mask"))
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys))
    return figure


def _outcomes(mask, predicted):
    """Colour every pixel by `OUTCOMES`; true negatives are white."""
    picture = np.full((*mask.shape, 3), 255, np.uint8)
    found = mask & predicted, ~mask & predicted, mask & ~predicted
    for where, color in zip(found, OUTCOMES.values(), strict=True):
        picture[where] = np.round(np.multiply(mpl.colors.to_rgb(color), 255))
    return picture
