"""Read a file as an image of tissue."""

import numpy as np
from PIL import Image

from ..errors import InputError
from .decode import decode, decode_large, part


def read_rgb(path):
    """Read a colour image of any common format.

    Parameters
    ----------
    path : str, Path or binary file object
        PNG, TIFF or JPEG; 8-bit RGB, or RGBA, which is composited over white. A TIFF may be
        compressed in any way and may keep its colours apart.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        RGB, turned as viewers show it.

    Raises
    ------
    InputError
        If the file is missing, damaged, not an image, grey, not 8-bit, or holds several images.
    """
    return _as_rgb(decode(path), path)


class LargeImage:
    """A PNG or JPEG that is read in parts; Pillow holds it, with four bytes for each pixel.

    Parameters
    ----------
    path : str or Path

    Attributes
    ----------
    shape : tuple of int
        Height and width in pixels.

    Raises
    ------
    InputError
        As for `read_rgb`; or if viewers turn the image.
    """

    def __init__(self, path):
        self._path, self._image = path, decode_large(path)
        self.shape = self._image.size[::-1]
        self.read(0, 0, 1, 1)  # fails if it is grey

    def read(self, top, left, height, width):
        """Read a part that lies within the image: uint8 of shape (height, width, 3)."""
        return _as_rgb(part(self._image, top, left, height, width), self._path)


def _as_rgb(picture, path):
    """The pixels of a picture as RGB, with what is transparent over white."""
    pixels = picture.pixels
    if pixels is None or pixels.ndim == 2 or pixels.shape[-1] == 2:
        raise InputError(
            f"{path} has {picture.words}, not 8-bit colour: save the H&E image as 8-bit RGB and "
            "try again."
        )
    return pixels if pixels.shape[-1] == 3 else over_white(pixels)


def over_white(pixels):
    """Lay an image with transparent parts over white, as viewers show it.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 4)
        RGBA.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        RGB.
    """
    opaque = np.empty((*pixels.shape[:2], 3), np.uint8)
    for top in range(0, len(pixels), 256):  # some rows at a time, to save memory
        image = Image.fromarray(pixels[top : top + 256])
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        opaque[top : top + 256] = np.asarray(image.convert("RGB"))
    return opaque
