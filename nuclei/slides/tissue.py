"""Find the tissue on a slide."""

import cv2
import numpy as np

from .tiles import TileGrid

TISSUE = 0.04
"""Tissue is where the optical densities of two colour channels differ by more; glass is grey."""


def find_tissue(image):
    """Separate tissue from glass by colour.

    Stained tissue is coloured; glass, dust and the dark rim of a scan are grey. Unlike Otsu's
    method, the threshold does not depend on how much of the slide is tissue.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        An overview of a slide, RGB, about 8 um per pixel.

    Returns
    -------
    ndarray of bool, shape (H, W)
        True in tissue and one pixel around it. Specks of fewer than 12 pixels are left out.
    """
    density = -np.log((cv2.GaussianBlur(image, (0, 0), 1).astype(np.float32) + 1) / 256)
    coloured = density.max(axis=-1) - density.min(axis=-1) > TISSUE
    count, pieces, statistics, _ = cv2.connectedComponentsWithStats(coloured.astype(np.uint8))
    large = statistics[:, cv2.CC_STAT_AREA] >= min(12, image.shape[0] * image.shape[1] / 4)
    large[0] = False
    return cv2.dilate(large[pieces].astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


def tissue_tiles(slide):
    """List the tiles with tissue.

    Parameters
    ----------
    slide : Slide

    Returns
    -------
    list of tuple of int
        Row and column of each tile, row by row. Unreadable parts count as tissue, so that they are
        reported and not silently skipped.
    """
    image, readable = slide.overview()
    tissue = find_tissue(image) | ~readable
    grid = TileGrid(slide.shape)
    steps = slide.shape[0] / tissue.shape[0], slide.shape[1] / tissue.shape[1]

    def has_tissue(tile):
        top, left, height, width = grid.core(tile)
        rows = slice(int(top / steps[0]), int((top + height) / steps[0]) + 1)
        columns = slice(int(left / steps[1]), int((left + width) / steps[1]) + 1)
        return tissue[rows, columns].any()

    return [tile for tile in grid if has_tissue(tile)]
