"""Give each nucleus of a slide one number, even if two tiles have found it."""

import numpy as np

from . import rle, tile_nuclei
from .tiles import HALO


class Numbering:
    """Number nuclei from 1, tile by tile in the order of `tissue.tissue_tiles`.

    Parameters
    ----------
    job : Job

    Attributes
    ----------
    count : int
        Number of nuclei so far.
    """

    def __init__(self, job):
        self.count = 0
        self._job = job
        self._kept = {}

    def add(self, tile):
        """Number the nuclei of the next tile.

        Parameters
        ----------
        tile : tuple of int
            Row and column; the file with the nuclei of this tile must exist.

        Returns
        -------
        ndarray of uint32, shape (N + 1,)
            The number on the slide for each label 0..N of the tile; 0 for the background and for
            nuclei that earlier tiles have found too.
        """
        own, points = tile_nuclei.load(self._job.nuclei_file(tile), "runs", "points")
        neighbours = self._job.grid.neighbours(tile)
        around = [self._kept[other] for other in neighbours if other in self._kept]
        stays = np.arange(len(points) + 1) > 0
        shared = own[self._at_border(tile, own, len(stays))[own[:, 0]]]
        stays[duplicates(shared, around, self._job.grid.window(tile))] = False
        numbers = np.where(stays, self.count + np.cumsum(stays), 0).astype(np.uint32)
        self.count += int(stays.sum())
        self._kept = {other: r for other, r in self._kept.items() if other[0] >= tile[0] - 1}
        self._kept[tile] = own[stays[own[:, 0]]]
        return numbers

    def _at_border(self, tile, own, count):
        """For each label, whether the nucleus reaches into the halo of another tile.

        Only these nuclei may have been found by other tiles too.
        """
        top, left, height, width = self._job.grid.core(tile)
        near = (own[:, 1] < top + HALO) | (own[:, 1] >= top + height - HALO)
        near |= (own[:, 2] < left + HALO) | (own[:, 3] > left + width - HALO)
        return np.bincount(own[near, 0], minlength=count) > 0


def duplicates(own, others, window):
    """Find the nuclei of a tile that other tiles have found too.

    Parameters
    ----------
    own : ndarray of int32, shape (N, 4)
        Runs of the nuclei of the tile, as from `rle.encode`.
    others : list of ndarray of int32, shape (M, 4)
        Runs of the nuclei of each other tile.
    window : tuple of int
        Top, left, height and width of the tile with its halo, which contains all its nuclei.

    Returns
    -------
    ndarray of int
        Labels of the nuclei that nuclei of other tiles cover by more than half.
    """
    others = [clipped for other in others if len(clipped := rle.clip(other, *window))]
    if not others or not len(own):
        return np.zeros(0, int)
    taken = rle.paint(np.concatenate(others), *window[2:]) > 0
    positions, labels = rle.pixels(rle.clip(own, *window), window[3])
    areas = np.bincount(labels)
    covered = np.bincount(labels, taken.ravel()[positions], minlength=len(areas))
    return np.flatnonzero(covered > areas / 2)
