"""From the probability of nucleus at every pixel to one label for every nucleus."""

import cv2
import numpy as np
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import local_maxima
from skimage.segmentation import watershed

DEPTH = 1.0
"""How far, in pixels, a saddle must lie below a peak of the distance to the background."""

RELATIVE_DEPTH = 0.2
"""The same for a learnt distance, as a fraction of the largest in a nucleus."""

LARGEST_HOLE = 500
"""Gaps in a mask of up to so many pixels are holes in nuclei; larger ones lie between nuclei."""

VERTICAL, HORIZONTAL = (np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])
"""Neighbouring pixels: an image indexed by the first of a pair lies beside the second."""


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
    inside = _fill_holes(maps[..., 0] >= threshold)
    if maps.shape[-1] == 1:
        precise = cv2.DIST_L2, cv2.DIST_MASK_PRECISE
        distance = cv2.distanceTransform(inside.astype(np.uint8), *precise)
        depth = DEPTH if depth is None else depth
    else:
        distance, depth = maps[..., 1], RELATIVE_DEPTH if depth is None else depth
    height = np.where(inside, ndimage.gaussian_filter(distance, smoothing), -1)
    # With a rim, for peaks at the border of the image.
    peaks = local_maxima(np.pad(height, 1, constant_values=-1))[1:-1, 1:-1]
    # Connected by sides, not corners, as in the watershed. Every piece of the mask has a peak.
    markers, count = ndimage.label(peaks)
    basins = _flood(height, markers, inside)
    tops = np.zeros(count + 1)
    tops[markers] = height
    return tidy(_join(basins, height, tops.tolist(), depth)[basins], smallest)


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
    pieces = label(labels, connectivity=1)
    sizes = np.bincount(pieces.ravel())
    names = np.zeros(len(sizes), labels.dtype)
    names[pieces] = labels
    smaller_first = np.argsort(sizes, kind="stable")
    largest = np.zeros(labels.max() + 1, np.intp)
    largest[names[smaller_first]] = smaller_first  # the last one stays
    one_piece = np.where(largest[names] == np.arange(len(names)), names, 0)[pieces]
    large = np.bincount(one_piece.ravel()) >= smallest
    large[0] = False
    # Last, as what was removed may leave a hole in what lies around it.
    return _fill_holes_of_one(np.where(large, np.cumsum(large), 0).astype(np.int32)[one_piece])


def _flood(height, markers, inside):
    """Give each pixel to the peak that it belongs to; only pieces with several need a watershed."""
    pieces, count = ndimage.label(inside)
    places = np.flatnonzero(markers)
    numbers, owners = markers.ravel()[places], pieces.ravel()[places]
    lowest, highest = np.full(count + 1, markers.size), np.zeros(count + 1, np.int32)
    np.minimum.at(lowest, owners, numbers)
    np.maximum.at(highest, owners, numbers)
    alone = np.where(lowest == highest, highest, 0)[pieces]
    return alone + watershed(-height, markers, mask=inside & (alone == 0))


def _join(basins, height, tops, depth):
    """Join basins whose lower peak does not stand out above the saddle between them.

    Basins are joined over the highest saddle first, so that what remains are the peaks of dynamics
    `depth` (Grimaud, SPIE 1769, 1992), as from a reconstruction by dilation but much faster.

    Returns
    -------
    ndarray of int32, shape (len(tops),)
        The basin that each has become a part of.
    """
    pairs, saddles = [], []
    for here, there in (VERTICAL, HORIZONTAL):
        first, second = basins[here], basins[there]
        border = (first != second) & (first > 0) & (second > 0)
        pairs.append(np.sort([first[border], second[border]], axis=0))
        saddles.append(np.minimum(height[here], height[there])[border])
    pairs, saddles = np.concatenate(pairs, axis=1), np.concatenate(saddles)
    downwards = np.argsort(-saddles, kind="stable")
    numbers = pairs[0].astype(np.int64) * len(tops) + pairs[1]
    highest = downwards[np.sort(np.unique(numbers[downwards], return_index=True)[1])]
    parents = list(range(len(tops)))

    def root(basin):
        while parents[basin] != basin:
            parents[basin] = basin = parents[parents[basin]]
        return basin

    for first, second, saddle in zip(*pairs[:, highest].tolist(), saddles[highest], strict=True):
        low, high = sorted((root(first), root(second)), key=tops.__getitem__)
        if low != high and tops[low] - saddle < depth:
            parents[low] = high
    return np.array([root(basin) for basin in parents], np.int32)


def _fill_holes(mask):
    """Fill what a mask surrounds, where it is no larger than a hole."""
    gaps = _gaps(mask)
    holes = np.bincount(gaps.ravel()) <= LARGEST_HOLE
    holes[0] = False
    return mask | holes[gaps]


def _fill_holes_of_one(labels):
    """Fill the holes that have one nucleus, and no other, around them."""
    gaps = _gaps(labels > 0)
    around = [], []
    for here, there in (VERTICAL, HORIZONTAL, VERTICAL[::-1], HORIZONTAL[::-1]):
        border = (gaps[here] > 0) & (gaps[there] == 0)
        around[0].append(gaps[here][border])
        around[1].append(labels[there][border])
    gap, neighbour = np.concatenate(around[0]), np.concatenate(around[1])
    low, high = np.full(gaps.max() + 1, labels.max() + 1), np.zeros(gaps.max() + 1, int)
    np.minimum.at(low, gap, neighbour)
    np.maximum.at(high, gap, neighbour)
    return labels + np.where(low == high, high, 0).astype(labels.dtype)[gaps]


def _gaps(mask):
    """Number what is not in a mask and does not reach the border of the image; 0 elsewhere."""
    gaps, count = ndimage.label(~mask)
    numbers = np.arange(count + 1, dtype=np.int32)
    for side in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        numbers[gaps[side]] = 0
    return numbers[gaps]
