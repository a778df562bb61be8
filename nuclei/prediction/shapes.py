"""The shape of every nucleus in a label image, for all nuclei at once."""

import cv2
import numpy as np


def perimeters(labels, count):
    """Perimeter of each label in pixels, by Crofton's formula.

    It counts how often lines in four directions cross the border. Diagonal lines lie closer
    together, by the square root of 2.

    Parameters
    ----------
    labels : ndarray of int32, shape (H, W)
        0 = background, any other number below `count` one nucleus.
    count : int
        One more than the largest label.

    Returns
    -------
    ndarray of float, shape (count,)
    """
    flat, width = np.pad(labels, 1).ravel(), labels.shape[1] + 2  # lines wrap in background
    crossings = np.zeros(count)
    for step, weight in (1, 1), (width, 1), (width - 1, np.sqrt(0.5)), (width + 1, np.sqrt(0.5)):
        border = np.flatnonzero(flat[step:] != flat[:-step])
        for side in (border, border + step):
            crossings += weight * np.bincount(flat[side], minlength=count)
    return np.pi / 8 * crossings


def ellipses(variance_x, variance_y, covariance):
    """The ellipse with the same second moments as a nucleus, as in `skimage.measure.regionprops`.

    Parameters
    ----------
    variance_x, variance_y, covariance : ndarray of float, shape (N,)
        Second central moments of the coordinates of a nucleus, divided by its area.

    Returns
    -------
    dict of str to ndarray of float, shape (N,)
        `eccentricity`, from 0 for a circle to 1; `axis_major_length` and `axis_minor_length`, both
        in the unit of the coordinates; and `orientation`, the angle from the downward direction to
        the long axis, from -pi/2 to pi/2, positive towards the right.
    """
    middle, difference = (variance_x + variance_y) / 2, (variance_y - variance_x) / 2
    spread = np.hypot(difference, covariance)
    long, short = middle + spread, np.maximum(middle - spread, 0)
    return {
        "eccentricity": np.sqrt(1 - np.divide(short, long, out=np.ones_like(long), where=long > 0)),
        "axis_major_length": 4 * np.sqrt(long),
        "axis_minor_length": 4 * np.sqrt(short),
        "orientation": np.arctan2(covariance, difference) / 2,
    }


def convex_areas(labels, count):
    """Number of pixels in the convex hull of each label, as in `skimage.measure.regionprops`.

    The hull is that of the middles of all sides of a nucleus's pixels. All coordinates are doubled
    here, so that they are whole and every comparison is exact.

    Parameters
    ----------
    labels, count
        As for `perimeters`.

    Returns
    -------
    ndarray of int, shape (count,)
    """
    flat, width = np.pad(labels, 1).ravel(), labels.shape[1] + 2
    change = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    inside = np.flatnonzero(flat[change])
    if not len(inside):
        return np.zeros(count, int)
    inside = inside[np.argsort(flat[change[inside]], kind="stable")]
    # Horizontal runs of pixels, nucleus by nucleus; only their ends can lie on a hull.
    first, last = change[inside], change[inside + 1] - 1
    y, left, right = 2 * (first // width), 2 * (first % width), 2 * (last % width)
    corners = [(left - 1, y), (left, y - 1), (left, y + 1)]
    corners += [(right + 1, y), (right, y - 1), (right, y + 1)]
    points = np.stack([np.stack(corner, axis=-1) for corner in corners], axis=1)
    points = points.reshape(-1, 2).astype(np.int32)
    names, starts = np.unique(flat[first], return_index=True)
    parts = np.split(points, len(corners) * starts[1:])
    hulls = [cv2.convexHull(part)[:, 0].astype(np.int64) for part in parts]
    sizes = [len(hull) for hull in hulls]
    here = np.concatenate(hulls)
    there = np.concatenate([np.roll(hull, -1, axis=0) for hull in hulls])
    owners = np.repeat(names, sizes)
    return _count(here, there, owners, count)


def _count(here, there, owners, count):
    """Pixels between the edges of convex polygons, in doubled coordinates."""
    upper = np.where((here[:, 1] < there[:, 1])[:, None], here, there)
    lower = here + there - upper
    # Rows of pixel centres from the upper end on, short of the lower end.
    top, bottom = -(-upper[:, 1] // 2), -(-lower[:, 1] // 2)
    rows = bottom - top
    edge = np.repeat(np.arange(len(rows)), rows)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(rows) - rows, rows) + top[edge]
    run, rise = (lower - upper)[edge].T
    across = upper[edge, 0] * rise + (2 * row - upper[edge, 1]) * run
    # `cv2.convexHull` goes around clockwise as seen on the screen: up on the left.
    is_left = (here[:, 1] > there[:, 1])[edge]
    ends = np.where(is_left, across // (-2 * rise), across // (2 * rise))
    return np.bincount(owners[edge], ends + 0.5, minlength=count).round().astype(int)
