"""Decode any image file to its real colours, as viewers show it; every reader starts here."""

from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..atomic import expand
from ..errors import InputError, reason
from . import png, tiff

_USABLE = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F", "RGB", "RGBA")
"""Pixel formats of Pillow that give an array of greys or of 8-bit colours."""

_PROGRESSIVE = 6
"""Further bytes for each pixel of a progressive JPEG, which is decoded in several passes."""

_BAND = 2**22
"""Pixels that are copied from Pillow at once; a copy at once of all would take as much again."""

PLAIN = b"\x89PNG", b"\xff\xd8\xff"
"""How PNG and JPEG begin."""


class Picture(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    pixels : ndarray or None
        Greys of any type, shape (H, W), grey and alpha (H, W, 2), RGB (H, W, 3) or RGBA
        (H, W, 4); None for anything else.
    words : str
        What the pixels are, for messages, such as "the pixel format CMYK".
    """

    pixels: np.ndarray | None
    words: str


def decode(path):
    """Decode all pixels of a file, with Pillow if it can, else with tifffile.

    Pillow, unlike OpenCV, raises an error for a file that is cut short.

    Parameters
    ----------
    path : str, Path or binary file object
        See `atomic.expand`.

    Returns
    -------
    Picture

    Raises
    ------
    InputError
        If the file is missing, damaged, not an image, or too large.
    """
    path = expand(path)
    with _explained(path):
        return _repeated(_with_pillow, path)


def decode_large(path):
    """Decode a PNG or JPEG that stays in the memory of Pillow, to be read in parts.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    PIL.Image.Image
        For `part`.

    Raises
    ------
    InputError
        As for `decode`; or if viewers turn the image.
    """
    with _explained(path):
        return _repeated(_large, path)


def part(image, top, left, height, width):
    """Return a part of an image of `decode_large` as a `Picture`."""
    return _picture(image.crop((left, top, left + width, top + height)))


@contextmanager
def _explained(path):
    """Turn what decoders raise into an InputError."""
    try:
        yield
    except InputError:
        raise
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path} does not exist: check the path.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder: give the image files in it.") from None
    except PermissionError:
        raise InputError(f"{path} cannot be read: change its permissions.") from None
    except UnidentifiedImageError:
        if tiff.start(path).startswith(PLAIN):
            raise InputError(
                f"{path} is damaged, cut short or of an unknown kind: get a fresh copy, or save it "
                "as 8-bit PNG."
            ) from None
        raise InputError(f"{path} is not an image: use PNG, TIFF or JPEG.") from None
    except (Image.DecompressionBombError, MemoryError):
        raise InputError(
            f"{path} is too large to open at once: cut it into smaller images, or predict it as a "
            "tiled TIFF, which `vips tiffsave IMAGE large.tif --tile --compression jpeg` makes."
        ) from None
    except NotImplementedError as error:
        raise InputError(
            f"{path} cannot be decoded ({reason(error)}): save it as PNG and try again."
        ) from None
    except Exception as error:  # each codec raises other kinds
        raise InputError(
            f"{path} is damaged or cut short ({reason(error)}): get a fresh copy."
        ) from None


def _repeated(function, path):
    """Call a function with a file, and again with the file without metadata if that fails."""
    try:
        return function(path)
    except InputError:
        raise
    except ValueError:
        # Pillow refuses text and colour profiles that are long, but they are of no use here.
        shorter = png.without_metadata(path)
        if shorter is None:
            raise
        return function(shorter)


def _large(path):
    with Image.open(path) as image:
        _check_memory(image, 4)
        if _orientation(image) in range(2, 9):
            raise InputError(f"{path} is turned by its EXIF orientation: save it upright.")
        if _is_deep(image):
            raise InputError(f"{path} has 16-bit colour, not 8-bit colour: save it as 8-bit RGB.")
        image.load()
        return image


def _with_pillow(path):
    try:
        opened = Image.open(path)
    except UnidentifiedImageError:
        if not tiff.start(path).startswith(tiff.STARTS):
            raise
        return _with_tifffile(path)
    with opened as image:
        if image.format == "TIFF" and tiff.is_beyond_pillow(image, path):
            return _with_tifffile(path)
        if _is_deep(image):
            return Picture(None, "16-bit colour")
        _check_memory(image, 8)  # Pillow has four bytes for each pixel, and so has the array
        image.load()
        turn = 1 if image.format == "TIFF" else _orientation(image)  # Pillow has turned a TIFF
        pixels, words = _in_bands(image)
    return Picture(_turned(pixels, turn), words)


def _is_deep(image):
    """Whether Pillow would reduce 16-bit colour to the upper byte; only known before decoding."""
    return image.mode.startswith("RGB") and (";16" in str(image.tile) or tiff.is_deep(image))


def _check_memory(image, each):
    """Refuse an image that would take more than `tiff.MOST` at so many bytes for each pixel."""
    each += _PROGRESSIVE * bool(image.info.get("progressive"))
    if image.width * image.height * each > tiff.MOST:
        raise Image.DecompressionBombError


def _in_bands(image):
    """The picture of an image that was decoded, some rows at a time."""
    rows = max(1, _BAND // max(1, image.width))
    if image.height <= rows:
        return _picture(image)
    pixels = None
    for top in range(0, image.height, rows):
        band, words = part(image, top, 0, min(rows, image.height - top), image.width)
        if band is None:
            return Picture(None, words)
        if pixels is None:
            pixels = np.empty((image.height, *band.shape[1:]), band.dtype)
        pixels[top : top + rows] = band
    return Picture(pixels, words)


def _picture(image):
    if image.mode in ("P", "PA") or (image.mode == "RGB" and "transparency" in image.info):
        clear = image.mode == "PA" or "transparency" in image.info
        image = image.convert("RGBA" if clear else "RGB")
    words = f"the pixel format {image.mode}"
    if image.mode == "La":
        image = image.convert("LA")
    return Picture(np.asarray(image) if image.mode in _USABLE else None, words)


def _with_tifffile(path):
    pixels, words, turn = tiff.decode(path)
    return Picture(_turned(pixels, turn), words)


def _orientation(image):
    try:
        return image.getexif().get(tiff.ORIENTATION, 1)
    except Exception:  # EXIF that cannot be read says nothing
        return 1


def _turned(pixels, orientation):
    """Turn pixels as viewers do, by the EXIF orientation, 1 to 8; 1 and others: as stored."""
    if pixels is not None and not pixels.size:
        raise ValueError("it has no pixels")
    if pixels is None or orientation not in range(2, 9):
        return pixels
    if orientation in (5, 6, 7, 8):  # rows were stored as columns
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
