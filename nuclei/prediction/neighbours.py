"""How close nuclei lie to each other."""

import cv2
import numpy as np

from ..data.sizes import LARGEST

RADIUS = 50
"""In micrometres; the local density counts nuclei up to this distance."""

COLUMNS = ("nearest_nucleus_um", f"density_within_{RADIUS}um_per_mm2")

STRIPS = 32
"""Of a disc that the border cuts, for its area; it is exact to a thousandth."""

STEP = 2
"""Micrometres per pixel at which excluded areas are added up."""


def measure(x, y, height, width, excluded=None):
    """Measure the neighbourhood of every nucleus.

    Parameters
    ----------
    x, y : array_like of float, shape (N,)
        Centres in micrometres from the top left corner of the image or slide.
    height, width : float
        Of the image or slide, in micrometres.
    excluded : ndarray of bool, shape (H, W), optional
        True where there can be no nuclei, such as in black borders, in all of the image or slide;
        H and W need not be its pixels.

    Returns
    -------
    list of ndarray of float, shape (N,)
        One for each name in `COLUMNS`: the distance to the nearest other centre, NaN for a single
        nucleus; and the number of centres in a disc of `RADIUS` around each centre, itself
        included, divided by the area of the disc. What lies outside the image or is excluded does
        not count as area.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if not len(x):
        return [np.zeros(0), np.zeros(0)]
    from scipy.spatial import cKDTree  # not at the top: basic measures do without SciPy

    centres = np.stack([x, y], axis=1)
    tree = cKDTree(centres)
    nearest = tree.query(centres, k=[2])[0][:, 0]
    number = tree.query_ball_point(centres, RADIUS, return_length=True)
    area = np.full(len(x), np.pi * RADIUS**2)
    margins = np.stack([x, width - x, y, height - y]).clip(0, RADIUS)
    cut = (margins < RADIUS).any(axis=0)
    area[cut] = _cut_disc(*margins[:, cut])
    if excluded is not None and excluded.any():
        hidden = _excluded_area(x, y, height, width, excluded)
        area = np.maximum(area - hidden, np.minimum(area, LARGEST))  # the nucleus itself is there
    return [np.where(np.isinf(nearest), np.nan, nearest), number / area * 1e6]


def _cut_disc(left, right, above, below):
    """Area of discs that end at a distance from their centres, at most `RADIUS`, to each side."""
    start, end = -np.arcsin(left / RADIUS), np.arcsin(right / RADIUS)
    # Strips lie closer together at the sides of the disc, where it ends steeply.
    angles = start + (end - start) * (np.arange(STRIPS)[:, None] + 0.5) / STRIPS
    half = RADIUS * np.cos(angles)
    return ((np.minimum(half, above) + np.minimum(half, below)) * half).mean(axis=0) * (end - start)


def _excluded_area(x, y, height, width, excluded):
    """Area of what is excluded in discs, in square micrometres."""
    shape = np.minimum(excluded.shape, np.ceil([height / STEP, width / STEP])).astype(int)
    share = cv2.resize(excluded.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA)
    steps = np.array([height, width]) / shape
    reach = (RADIUS / steps).astype(int)
    rows, columns = (step * np.arange(-n, n + 1) for step, n in zip(steps, reach, strict=True))
    disc = (np.hypot(rows[:, None], columns) <= RADIUS) * np.float32(steps.prod())
    area = cv2.filter2D(share, -1, disc, borderType=cv2.BORDER_CONSTANT)
    places = (np.stack([y, x], axis=1) / steps).astype(int).clip(0, shape - 1)
    return area[*places.T]
