"""Figures that show nuclei one by one: which are found, which are false, and which are missed."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..images.scaling import middle_of
from ..prediction.image import predict_image
from ..prediction.overlay import outline
from ..scores.objects import Overlaps
from .style import figure_style
from .tissue import headline

FOUND, FALSE, MISSED = (0, 229, 255), (255, 140, 0), (255, 255, 0)
"""RGB, 0..255, of the outlines."""


def compare(prediction, truth):
    """Sort nuclei by whether they fit: those with an IoU above 0.5, as panoptic quality does.

    Parameters
    ----------
    prediction, truth : ndarray of int, shape (H, W)
        0 = background, any other number one nucleus.

    Returns
    -------
    found, false, missed : ndarray of int, shape (H, W)
        Labels of the predicted nuclei that fit a true one, of the others, and of the true ones that
        no predicted one fits.
    """
    overlaps = Overlaps(prediction, truth)
    fit = overlaps.iou > 0.5
    fits = np.isin(prediction, np.unique(prediction[prediction > 0])[overlaps.predicted[fit]])
    known = np.isin(truth, np.unique(truth[truth > 0])[overlaps.true[fit]])
    return prediction * fits, prediction * ~fits, truth * ~known


@figure_style()
def best_median_worst(model, samples, report, title, crop=400):
    """Show the nuclei of the images with the highest, the median and the lowest PQ.

    Parameters
    ----------
    model : keras.Model
    samples : sequence of Sample
        With labels.
    report : dict
        What `evaluation.evaluate` returned for these samples.
    title : str
        Title of the figure; ": best, median and worst PQ" is added.
    crop : int
        Side of the square in the middle of each image that is shown, in pixels.

    Returns
    -------
    Figure
    """
    order = np.argsort([-image["pq"] for image in report["images"]])
    chosen = list(dict.fromkeys([order[0], order[len(order) // 2], order[-1]]))
    figure = Figure(figsize=(max(3.6 * len(chosen), 6), 4.6))
    figure.suptitle(f"{title}: best, median and worst PQ")
    axes = figure.subplots(1, len(chosen), squeeze=False)[0]
    for axis, number in zip(axes, chosen, strict=True):
        sample, scores = samples[number], report["images"][number]
        labels = predict_image(model, sample.image, threshold=report["threshold"]).labels
        title = f"{headline(sample)}, PQ {scores['pq']:.3f}"
        show(axis, sample.image, labels, sample.labels, title, crop)
    explain(figure)
    return figure


def show(axis, image, labels, truth, title, crop):
    """Show the middle of an image, with the nuclei that are found, false and missed.

    Parameters
    ----------
    axis : Axes
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    labels, truth : ndarray of int32, shape (H, W)
        As for `compare`.
    title : str
        The numbers of nuclei in the whole image stand below it.
    crop : int
        Side of the square that is shown, in pixels.
    """
    sorts = compare(labels, truth)
    counts = [len(np.unique(sort[sort > 0])) for sort in sorts]
    # The missed ones first, so that a false one beside them stays visible.
    for sort, color in zip(sorts[::-1], (MISSED, FALSE, FOUND), strict=True):
        image = outline(image, sort, color)
    axis.imshow(middle_of(image, crop))
    axis.set_title(title + "\n{:,} found, {:,} false, {:,} missed".format(*counts))
    axis.set(xlabel="x (pixels)")
    axis.grid(visible=False)


def explain(figure):
    """Say below a figure of `show` what its colours mean, and name the axis of the first one."""
    figure.axes[0].set_ylabel("y (pixels)")
    names = "found: IoU above 0.5", "false: fits no annotated nucleus", "missed, as annotated"
    keys = [
        Line2D([], [], color=np.divide(color, 255), linewidth=3, label=name)
        for color, name in zip((FOUND, FALSE, MISSED), names, strict=True)
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys))
