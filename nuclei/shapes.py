"""Nuclei as shapes: a table of what researchers measure, and outlines that QuPath opens."""

import csv

import numpy as np
import orjson

from .stains import STAINS, optical_density

MICROMETRES_PER_PIXEL = 0.25
"""At 40x, as in MoNuSeg."""

COLUMNS = ("label", "x_um", "y_um", "area_um2", "perimeter_um", "circularity", "haematoxylin")


def measure(labels, image, micrometres_per_pixel=MICROMETRES_PER_PIXEL):
    """Measure every nucleus.

    Parameters
    ----------
    labels : ndarray of int32, shape (H, W)
        0 = background, any other number one nucleus.
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    micrometres_per_pixel : float

    Returns
    -------
    list of dict
        In the order of the labels; each has the keys `COLUMNS`: the `label`; its centre `x_um`,
        `y_um` from the top left corner of the image; `area_um2`; `perimeter_um` by Crofton's
        formula; `circularity`, 4 pi area / perimeter^2, 1 for a disc; and `haematoxylin`, the mean
        optical density of that stain (Ruifrok & Johnston, 2001). All are rounded to four decimals,
        finer than anything measured here.
    """
    places = np.flatnonzero(labels > 0)
    owners, width = labels.ravel()[places], labels.shape[1]
    areas = np.bincount(owners)
    found = np.flatnonzero(areas)

    def mean(values):
        return np.bincount(owners, values)[found] / areas[found]

    # Not by @, whose threads go on spinning for a while on cores that others could use.
    channels = zip(image.reshape(-1, 3)[places].T, np.linalg.inv(STAINS)[:, 0], strict=True)
    density = sum(weight * optical_density(channel) for channel, weight in channels)
    area = areas[found] * micrometres_per_pixel**2
    around = _perimeters(labels, len(areas))[found] * micrometres_per_pixel
    columns = {
        "label": found,
        # A pixel's middle is half a pixel in.
        "x_um": (mean(places % width) + 0.5) * micrometres_per_pixel,
        "y_um": (mean(places // width) + 0.5) * micrometres_per_pixel,
        "area_um2": area,
        "perimeter_um": around,
        "circularity": np.minimum(1, 4 * np.pi * area / around**2),
        "haematoxylin": mean(density),
    }
    values = zip(*(np.round(column, 4).tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in values]


def _perimeters(labels, count):
    """Perimeter of each label in pixels, by how often lines of four directions cross its border.

    Crofton's formula; lines along diagonals lie closer together by the square root of 2.
    """
    flat, width = np.pad(labels, 1).ravel(), labels.shape[1] + 2  # what wraps around is background
    crossings = np.zeros(count)
    for step, weight in (1, 1), (width, 1), (width - 1, np.sqrt(0.5)), (width + 1, np.sqrt(0.5)):
        border = np.flatnonzero(flat[step:] != flat[:-step])
        for side in (border, border + step):
            crossings += weight * np.bincount(flat[side], minlength=count)
    return np.pi / 8 * crossings


def outlines(labels):
    """Trace the outline of every nucleus.

    Parameters
    ----------
    labels : ndarray of int32, shape (H, W)
        0 = background, any other number one nucleus in one piece, as from
        `instances.separate`.

    Returns
    -------
    dict of int to ndarray of float, shape (N, 2)
        For each label a closed ring of x, y in pixels from the top left corner of the image, where
        the middle of the first pixel is at 0.5, 0.5. It runs half-way between the pixels inside and
        those outside, clockwise to the eye, and never crosses or touches itself; points in the
        middle of straight lines and holes are left out.
    """
    if not labels.any():
        return {}
    flat, width = np.pad(labels, 1).ravel(), labels.shape[1] + 2
    places = np.flatnonzero(flat > 0)
    owners = flat[places]
    # Sides of pixels where a nucleus ends, walked clockwise, with the nucleus on the right hand:
    # the top side eastwards, the right one southwards, the bottom one westwards, the left one.
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
    # The top of the first pixel of a nucleus is on its outer border.
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
    """Follow each start around until it comes back; all steps, and where each round ends."""
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
    """Describe nuclei as GeoJSON that QuPath opens: one detection a nucleus.

    Parameters
    ----------
    labels : ndarray of int32, shape (H, W)
    rows : list of dict
        What `measure` returned for these labels.

    Returns
    -------
    str
        A FeatureCollection (RFC 7946) of polygons in pixels, with the columns of the table as
        QuPath's measurements.
    """
    rings = outlines(labels)
    features = [feature(rings[row["label"]], row) for row in rows]
    return orjson.dumps({"type": "FeatureCollection", "features": features}).decode()


def feature(ring, row):
    """Describe one nucleus as GeoJSON.

    Parameters
    ----------
    ring : ndarray of float, shape (N, 2)
        Its outline, as from `outlines`.
    row : dict
        As from `measure`.

    Returns
    -------
    dict
    """
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring.tolist()]},
        "properties": {
            "objectType": "detection",
            "classification": {"name": "Nucleus"},
            "measurements": dict(row),
        },
    }


def write_table(path, rows):
    """Write the rows of `measure` to a CSV file, with a heading also where there are none."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(dict(row) for row in rows)
