"""Nuclei as shapes: a table of what researchers measure, and outlines that QuPath opens."""

import csv
import json

import numpy as np
from scipy import ndimage
from skimage.measure import approximate_polygon, find_contours, perimeter_crofton

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
        optical density of that stain (Ruifrok & Johnston, 2001).
    """
    density = optical_density(image) @ np.linalg.inv(STAINS)[:, 0]
    rows = []
    for label, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is None:
            continue
        nucleus = labels[window] == label
        y, x = np.nonzero(nucleus)
        corner = [axis.start + 0.5 for axis in window]  # a pixel's middle is half a pixel in
        area = len(x) * micrometres_per_pixel**2
        around = perimeter_crofton(np.pad(nucleus, 1)) * micrometres_per_pixel
        rows.append(
            {
                "label": label,
                "x_um": (x.mean() + corner[1]) * micrometres_per_pixel,
                "y_um": (y.mean() + corner[0]) * micrometres_per_pixel,
                "area_um2": area,
                "perimeter_um": around,
                "circularity": min(1.0, 4 * np.pi * area / around**2),
                "haematoxylin": density[window][nucleus].mean(),
            }
        )
    return rows


def outlines(labels):
    """Trace the outline of every nucleus.

    Parameters
    ----------
    labels : ndarray of int32, shape (H, W)
        0 = background, any other number one nucleus in one piece, as from `instances.tidy`.

    Returns
    -------
    dict of int to ndarray of float, shape (N, 2)
        For each label a closed ring of x, y in pixels from the top left corner of the image, where
        the middle of the first pixel is at 0.5, 0.5. It runs half-way between the pixels inside and
        those outside, so it never crosses or touches itself.
    """
    rings = {}
    for label, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is None:
            continue
        contours = find_contours(np.pad(labels[window] == label, 1).astype(np.float32), 0.5)
        ring = max(contours, key=len)[:, ::-1]  # the others are around holes
        ring = approximate_polygon(ring, 1e-6)  # without points in the middle of a straight line
        rings[label] = ring + [axis.start - 0.5 for axis in window[::-1]]
    return rings


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
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [rings[row["label"]].tolist()]},
            "properties": {
                "objectType": "detection",
                "classification": {"name": "Nucleus"},
                "measurements": {name: _round(row[name]) for name in COLUMNS},
            },
        }
        for row in rows
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


def write_table(path, rows):
    """Write the rows of `measure` to a CSV file, with a heading also where there are none."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _round(row[name]) for name in COLUMNS} for row in rows)


def _round(value):
    """Whole numbers as they are, others to four decimals: finer than anything measured here."""
    return value if isinstance(value, int) else round(float(value), 4)
