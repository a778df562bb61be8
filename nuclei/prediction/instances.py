"""Separate nuclei: from a probability map to one label per nucleus."""

import cv2
import numpy as np

from . import confidence

DEPTH = 1.0
"""A peak of the distance to the background is a nucleus of its own if the saddle that leads to a
higher peak lies at least this much lower, in pixels."""

RELATIVE_DEPTH = 0.2
"""The same depth for a learnt distance, which is 1 in the middle of a nucleus."""

LARGEST_HOLE = 500
"""Gaps in the mask of up to this many pixels are holes in nuclei; larger ones are background."""

VERTICAL, HORIZONTAL = (np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])
"""Two pairs of slices: pixels of an image in the first slice are neighbours of those in the second,
above and below or left and right."""

CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
"""A pixel and its four neighbours."""


def separate(
    maps,
    threshold=0.5,
    smoothing=1.0,
    depth=None,
    smallest=30,
    min_score=confidence.MIN_SCORE,
):
    """Separate touching nuclei by a watershed of the distance to their borders.

    Nuclei are round, so two touching nuclei have a waist between them: the distance has a peak in
    each nucleus and a saddle between the peaks. Every peak that is high enough above the saddle
    becomes one nucleus (Malpica et al., Cytometry 28, 1997). The distance is that to the
    background or, better, the distance to the border of the nucleus if the network has learnt it
    (Naylor et al., IEEE TMI 38(2), 2019).

    Parameters
    ----------
    maps : ndarray of float32, shape (H, W), (H, W, 1) or (H, W, 2)
        Probability of nucleus and, in the second channel, the learnt distance, as in
        `relative_distance`.
    threshold : float
        A pixel belongs to a nucleus from this probability up.
    smoothing : float
        Standard deviation of the Gaussian that smooths the distance, in pixels.
    depth : float, optional
        How far a saddle must lie below a peak for the peak to be a nucleus of its own. With a
        larger depth, fewer nuclei are cut in two and more touching nuclei stay together. By
        default `DEPTH` pixels, or `RELATIVE_DEPTH` for a learnt distance.
    smallest : int
        Smaller objects are removed, in pixels: 30 pixels are 2 um2 at 0.25 um per pixel.
    min_score : float
        Objects with a lower score are removed; 0 keeps all.

    Returns
    -------
    labels : ndarray of int32, shape (H, W)
        0 = background, 1..N = one nucleus each, connected and without holes of its own.
    scores : ndarray of float64, shape (N,)
        How likely each of them is a nucleus, 0 to 1; see `confidence`.
    """
    learnt = np.atleast_3d(maps).shape[-1] > 1
    labels, areas, described = divide(maps, threshold, smoothing, depth)
    scores = confidence.score(described, learnt)
    kept = (areas >= smallest) & (scores >= min_score)
    kept[0] = False  # the background
    # Fill holes last, because removing an object may leave a hole in the nucleus around it.
    return _fill_holes_of_one(renumber(labels, kept)), scores[kept]


def renumber(labels, kept):
    """Number some objects anew, from 1 and without gaps, and make the others background.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
        0 = background, other numbers one object each.
    kept : ndarray of bool, shape (N + 1,)
        Which of the numbers 0..N stay; the background stays background, whatever it says.

    Returns
    -------
    ndarray of int32, shape (H, W)
        The objects that stay, in the same order.
    """
    kept = np.append(False, kept[1:])
    return np.where(kept, np.cumsum(kept), 0).astype(np.int32)[labels]


def divide(maps, threshold=0.5, smoothing=1.0, depth=None):
    """Divide the mask into objects, which are not all nuclei, and describe them.

    Parameters
    ----------
    maps, threshold, smoothing, depth
        As for `separate`.

    Returns
    -------
    labels : ndarray of int32, shape (H, W)
        0 = background, other numbers one object each; some numbers are not used.
    areas : ndarray of float64, shape (N,)
        Pixels of each number.
    described : ndarray of float64, shape (N, 3)
        `confidence.features` of each number.
    """
    maps = np.atleast_3d(maps)
    inside = _fill_holes(maps[..., 0] >= threshold)
    learnt = maps.shape[-1] > 1
    if learnt:
        distance, depth = maps[..., 1], RELATIVE_DEPTH if depth is None else depth
    else:
        # Exact to 2%; the precise distance takes five times as long and gives the same nuclei.
        distance = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
        depth = DEPTH if depth is None else depth
    if smoothing:
        distance = np.ascontiguousarray(distance, np.float32)
        distance = cv2.GaussianBlur(distance, (0, 0), smoothing, borderType=cv2.BORDER_REFLECT)
    height = np.where(inside, distance, np.float32(-1))
    basins, peaks = _steepest_ascent(height)
    owners = _merge_shallow_basins(basins, height, peaks, depth)
    count = len(owners)

    def total(values=None):
        """Sum over the pixels of each object."""
        return np.bincount(owners, np.bincount(basins.ravel(), values, count), count)

    areas = total()
    means = total(maps[..., 0].ravel()) / np.maximum(areas, 1)
    # The number of an object is that of its basin with the highest peak.
    return owners[basins], areas, confidence.features(means, areas, np.array(peaks), learnt)


