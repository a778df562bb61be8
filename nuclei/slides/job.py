"""Settings that every worker process needs, and the slide and engine that it opens once."""

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..allocator import keep_freed_memory
from ..prediction import engines
from .slide import Slide
from .tiles import TileGrid


@dataclass(frozen=True)
class Job:
    """Settings of one run, which are sent to every worker.

    Parameters
    ----------
    slide : str
        Path of the slide.
    mpp : float or None
        Micrometres per pixel of the finest level, or None to use those in the file.
    modified : int
        When the slide file was last modified, in nanoseconds; a changed slide is opened again.
    grid : TileGrid
        Tiles of the slide, at the resolution at which it is read.
    model : str
        Name or path, as for `modelfiles.members`.
    weights : str
        Hash of the model's weights and configuration; a changed model is loaded again.
    threshold : float
        A pixel belongs to a nucleus from this probability up.
    min_score : float
        Nuclei with a lower score are left out; see `instances.separate`.
    engine : str
        One of `engines.ENGINES`.
    augment : bool
        Test-time augmentation: average over the 8 flips and quarter turns.
    measures : {"basic", "all"}
        Which measures of each nucleus.
    zarr : str
        Folder of the maps and labels.
    work : str
        Folder of the intermediate files of each tile, which is removed at the end.
    stain : float
        From `stain_strength.factor`, the same for all tiles.
    """

    slide: str
    mpp: float | None
    modified: int
    grid: TileGrid
    model: str
    weights: str
    threshold: float
    min_score: float
    engine: str
    augment: bool
    measures: str
    zarr: str
    work: str
    stain: float = 1.0

    def nuclei_file(self, tile):
        """Path of the file with the nuclei of a tile (row and column)."""
        return Path(self.work) / "nuclei" / "{:05d}_{:05d}.npy".format(*tile)


def open_slide(job):
    """Open the slide of a job, once in each process."""
    return _open_slide(job.slide, job.mpp, job.modified)


def load_engine(job):
    """Load the engine of a job once in each process, even if several threads ask for it."""
    with _LOADING:
        return _load_engine(job.model, job.engine, job.weights)


_LOADING = threading.Lock()


@lru_cache(maxsize=4)
def _open_slide(path, mpp, _modified):
    return Slide(path, mpp)


@lru_cache(maxsize=1)
def _load_engine(model, name, _weights):
    keep_freed_memory()  # of one tile for the next
    engine = engines.load(model, name)
    # Compile here, in one thread, before several threads predict.
    engine.forward(np.zeros((1, 64, 64, 3), np.uint8))
    return engine
