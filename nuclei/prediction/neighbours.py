"""How close nuclei lie to each other."""

import numpy as np

RADIUS = 50
"""In micrometres; the local density counts nuclei up to this distance."""

COLUMNS = ("nearest_nucleus_um", f"density_within_{RADIUS}um_per_mm2")

STRIPS = 32
"""Of a disc that the border cuts, for its area; it is exact to a thousandth."""


def measure(x, y, height, width):
    """Measure the neighbourhood of every nucleus.

    Parameters
    ----------
    x, y : array_like of float, shape (N,)
        Centres in micrometres from the top left corner of the image or slide.
    height, width : float
        Of the image or slide, in micrometres.

    Returns
    -------
    list of ndarray of float, shape (N,)
        One for each name in `COLUMNS`: the distance to the nearest other centre, NaN for a single
        nucleus; and the number of centres in a disc of `RADIUS` around each centre, itself
        included, divided by the area of the disc. What lies outside the image does not count as
        area.
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
    return [np.where(np.isinf(nearest), np.nan, nearest), number / area * 1e6]


def _cut_disc(left, right, above, below):
    """Area of discs that end at a distance from their centres, at most `RADIUS`, to each side."""
    start, end = -np.arcsin(left / RADIUS), np.arcsin(right / RADIUS)
    # Strips lie closer together at the sides of the disc, where it ends steeply.
    angles = start + (end - start) * (np.arange(STRIPS)[:, None] + 0.5) / STRIPS
    half = RADIUS * np.cos(angles)
    return ((np.minimum(half, above) + np.minimum(half, below)) * half).mean(axis=0) * (end - start)
