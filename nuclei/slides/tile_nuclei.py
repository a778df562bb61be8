"""The nuclei of one tile, and the file that keeps them until the slide is finished."""

import io
from dataclasses import dataclass, fields

import numpy as np

from ..atomic import atomic_write
from ..prediction import measures, outlines
from . import rle

TOLERANCE = 8
"""Nuclei whose centre lies up to this many pixels outside a tile are kept too. Otherwise a nucleus
could be lost if two tiles see its centre differently. Nuclei found twice are numbered once."""


@dataclass(frozen=True)
class TileNuclei:
    """Nuclei 1..N of one tile, in pixels of the slide as it is read.

    Attributes
    ----------
    runs : ndarray of int32, shape (R, 4)
        Pixels of the nuclei, as from `rle.encode`.
    points : ndarray of int64, shape (N,)
        Number of points of each outline.
    rings : ndarray of float64, shape (sum of points, 2)
        Outlines, one after the other, as from `outlines.trace`.
    rows : ndarray of float64, shape (N, columns), or (0,) without nuclei
        Measures of each nucleus: `measures.OWN` of the choice, without the label.
    """

    runs: np.ndarray
    points: np.ndarray
    rings: np.ndarray
    rows: np.ndarray


NAMES = [field.name for field in fields(TileNuclei)]
"""Names of the arrays in the file of a tile, in the order of the file."""


def describe(labels, scores, image, mpp, window, core, choice):
    """Keep the nuclei whose centre lies in a tile, measure them and trace their outlines.

    Parameters
    ----------
    labels : ndarray of int32, shape (H, W)
        Labels of the tile with its halo: 0 = background, 1..N = one nucleus each.
    scores : ndarray of float, shape (N,)
        How likely each of them is a nucleus, as from `instances.separate`.
    image : ndarray of uint8, shape (H, W, 3)
        RGB of the tile with its halo.
    mpp : float
        Micrometres per pixel.
    window, core : tuple of int
        Top, left, height and width of the tile, with and without its halo.
    choice : {"basic", "all"}
        Which measures.

    Returns
    -------
    TileNuclei
    """
    top, left, *_ = window
    rows = []
    for row in measures.measure_each(labels, image, mpp, choice, scores):
        row["x_um"] = round(row["x_um"] + left * mpp, 4)
        row["y_um"] = round(row["y_um"] + top * mpp, 4)
        if _lies_in(row, core, mpp):
            rows.append(row)
    numbers = np.zeros(labels.max() + 1, np.int32)
    numbers[[row["label"] for row in rows]] = np.arange(1, len(rows) + 1)
    labels = numbers[labels]
    rings = [ring + (left, top) for ring in outlines.trace(labels).values()]
    return TileNuclei(
        runs=rle.encode(labels, top, left),
        points=np.array([len(ring) for ring in rings], np.int64),
        rings=np.concatenate([*rings, np.zeros((0, 2))]),
        rows=np.array([[row[name] for name in measures.OWN[choice][1:]] for row in rows]),
    )


def _lies_in(row, core, mpp):
    """Whether the centre of a nucleus lies in a tile or up to `TOLERANCE` pixels outside."""
    top, left, height, width = (pixels * mpp for pixels in core)
    slack = TOLERANCE * mpp
    return (
        -slack <= row["y_um"] - top < height + slack
        and -slack <= row["x_um"] - left < width + slack
    )


def save(path, nuclei):
    """Write the nuclei of a tile, completely or not at all."""
    content = io.BytesIO()  # np.save to a file says only how much was written if a disk is full
    for name in NAMES:
        np.save(content, getattr(nuclei, name))
    with atomic_write(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load(path, *names):
    """Read some of the arrays of `TileNuclei`.

    Parameters
    ----------
    path : Path
    *names : str
        Names from `NAMES`. The file is read only up to the last of these arrays.

    Returns
    -------
    list of ndarray
        One for each name.
    """
    content = {}
    with open(path, "rb") as file:
        for name in NAMES[: 1 + max(map(NAMES.index, names))]:
            content[name] = np.load(file)
    return [content[name] for name in names]
