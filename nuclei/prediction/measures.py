"""A table of nuclei: position, area, shape and stain of each nucleus."""

import csv

import numpy as np

from ..data.stains import STAINS, optical_density
from ..images.resolution import MPP

COLUMNS = ("label", "x_um", "y_um", "area_um2", "perimeter_um", "circularity", "haematoxylin")


def measure(labels, image, mpp=MPP):
    """Measure every nucleus.

    Parameters
    ----------
    labels : ndarray of int32, shape (H, W)
        0 = background, any other number one nucleus.
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    mpp : float
        Micrometres per pixel.

    Returns
    -------
    list of dict
        One row per nucleus, in the order of the labels, with the keys `COLUMNS`: `label`; the
        centre, `x_um` and `y_um`, from the top left corner of the image; `area_um2`;
        `perimeter_um` by Crofton's formula; `circularity`, 4 pi area / perimeter^2, which is 1 for
        a disc; and `haematoxylin`, the mean optical density of that stain (Ruifrok & Johnston,
        2001). All are rounded to four decimals, which is finer than their precision.
    """
    places = np.flatnonzero(labels > 0)
    owners, width = labels.ravel()[places], labels.shape[1]
    areas = np.bincount(owners)
    found = np.flatnonzero(areas)

    def mean(values):
        return np.bincount(owners, values)[found] / areas[found]

    # Not with @: its threads would keep cores busy for a while after the product.
    channels = zip(image.reshape(-1, 3)[places].T, np.linalg.inv(STAINS)[:, 0], strict=True)
    density = sum(weight * optical_density(channel) for channel, weight in channels)
    area = areas[found] * mpp**2
    around = _perimeters(labels, len(areas))[found] * mpp
    columns = {
        "label": found,
        # The centre of a pixel is half a pixel from its corner.
        "x_um": (mean(places % width) + 0.5) * mpp,
        "y_um": (mean(places // width) + 0.5) * mpp,
        "area_um2": area,
        "perimeter_um": around,
        "circularity": np.minimum(1, 4 * np.pi * area / around**2),
        "haematoxylin": mean(density),
    }
    values = zip(*(np.round(column, 4).tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in values]


def _perimeters(labels, count):
    """Perimeter of each label in pixels, by Crofton's formula.

    It counts how often lines in four directions cross the border. Diagonal lines lie closer
    together, by the square root of 2.
    """
    flat, width = np.pad(labels, 1).ravel(), labels.shape[1] + 2  # lines wrap in background
    crossings = np.zeros(count)
    for step, weight in (1, 1), (width, 1), (width - 1, np.sqrt(0.5)), (width + 1, np.sqrt(0.5)):
        border = np.flatnonzero(flat[step:] != flat[:-step])
        for side in (border, border + step):
            crossings += weight * np.bincount(flat[side], minlength=count)
    return np.pi / 8 * crossings


def write_table(path, rows):
    """Write the rows of `measure` to a CSV file; the header is written even without rows."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(dict(row) for row in rows)
