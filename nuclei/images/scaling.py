"""Scale images, masks and labels, and cut out their middle."""

import numpy as np
from PIL import Image


def resize(pixels, shape):
    """Scale RGB or numbers; pixels are interpolated, or averaged if they become fewer.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3), or of float32, shape (H, W)
    shape : tuple of int
        Height and width of the result.

    Returns
    -------
    ndarray
        Same dtype as `pixels`.
    """
    return np.asarray(Image.fromarray(pixels).resize(shape[::-1], Image.Resampling.BILINEAR))


def nearest(pixels, shape):
    """Scale labels or a mask: each pixel gets the value that lies at its centre.

    Where four pixels meet there, as at half the size, it is that of the lower right one: all moves
    up and left by half a pixel of the larger image. To take them by turns or by a majority made
    outlines rougher, and to smooth them changed areas.

    Parameters
    ----------
    pixels : ndarray, shape (H, W)
    shape : tuple of int
        Height and width of the result.

    Returns
    -------
    ndarray
        Same dtype as `pixels`.
    """
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(shape, pixels.shape, strict=True)
    )
    return pixels[rows[:, None], columns]


def middle_of(pixels, side):
    """The middle of an image, a mask or labels, at most `side` pixels a side, as a view."""
    top, left = (max(0, length - side) // 2 for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]
