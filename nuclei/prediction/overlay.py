"""Draw outlines of nuclei into the pixels of an image; `figures.tissue` draws them in figures."""

import numpy as np
from skimage.segmentation import find_boundaries

CYAN = (0, 229, 255)
"""RGB, 0..255: a hue far from those of both stains, also used in `figures.tissue`."""


def outline(image, mask, color=CYAN):
    """Draw the outlines of nuclei on their image.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB; it is not changed.
    mask : ndarray of bool or int32, shape (H, W)
        True inside nuclei, or labels. With labels, touching nuclei get a line between them.
    color : tuple of int
        RGB, 0 to 255.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        A copy with lines two pixels wide: the last pixel inside and the first pixel outside.
    """
    lines = find_boundaries(mask, mode="thick")
    return np.where(lines[..., None], np.uint8(color), image)
