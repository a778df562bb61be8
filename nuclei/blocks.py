"""The blocks of a whole slide: what is done with each, in any process on any machine.

`find` needs nothing but the slide: the network sees the block and a halo, nuclei are told apart in
both, and those whose centre lies in the block are kept, whole, also where they reach into the next
one. When those of its neighbours are numbered too, `paint` writes the label image of a block, with
the nuclei that reach into it from them.
"""

import threading
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from . import files, inference, instances, ngff, runs, shapes
from .files import SlideError
from .ngff import CHUNK
from .quiet import without_greetings
from .slides import Slide

HALO = 64
"""Pixels around a block that are looked at too. The network's zero padding shows less far into its
window: with 64 at least 99% of nuclei are those of the slide predicted at once. And nuclei whose
centre lies in the block may end there: 16 um are more than most are wide."""

TOLERANCE = 8
"""Nuclei whose centre lies so far outside a block are kept too, so that none is left out where
two blocks differ on where it is; what is then found twice is numbered once."""

CONTENT = "runs", "points", "rings", "rows"
"""Arrays in the file of a block, one after the other."""


@dataclass(frozen=True)
class Job:
    """What a process must know to work on a slide.

    Parameters
    ----------
    slide : str
        Path of the slide.
    resolution : float or None
        Micrometres per pixel of its finest level, where the file does not say.
    modified : int
        When the slide was written, in nanoseconds: what has changed is opened again.
    model : str
        Name or path, as for `modelzoo.load`.
    weights : str
        Tells one training of it from another.
    threshold : float
        Nuclei begin at this probability.
    augment : bool
        Average over the 8 flips and quarter turns.
    zarr : str
        Folder of the maps and labels.
    work : str
        Folder of what is known of each block, while the slide is not finished.
    """

    slide: str
    resolution: float | None
    modified: int
    model: str
    weights: str
    threshold: float
    augment: bool
    zarr: str
    work: str

    @property
    def source(self):
        """The slide, opened once in each process."""
        return _open_slide(self.slide, self.resolution, self.modified)

    def core(self, block):
        """Top, left, height and width of a block, given by its row and column."""
        return core(block, self.source.shape)

    def window(self, block):
        """The same of a block and its halo, as far as the slide goes."""
        top, left, height, width = self.core(block)
        rows = max(0, top - HALO), min(self.source.shape[0], top + height + HALO)
        columns = max(0, left - HALO), min(self.source.shape[1], left + width + HALO)
        return rows[0], columns[0], rows[1] - rows[0], columns[1] - columns[0]

    def found(self, block):
        """The file of the nuclei of a block."""
        return Path(self.work) / "nuclei" / f"{_name(block)}.npy"


def core(block, shape):
    """Say where a block lies on a slide.

    Parameters
    ----------
    block : tuple of int
        Row and column.
    shape : tuple of int
        Of the slide.

    Returns
    -------
    top, left, height, width : int
        In its pixels.
    """
    top, left = (index * CHUNK for index in block)
    return top, left, min(CHUNK, shape[0] - top), min(CHUNK, shape[1] - left)


def neighbours(block):
    """Row and column of the eight blocks around one; some may not exist."""
    row, column = block
    around = product((row - 1, row, row + 1), (column - 1, column, column + 1))
    return [other for other in around if other != block]


