"""From the probability of nucleus at every pixel to one label for every nucleus."""

import numpy as np
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

DEPTH = 1.0
"""How far, in pixels, a saddle must lie below a peak of the distance to the background."""

RELATIVE_DEPTH = 0.2
"""The same for a learnt distance, as a fraction of the largest in a nucleus."""


def separate(maps, threshold=0.5, smoothing=1.0, depth=None, smallest=30):
    """Tell touching nuclei apart by marker-controlled watershed on a distance to their borders.

    Nuclei are round, so where two touch there is a waist: the distance has a peak in each nucleus
    and a saddle between them. Every peak that stands out becomes one nucleus (Malpica et al.,
    Cytometry 28, 1997). The distance is that to the background or, better, that to the border of
    the nucleus itself, where a network has learnt it (Naylor et al., IEEE TMI 38(2), 2019).

    Parameters
    ----------
    maps : ndarray of float32, shape (H, W), (H, W, 1) or (H, W, 2)
        Probability of nucleus and, in a second channel, distances like those of
        `relative_distance`.
    threshold : float
        Nuclei begin at this probability.
    smoothing : float
        Standard deviation of the Gaussian that smooths the distances, in pixels.
    depth : float, optional
        How far a saddle lies below a peak for the peak to be a nucleus of its own: more depth,
        fewer nuclei cut in two and more that stay together. By default `DEPTH` pixels, or
        `RELATIVE_DEPTH` where the distance is learnt.
    smallest : int
        What has fewer pixels is no nucleus: 30 are 2 um2 at 0.25 um per pixel.

    Returns
    -------
    ndarray of int32, shape (H, W)
        0 = background, 1..N = one nucleus each, in one piece and without holes of its own.
    """
    maps = np.atleast_3d(maps)
    inside = ndimage.binary_fill_holes(maps[..., 0] >= threshold)
    if not inside.any():
        return np.zeros(inside.shape, np.int32)
    if maps.shape[-1] == 1:
        distance, depth = ndimage.distance_transform_edt(inside), DEPTH if depth is None else depth
    else:
        distance, depth = maps[..., 1], RELATIVE_DEPTH if depth is None else depth
    distance = ndimage.gaussian_filter(distance, smoothing)
    peaks = (h_maxima(distance, depth) > 0) & inside
    # Connected by sides, not corners, as in the watershed.
    pieces = label(inside, connectivity=1)
    flat = ~np.isin(pieces, pieces[peaks])  # too thin for a peak to stand out: one nucleus each
    markers = label(peaks | inside & flat, connectivity=1)
    return tidy(watershed(-distance, markers, mask=inside), smallest)


def targets(labels):
    """Show a network what to learn: which pixels are nucleus, and how deep in it they lie.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
        0 = background, 1..N = one nucleus each.

    Returns
    -------
    ndarray of float32, shape (H, W, 2)
        Mask, 0 or 1, and `relative_distance`.
    """
    return np.stack([labels > 0, relative_distance(labels)], axis=-1).astype(np.float32)


def relative_distance(labels):
    """Measure how deep in its nucleus each pixel lies.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
        0 = background, 1..N = one nucleus each.

    Returns
    -------
    ndarray of float32, shape (H, W)
        Distance to the nearest pixel outside the nucleus, divided by the largest within it: near 0
        at its border, 1 in its middle, whatever its size, 0 in the background. What lies beyond
        the image counts as more of the nucleus.
    """
    relative = np.zeros(labels.shape, np.float32)
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is None:
            continue
        # With a rim of what surrounds the nucleus, where there is any.
        window = tuple(slice(max(0, axis.start - 1), axis.stop + 1) for axis in window)
        nucleus = labels[window] == number
        if nucleus.all():  # no border to be seen
            relative[window] = 1
            continue
        distance = ndimage.distance_transform_edt(nucleus)
        relative[window][nucleus] = (distance / distance.max())[nucleus]
    return relative


def tidy(labels, smallest=30):
    """Give every nucleus one piece without holes of its own, and number them from 1.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
        0 = background, any other number one nucleus.
    smallest : int
        What has fewer pixels is removed.

    Returns
    -------
    ndarray of int32, shape (H, W)
        0 = background, 1..N = one nucleus each, in the order of their labels: the largest piece of
        it, connected by sides, with background in its holes filled.
    """
    tidied, count = np.zeros(labels.shape, np.int32), 0
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is None:
            continue
        pieces, found = ndimage.label(labels[window] == number)
        if found > 1:
            pieces = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
        nucleus = ndimage.binary_fill_holes(pieces)
        nucleus &= (labels[window] == number) | (labels[window] == 0)  # not another nucleus
        if nucleus.sum() >= smallest:
            count += 1
            tidied[window][nucleus] = count
    return tidied