def _steepest_ascent(height):
    """Lead every pixel uphill to a peak, always to the highest of its four neighbours.

    Returns
    -------
    basins : ndarray of int32, shape (H, W)
        The number of the peak, from 1, that each pixel leads to; 0 where the height is negative.
        The pixels of one peak are connected.
    tops : list of float
        Height of each peak, indexed by its number; the entry at 0 is unused. A plateau may have
        several peaks, which `_merge_shallow_basins` joins.
    """
    padded = np.pad(height, 1, constant_values=-1)
    flat, width = padded.ravel(), padded.shape[1]
    places = np.flatnonzero(flat >= 0)
    highest, uphill = flat[places], places.copy()
    for side in (-width, -1, 1, width):
        beside = places + side
        there = flat[beside]
        # Cross a plateau only to the left and upwards, so that no path is a circle.
        higher = there >= highest if side < 0 else there > highest
        np.copyto(highest, there, where=higher)
        np.copyto(uphill, beside, where=higher)
    order = np.zeros(flat.size, np.intp)
    order[places] = np.arange(len(places))
    leads_to = order[uphill]
    while not np.array_equal(further := leads_to[leads_to], leads_to):
        leads_to = further  # the paths double in length each time
    peaks = np.flatnonzero(leads_to == np.arange(len(places)))
    numbers = np.zeros(len(places), np.int32)
    numbers[peaks] = np.arange(1, len(peaks) + 1)
    basins = np.zeros(flat.size, np.int32)
    basins[places] = numbers[leads_to]
    tops = [0.0, *flat[places[peaks]].tolist()]
    return basins.reshape(padded.shape)[1:-1, 1:-1], tops


def _merge_shallow_basins(basins, height, tops, depth):
    """Join two basins if the lower of their peaks is less than `depth` above their saddle.

    Basins are joined over the highest saddle first. The peaks that remain are those of dynamics
    `depth` (Grimaud, SPIE 1769, 1992). A reconstruction by dilation gives the same, much slower.

    Returns
    -------
    ndarray of int32, shape (len(tops),)
        For each basin the number of the basin that it is now part of.
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
    """Fill gaps in a mask that it surrounds, up to `LARGEST_HOLE` pixels."""
    gaps, enclosed = _gaps(mask)
    holes = enclosed & (np.bincount(gaps.ravel()) <= LARGEST_HOLE)
    return mask | holes[gaps]


def _fill_holes_of_one(labels):
    """Fill the holes that are surrounded by a single nucleus, in place."""
    gaps, enclosed = _gaps(labels > 0)
    places = np.flatnonzero(enclosed[gaps])
    if not len(places):
        return labels
    places = places[np.argsort(gaps.ravel()[places], kind="stable")]  # hole by hole
    starts = np.flatnonzero(np.diff(gaps.ravel()[places], prepend=0))
    # Add a rim of one pixel around each hole.
    axes = np.divmod(places, labels.shape[1])
    firsts = zip(*(np.minimum.reduceat(axis, starts) - 1 for axis in axes), strict=True)
    lasts = zip(*(np.maximum.reduceat(axis, starts) + 2 for axis in axes), strict=True)
    for place, first, last in zip(places[starts], firsts, lasts, strict=True):
        window = tuple(map(slice, first, last))
        hole = (gaps[window] == gaps.flat[place]).astype(np.uint8)
        around = labels[window][cv2.dilate(hole, CROSS) > hole]
        if (around == around[0]).all():
            labels[window][hole > 0] = around[0]
    return labels


def _gaps(mask):
    """Find the connected components of the background of a mask, by four neighbours.

    Returns
    -------
    gaps : ndarray of int32, shape (H, W)
        The number of each component, from 1; 0 in the mask.
    enclosed : ndarray of bool, shape (N + 1,)
        For each number, whether the component stays clear of the border of the image; False for
        the mask.
    """
    count, gaps = cv2.connectedComponents((~mask).view(np.uint8), connectivity=4)
    enclosed = np.arange(count) > 0
    for side in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        enclosed[gaps[side]] = False
    return gaps, enclosed