def find(job, block):
    """Find the nuclei of a block, unless that was done before.

    Parameters
    ----------
    job : Job
    block : tuple of int
        Row and column.

    Returns
    -------
    count : int
        Nuclei whose centre lies in the block or up to `TOLERANCE` beyond.
    problem : str or None
        What is wrong with this part of the slide, where something is.

    Raises
    ------
    InputError
        If the model cannot be read or the result not be written.
    """
    if job.found(block).exists():
        return len(load(job, block, "points")[0]), None
    y, x = (index * CHUNK - HALO for index in block)
    try:
        image = job.source.read(y, x, CHUNK + 2 * HALO, CHUNK + 2 * HALO)
    except SlideError as error:
        return 0, str(error)
    model = load_model(job.model, job.weights)
    # In several threads at once: what one leaves of the cores another takes.
    maps = inference.over_views(
        lambda view, _: inference.forward(model, view[None])[0], image, job.augment
    )
    top, left, height, width = job.core(block)
    channels = np.moveaxis(maps[HALO : HALO + height, HALO : HALO + width], -1, 0)
    with files.writing(job.zarr):
        whole_numbers = np.stack([cv2.convertScaleAbs(channel, alpha=255) for channel in channels])
        ngff.write(job.zarr, "", top, left, whole_numbers)
    # What lies beyond the slide was a mirror image.
    top, left, height, width = job.window(block)
    here = slice(top - y, top - y + height), slice(left - x, left - x + width)
    labels = instances.separate(maps[here], job.threshold)
    labels, rows = _keep(job, block, labels, image[here])
    rings = [ring + (left, top) for ring in shapes.outlines(labels).values()]
    content = (
        runs.encode(labels, top, left),
        np.array([len(ring) for ring in rings], np.int64),
        np.concatenate([*rings, np.zeros((0, 2))]),
        np.array([[row[name] for name in shapes.COLUMNS[1:]] for row in rows]),
    )
    with files.whole(job.found(block)) as temporary, open(temporary, "wb") as file:
        for array in content:
            np.save(file, array)
    return len(rows), None


def load(job, block, *names):
    """Load what is known of the nuclei of a block.

    Parameters
    ----------
    job : Job
    block : tuple of int
    *names : str
        Of `CONTENT`: "runs", as from `runs.encode`; "points", how many each outline has, and
        "rings", all of them in pixels of the slide as it was read; "rows", the columns of
        `shapes.COLUMNS` but the label.

    Returns
    -------
    list of ndarray
        One for each name.
    """
    content = {}
    with open(job.found(block), "rb") as file:
        for name in CONTENT[: 1 + max(map(CONTENT.index, names))]:
            content[name] = np.load(file)
    return [content[name] for name in names]


def paint(job, block, numbers):
    """Write the labels of a block.

    Parameters
    ----------
    job : Job
    block : tuple of int
    numbers : dict of tuple of int to ndarray of uint32, shape (N + 1,)
        For the block and its neighbours: the number that each nucleus has on the slide, 0 where
        it is dropped.
    """
    top, left, height, width = job.core(block)
    pieces = []
    for other, names in numbers.items():
        (piece,) = load(job, other, "runs")
        piece = runs.clip(piece, top, left, height, width)
        piece[:, 0] = names[piece[:, 0]]
        pieces.append(piece[piece[:, 0] > 0])
    with files.writing(job.zarr):
        labels = runs.paint(np.concatenate(pieces), height, width)
        ngff.write(job.zarr, "labels/nuclei", top, left, labels)


def _keep(job, block, labels, image):
    """Keep the nuclei whose centre lies in a block, and measure them.

    Returns
    -------
    labels : ndarray of int32, shape (H, W)
        Numbered from 1 again.
    rows : list of dict
        As from `shapes.measure`, with the centre from the top left corner of the slide.
    """
    resolution = job.source.micrometres_per_pixel
    top, left, *_ = (n * resolution for n in job.window(block))
    core_top, core_left, core_height, core_width = (n * resolution for n in job.core(block))
    slack = TOLERANCE * resolution
    rows = []
    for row in shapes.measure(labels, image, resolution):
        row["x_um"] = round(row["x_um"] + left, 4)
        row["y_um"] = round(row["y_um"] + top, 4)
        if (
            -slack <= row["y_um"] - core_top < core_height + slack
            and -slack <= row["x_um"] - core_left < core_width + slack
        ):
            rows.append(row)
    numbers = np.zeros(labels.max() + 1, np.int32)
    numbers[[row["label"] for row in rows]] = np.arange(1, len(rows) + 1)
    return numbers[labels], rows


def load_model(name, weights):
    """Load a model once in each process, also where several threads ask for it at once."""
    with _LOADING:
        return _load_model(name, weights)


_LOADING = threading.Lock()


@lru_cache(maxsize=1)
def _load_model(name, _weights):
    with without_greetings():
        from . import modelzoo
    model = modelzoo.load(name)
    inference.forward(model, np.zeros((1, 64, 64, 3), np.uint8))  # Keras compiles in one thread
    return model


@lru_cache(maxsize=4)
def _open_slide(path, resolution, _modified):
    return Slide(path, resolution)


def _name(block):
    return "{:05d}_{:05d}".format(*block)
