"""Trace nuclei as polygons, and write them as GeoJSON for QuPath."""

import numpy as np
import orjson


def trace(labels):
    """Trace the outline of every nucleus.

    Parameters
    ----------
    labels : ndarray of int32, shape (H, W)
        0 = background, any other number one connected nucleus, as from `instances.separate`.

    Returns
    -------
    dict of int to ndarray of float, shape (N, 2)
        For each label a closed ring of x, y in pixels from the top left corner of the image, where
        the centre of the first pixel is at 0.5, 0.5. The ring runs half-way between the centres of
        the pixels inside and outside, clockwise as seen on the screen, and never crosses or touches
        itself. Holes and points on straight lines are left out.
    """
    if not labels.any():
        return {}
    flat, width = np.pad(labels, 1).ravel(), labels.shape[1] + 2
    places = np.flatnonzero(flat > 0)
    owners = flat[places]
    # Walk clockwise along the sides of pixels where a nucleus ends, with the nucleus on the right:
    # along top sides to the right, right sides down, bottom sides to the left, left sides up.
    ahead, outwards = np.array([1, width, -1, -width]), np.array([-width, 1, width, -1])
    ends_here = [owners != flat[places + step] for step in outwards]
    border = places[np.logical_or.reduce(ends_here)]
    rank = np.zeros(flat.size, np.int32)
    rank[border] = np.arange(len(border))
    sides, followers = [], []
    for side in range(4):
        pixel = places[ends_here[side]]
        beside = pixel + ahead[side]
        beyond = beside + outwards[side]
        right, left = 4 * rank[pixel] + (side + 1) % 4, 4 * rank[beyond] + (side + 3) % 4
        goes_on, bends = flat[beside] == flat[pixel], flat[beyond] == flat[pixel]
        sides.append(4 * rank[pixel] + side)
        followers.append(np.where(goes_on, np.where(bends, left, 4 * rank[beside] + side), right))
    follower = np.zeros(4 * len(border), np.int32)
    follower[np.concatenate(sides)] = np.concatenate(followers)
    # Start at the top side of the first pixel of a nucleus, which is on its outer border.
    names, first = np.unique(flat[border[sides[0] // 4]], return_index=True)
    steps, ends = _walk(follower, sides[0][first])
    pixel, side = border[steps // 4], steps % 4
    out = np.array([[0, -1], [1, 0], [0, 1], [-1, 0]])[side]
    points = np.stack([pixel % width, pixel // width], axis=1) - 0.5 + 0.5 * out
    starts = np.r_[0, ends[:-1]].astype(int)
    before, after = np.arange(len(points)) - 1, np.arange(len(points)) + 1
    before[starts], after[ends - 1] = ends - 1, starts
    bends = (points - points[before] != points[after] - points).any(axis=1)
    return {
        label: np.concatenate([ring := points[start:end][bends[start:end]], ring[:1]])
        for label, start, end in zip(names.tolist(), starts, ends, strict=True)
    }


def _walk(follower, starts):
    """Follow each start until it is reached again; return all steps and where each ring ends."""
    steps, ends = [], []
    following = memoryview(follower)
    for start in starts.tolist():
        step = start
        while True:
            steps.append(step)
            step = following[step]
            if step == start:
                break
        ends.append(len(steps))
    return np.array(steps, np.int64), np.array(ends, np.int64)


def geojson(labels, rows):
    """Write nuclei as GeoJSON for QuPath: one detection per nucleus.

    Parameters
    ----------
    labels : ndarray of int32, shape (H, W)
        As for `trace`.
    rows : list of dict
        What `measures.measure` returned for these labels.

    Returns
    -------
    str
        A FeatureCollection (RFC 7946) of polygons in pixels. The measures of each nucleus are its
        measurements in QuPath.
    """
    rings = trace(labels)
    features = [feature(rings[row["label"]], row) for row in rows]
    return orjson.dumps({"type": "FeatureCollection", "features": features}).decode()


def feature(ring, row):
    """Describe one nucleus as a GeoJSON feature.

    Parameters
    ----------
    ring : ndarray of float, shape (N, 2)
        Its outline, as from `trace`.
    row : dict
        Its measures, as from `measures.measure`.

    Returns
    -------
    dict
    """
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring.tolist()]},
        "properties": {
            "objectType": "detection",
            # QuPath 0.4 and later refuse a class without a colour.
            "classification": {"name": "Nucleus", "color": [0, 160, 80]},
            "measurements": {name: value for name, value in row.items() if value is not None},
        },
    }
