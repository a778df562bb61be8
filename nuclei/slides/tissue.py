"""Find the tissue on a slide."""

import sys

import cv2
import numpy as np

from ..prediction import artefacts
from .tiles import TileGrid


def find_tissue(image):
    """Separate tissue from glass by colour; without any colour, all that is not white is tissue.

    Stained tissue is coloured; glass, dust and the dark rim of a scan are grey, and ink of pens has
    other colours. If the light was not white, the glass has a tint, which is taken away first.
    Unlike Otsu's method, the threshold does not depend on how much of the slide is tissue.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        An overview of a slide, RGB, about 8 um per pixel.

    Returns
    -------
    ndarray of bool, shape (H, W)
        True in tissue and one pixel around it. Specks of fewer than 12 pixels are left out.
    """
    density = artefacts.smooth_density(image)
    stained = artefacts.find_stain(image, density)
    if stained is None:
        return density[..., 0] > artefacts.PALE
    tissue = stained & ~artefacts.near_ink(density)
    _, pieces, statistics, _ = cv2.connectedComponentsWithStats(tissue.astype(np.uint8))
    large = statistics[:, cv2.CC_STAT_AREA] >= min(12, image.shape[0] * image.shape[1] / 4)
    large[0] = False
    return cv2.dilate(large[pieces].astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


def tissue_tiles(slide, overview=None):
    """List the tiles with tissue; say so if there are none, or if much of it is ink or black.

    Parameters
    ----------
    slide : Slide
    overview : tuple of ndarray, optional
        From `slide.overview`, if it was read before.

    Returns
    -------
    list of tuple of int
        Row and column of each tile, row by row. Unreadable parts count as tissue, so that they are
        reported and not silently skipped.
    """
    image, readable = overview or slide.overview()
    ink = artefacts.ink(artefacts.smooth_density(image)) >= 1
    if notice := artefacts.notice(slide.path, ink.mean()):
        print(notice, file=sys.stderr)
    tissue = find_tissue(image) | ~readable
    grid = TileGrid(slide.shape)
    steps = slide.shape[0] / tissue.shape[0], slide.shape[1] / tissue.shape[1]

    def has_tissue(tile):
        top, left, height, width = grid.core(tile)
        rows = slice(int(top / steps[0]), int((top + height) / steps[0]) + 1)
        columns = slice(int(left / steps[1]), int((left + width) / steps[1]) + 1)
        return tissue[rows, columns].any()

    found = [tile for tile in grid if has_tissue(tile)]
    if not found:
        print(f"No tissue was found on {slide.path}.", file=sys.stderr)
    return found
