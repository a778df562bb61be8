"""A table of nuclei: position, area, shape, stain and neighbourhood of each nucleus."""

import numpy as np

from ..atomic import write_csv
from ..data.stains import SPLIT, optical_density
from ..images.resolution import MPP
from . import neighbours, shapes

BASIC = (
    *("label", "x_um", "y_um", "area_um2", "perimeter_um", "circularity"),
    *("haematoxylin", "score"),
)
SHAPES = (
    *("solidity", "eccentricity", "axis_major_length_um", "axis_minor_length_um"),
    "orientation_rad",
)
STAINING = ("haematoxylin_sd", "eosin", "eosin_sd")

OWN = {"basic": BASIC, "all": BASIC + SHAPES + STAINING}
"""Columns that one nucleus has by itself, by the choice of measures."""

COLUMNS = {"basic": BASIC, "all": OWN["all"] + neighbours.COLUMNS}
"""All columns, by the choice of measures."""


def measure(labels, image, mpp=MPP, choice="basic", scores=None, excluded=None):
    """Measure every nucleus of an image.

    Parameters
    ----------
    labels : ndarray of int32, shape (H, W)
        0 = background, any other number one nucleus.
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    mpp : float
        Micrometres per pixel.
    choice : {"basic", "all"}
        Which measures.
    scores : ndarray of float, shape (N,), optional
        How likely each object is a nucleus, as from `instances.separate`.
    excluded : ndarray of bool, shape (H, W), optional
        True where there can be no nuclei, as in `image.Prediction`.

    Returns
    -------
    list of dict
        One row per nucleus, in the order of the labels, with the keys `COLUMNS[choice]`: those of
        `measure_each`; with "all" also those of `neighbours.measure`, None for a distance that does
        not exist. All are rounded to four decimals, which is finer than their precision.
    """
    rows = measure_each(labels, image, mpp, choice, scores)
    if choice == "all":
        x, y = ([row[name] for row in rows] for name in ("x_um", "y_um"))
        extent = (mpp * size for size in labels.shape)
        add_neighbours(rows, neighbours.measure(x, y, *extent, excluded))
    return rows


def measure_each(labels, image, mpp=MPP, choice="basic", scores=None):
    """Measure every nucleus by itself.

    Parameters
    ----------
    labels, image, mpp, choice, scores
        As for `measure`.

    Returns
    -------
    list of dict
        One row per nucleus, in the order of the labels, with the keys `OWN[choice]`: `label`; the
        centre, `x_um` and `y_um`, from the top left corner of the image; `area_um2`;
        `perimeter_um` by Crofton's formula; `circularity`, 4 pi area / perimeter^2, which is 1 for
        a disc; `haematoxylin`, the mean optical density of that stain (Ruifrok & Johnston, 2001);
        and `score`, None without scores. With "all" also `solidity`, the share of the convex hull
        that is nucleus; the measures of `shapes.ellipses`; the mean of eosin; and the standard
        deviations of both stains over the pixels of the nucleus.
    """
    places = np.flatnonzero(labels > 0)
    owners, width = labels.ravel()[places], labels.shape[1]
    areas = np.bincount(owners)
    found = np.flatnonzero(areas)

    def mean(values):
        return np.bincount(owners, values)[found] / areas[found]

    def deviation(values, means):
        return np.sqrt(np.maximum(mean(np.square(values, dtype=float)) - means**2, 0))

    y, x = divmod(places, width)
    centre_x, centre_y = mean(x), mean(y)
    # Not with @: its threads would keep cores busy for a while after the product.
    densities = [optical_density(channel) for channel in image.reshape(-1, 3)[places].T]
    haematoxylin = _stain(densities, 0)
    mean_haematoxylin = mean(haematoxylin)
    area = areas[found] * mpp**2
    around = shapes.perimeters(labels, len(areas))[found] * mpp
    columns = {
        "label": found,
        # The centre of a pixel is half a pixel from its corner.
        "x_um": (centre_x + 0.5) * mpp,
        "y_um": (centre_y + 0.5) * mpp,
        "area_um2": area,
        "perimeter_um": around,
        "circularity": np.minimum(1, 4 * np.pi * area / around**2),
        "haematoxylin": mean_haematoxylin,
        "score": np.full(len(found), np.nan) if scores is None else scores,
    }
    if choice == "all":
        variances = mean(x * x) - centre_x**2, mean(y * y) - centre_y**2
        ellipse = shapes.ellipses(*variances, mean(x * y) - centre_x * centre_y)
        eosin = _stain(densities, 1)
        mean_eosin = mean(eosin)
        columns |= {
            "solidity": areas[found] / shapes.convex_areas(labels, len(areas))[found],
            "eccentricity": ellipse["eccentricity"],
            "axis_major_length_um": ellipse["axis_major_length"] * mpp,
            "axis_minor_length_um": ellipse["axis_minor_length"] * mpp,
            "orientation_rad": ellipse["orientation"],
            "haematoxylin_sd": deviation(haematoxylin, mean_haematoxylin),
            "eosin": mean_eosin,
            "eosin_sd": deviation(eosin, mean_eosin),
        }
    values = zip(*map(_rounded, columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in values]


def _rounded(column):
    """The values of a column to four decimals, and None for NaN, which is not equal to itself."""
    return [value if value == value else None for value in np.round(column, 4).tolist()]


def _stain(densities, stain):
    """Optical density of one stain, of the optical densities of R, G and B."""
    return sum(weight * one for weight, one in zip(SPLIT[:, stain], densities, strict=True))


def add_neighbours(rows, columns):
    """Add to rows of `measure_each` what `neighbours.measure` returned for them."""
    for row, values in zip(rows, zip(*map(_rounded, columns), strict=True), strict=True):
        row |= zip(neighbours.COLUMNS, values, strict=True)


def write_table(path, rows, choice="basic"):
    """Write the rows of `measure` to a CSV file; the header is written even without rows."""
    write_csv(path, rows, COLUMNS[choice])
