"""Read a file as an image of tissue."""

import numpy as np
from PIL import Image

from ..errors import InputError
from .decode import decode


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
    picture = decode(path)
    pixels = picture.pixels
    if pixels is None or pixels.ndim == 2 or pixels.shape[-1] == 2:
        raise InputError(
            f"{path} has {picture.words}, not 8-bit colour: save the H&E image as 8-bit RGB and "
            "try again."
        )
    if pixels.shape[-1] == 4:
        image = Image.fromarray(pixels)
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        pixels = np.asarray(image.convert("RGB"))
    return pixels
