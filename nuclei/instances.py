"""From the probability of nucleus at every pixel to one label for every nucleus."""

import cv2
import numpy as np
from scipy import ndimage

DEPTH = 1.0
"""How far, in pixels, a saddle must lie below a peak of the distance to the background."""

RELATIVE_DEPTH = 0.2
"""The same for a learnt distance, as a fraction of the largest in a nucleus."""

LARGEST_HOLE = 500
"""Gaps in a mask of up to so many pixels are holes in nuclei; larger ones lie between nuclei."""

VERTICAL, HORIZONTAL = (np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])
"""Neighbouring pixels: an image indexed by the first of a pair lies beside the second."""

CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
"""A pixel and its four sides."""


def separate(maps, threshold=0.5, smoothing=1.0, depth=None, smallest=30):
    """Tell touching nuclei apart by a watershed of a distance to their borders.

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
        # To 2%; the precise one takes five times as long for the same nuclei.
        distance = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
        depth = DEPTH if depth is None else depth
    else:
        distance, depth = maps[..., 1], RELATIVE_DEPTH if depth is None else depth
    if smoothing:
        distance = np.ascontiguousarray(distance, np.float32)
        distance = cv2.GaussianBlur(distance, (0, 0), smoothing, borderType=cv2.BORDER_REFLECT)
    height = np.where(inside, distance, np.float32(-1))
    basins, tops = _climb(height)
    owners = _join(basins, height, tops, depth)
    areas = np.bincount(owners, np.bincount(basins.ravel(), minlength=len(owners)))
    large = areas >= smallest
    large[0] = False
    numbers = np.where(large, np.cumsum(large), 0).astype(np.int32)
    # Last, as what was left out may leave a hole in what lies around it.
    return _fill_holes_of_one(numbers[owners][basins])


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


def _climb(height):
    """Follow every pixel of a nucleus uphill, by the steepest of its four sides, to a peak.

    Returns
    -------
    basins : ndarray of int32, shape (H, W)
        The peak that each pixel leads to, numbered from 1; 0 where the height is negative. What
        leads to one peak is in one piece.
    tops : list of float
        Height of each peak, after one for 0. A plain may have several, which `_join` joins.
    """
    padded = np.pad(height, 1, constant_values=-1)
    flat, width = padded.ravel(), padded.shape[1]
    places = np.flatnonzero(flat >= 0)
    highest, uphill = flat[places], places.copy()
    for side in (-width, -1, 1, width):
        beside = places + side
        there = flat[beside]
        # Over a plain to the left and the top, so that no way leads round in circles.
        higher = there >= highest if side < 0 else there > highest
        np.copyto(highest, there, where=higher)
        np.copyto(uphill, beside, where=higher)
    order = np.zeros(flat.size, np.intp)
    order[places] = np.arange(len(places))
    leads_to = order[uphill]
    while not np.array_equal(further := leads_to[leads_to], leads_to):
        leads_to = further  # twice as far each time
    peaks = np.flatnonzero(leads_to == np.arange(len(places)))
    numbers = np.zeros(len(places), np.int32)
    numbers[peaks] = np.arange(1, len(peaks) + 1)
    basins = np.zeros(flat.size, np.int32)
    basins[places] = numbers[leads_to]
    tops = [0.0, *flat[places[peaks]].tolist()]
    return basins.reshape(padded.shape)[1:-1, 1:-1], tops


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
    gaps, enclosed = _gaps(mask)
    holes = enclosed & (np.bincount(gaps.ravel()) <= LARGEST_HOLE)
    return mask | holes[gaps]


def _fill_holes_of_one(labels):
    """Fill, in place, the holes that have one nucleus, and no other, around them."""
    gaps, enclosed = _gaps(labels > 0)
    windows = ndimage.find_objects(gaps)
    for gap in np.flatnonzero(enclosed):
        # With a rim of what surrounds it.
        window = tuple(slice(axis.start - 1, axis.stop + 1) for axis in windows[gap - 1])
        hole = (gaps[window] == gap).astype(np.uint8)
        around = labels[window][cv2.dilate(hole, CROSS) > hole]
        if (around == around[0]).all():
            labels[window][hole > 0] = around[0]
    return labels


def _gaps(mask):
    """Find the pieces, connected by sides, of what is not in a mask.

    Returns
    -------
    gaps : ndarray of int32, shape (H, W)
        Their numbers; 0 in the mask.
    enclosed : ndarray of bool, shape (N + 1,)
        Whether each does not reach the border of the image; False for the mask.
    """
    count, gaps = cv2.connectedComponents((~mask).astype(np.uint8), connectivity=4)
    enclosed = np.arange(count) > 0
    for side in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        enclosed[gaps[side]] = False
    return gaps, enclosed
