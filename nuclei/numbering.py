"""Numbers for the nuclei of a whole slide: unique ones, and one for each."""

import numpy as np

from . import blocks, runs


class Numbering:
    """Number nuclei from 1, block by block in the order of `wholeslide.tissue_blocks`.

    Parameters
    ----------
    job : blocks.Job

    Attributes
    ----------
    count : int
        Nuclei so far.
    """

    def __init__(self, job):
        self.count = 0
        self._job = job
        self._kept = {}

    def add(self, block):
        """Number the nuclei of the next block.

        Parameters
        ----------
        block : tuple of int
            Row and column; its nuclei are found.

        Returns
        -------
        ndarray of uint32, shape (N + 1,)
            The number on the slide of its nuclei 0..N; 0 where there is none, or where blocks
            before it have found the same nucleus.
        """
        own, points = blocks.load(self._job, block, "runs", "points")
        around = [self._kept[other] for other in blocks.neighbours(block) if other in self._kept]
        stays = np.arange(len(points) + 1) > 0
        shared = own[self._at_border(block, own, len(stays))[own[:, 0]]]
        stays[duplicates(shared, around, self._job.window(block))] = False
        numbers = np.where(stays, self.count + np.cumsum(stays), 0).astype(np.uint32)
        self.count += int(stays.sum())
        self._kept = {other: r for other, r in self._kept.items() if other[0] >= block[0] - 1}
        self._kept[block] = own[stays[own[:, 0]]]
        return numbers

    def _at_border(self, block, own, count):
        """Tell which nuclei other blocks may have found: those that lie in the halo of one."""
        top, left, height, width = self._job.core(block)
        halo = blocks.HALO
        near = (own[:, 1] < top + halo) | (own[:, 1] >= top + height - halo)
        near |= (own[:, 2] < left + halo) | (own[:, 3] > left + width - halo)
        return np.bincount(own[near, 0], minlength=count) > 0


def duplicates(own, others, window):
    """Find the nuclei of a block that other blocks have found too.

    Parameters
    ----------
    own : ndarray of int32, shape (N, 4)
        Runs of its nuclei, as from `runs.encode`.
    others : list of ndarray of int32, shape (M, 4)
        Runs of those of other blocks.
    window : tuple of int
        Top, left, height and width of the block with its halo, in which all of its nuclei lie.

    Returns
    -------
    ndarray of int
        Labels of those of which the others cover more than half.
    """
    others = [clipped for other in others if len(clipped := runs.clip(other, *window))]
    if not others or not len(own):
        return np.zeros(0, int)
    taken = runs.paint(np.concatenate(others), *window[2:]) > 0
    positions, labels = runs.pixels(runs.clip(own, *window), window[3])
    areas = np.bincount(labels)
    covered = np.bincount(labels, taken.ravel()[positions], minlength=len(areas))
    return np.flatnonzero(covered > areas / 2)
