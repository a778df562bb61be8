"""Decode the TIFFs that Pillow cannot read or reads wrongly, with tifffile."""

import io
import logging
import math
import re

import numpy as np
from PIL import Image

from ..errors import InputError

STARTS = b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"
"""How a TIFF and a BigTIFF of either byte order begin."""

_BEYOND_PILLOW = ("zstd", "webp", "lzma")
"""Compressions that Pillow knows by name, but that the libtiff in its wheels may lack."""

DECODED_TO_RGB = (6, 7, 34892, 33007, 50001, 50002, 52546)  # JPEG, WebP, JPEG XL
"""Compressions whose decoder turns YCbCr into RGB."""

IMAGES = (6, 7, 33003, 33004, 33005, 33007, 34712, 34892, 34933, 50001)
"""Compressions whose parts are images with a size of their own: JPEG, JPEG 2000, PNG and WebP."""

FLUORESCENCE = re.compile(r"<Channel[^>]*(Fluor|Wavelength)")
"""What the OME-XML of fluorescence has."""

ORIENTATION = 274
"""Number of the tag of TIFF and EXIF that says how viewers turn the image."""

_BITS, _PHOTOMETRIC, _SAMPLES = 258, 262, 277

MOST = 10**9
"""Bytes that decoding an image may take."""

LARGEST_PART = 2**26
"""Pixels of a tile or strip of a slide: three threads decode one each, 200 MB as RGB."""


def start(path):
    """The first bytes of a file, given as its path or opened."""
    if hasattr(path, "seek"):
        path.seek(0)
        return path.read(8)
    with open(path, "rb") as file:
        return file.read(8)


def is_beyond_pillow(image, path):
    """Return whether a TIFF that Pillow opened is not in good hands there.

    Parameters
    ----------
    image : PIL.Image.Image
        The TIFF, not yet decoded.
    path : str, Path or binary file object
        The same TIFF.

    Returns
    -------
    bool
        True for compressions that Pillow may lack, for YCbCr without JPEG, and for three samples of
        which Pillow sees one. True for more than 8 bits if white is zero, or if they are compressed
        in big-endian order: Pillow swaps their bytes once too often. True for several pages unless
        the first one is the image: Pillow sees nothing but the first page.
    """
    if image.info.get("compression") in _BEYOND_PILLOW or image.mode == "YCbCr":
        return True
    if image.mode == "L" and image.tag_v2.get(_SAMPLES) == 3:
        return True
    swapped = image.tag_v2.prefix == b"MM" and image.info.get("compression", "raw") != "raw"
    if is_deep(image) and (swapped or image.tag_v2.get(_PHOTOMETRIC) == 0):
        return True
    if not getattr(image, "is_animated", False):
        return False
    try:
        with open_tiff(path) as file:
            series = largest(file)
            return series.keyframe.index != 0 or series.size > series.keyframe.size
    except Exception:  # pages after the first that cannot be read
        return False


def is_deep(image):
    """Return whether Pillow opened a TIFF of more than 8 bits; False if it is no TIFF."""
    return image.format == "TIFF" and max(image.tag_v2.get(_BITS, (1,))) > 8


def decode(path):
    """Decode the image of a TIFF; of several images, the largest.

    Parameters
    ----------
    path : str, Path or binary file object

    Returns
    -------
    pixels : ndarray or None
        Greys of any type, shape (H, W), RGB, uint8 of shape (H, W, 3), or RGBA, uint8 of shape
        (H, W, 4), as stored; None if the TIFF holds anything else.
    words : str
        What the pixels are, for messages.
    orientation : int
        How viewers turn the image, 1 to 8 as in EXIF.

    Raises
    ------
    InputError
        If several images are the largest.
    Exception
        tifffile raises many kinds. `DecompressionBombError` of Pillow if the image has more pixels
        than Pillow allows; NotImplementedError if it is whole, but of a kind that is not known.
    """
    with open_tiff(path) as file:
        series = largest(file)
        page = series.keyframe
        sizes = zip(series.axes, series.shape, strict=True)
        others = {axis: size for axis, size in sizes if axis not in "YX" and size > 1}
        if len(others) > 1 or not others.keys() <= {"S", "C"}:
            raise InputError(
                f"{path} holds {series.size // page.size} images of the same size, such as a stack "
                "of focal planes: save the one to use as a file of its own."
            )
        words = _unusable(others, series, page, file.ome_metadata or "")
        if words:
            return None, words, 1
        _check(series, page)
        guard(page)
        pixels, turn = series.asarray(), page.tags.valueof(ORIENTATION, 1)
        single = [i for i, axis in enumerate(series.axes) if axis not in (*"YX", *others)]
        pixels = pixels.squeeze(tuple(single))
        if not others:
            return _greys(pixels, page), f"greys of {pixels.dtype}", turn
        channel = [axis for axis in series.axes if axis in (*"YX", *others)].index(*others)
        return colours(np.moveaxis(pixels, channel, -1), page), "8-bit colour", turn


def open_tiff(path):
    """Open a TIFF with tifffile, which then logs no errors: it raises them, too."""
    import tifffile  # not at the top, because most images do without it

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    if hasattr(path, "seek"):
        path.seek(0)
    return tifffile.TiffFile(path)


def largest(file):
    """The image with most pixels, which is the first of equals; a ValueError if there is none."""
    if not file.series:
        raise ValueError("it has no image")
    return max(file.series, key=count_pixels)


def count_pixels(series):
    """Number of pixels of an image in a TIFF, or of each image if it is a stack."""
    sizes = dict(zip(series.axes, series.shape, strict=True))
    return sizes.get("Y", 0) * sizes.get("X", 0)


def name_of_colours(page):
    """What the numbers of a page are, such as RGB; the number of the kind if it is not known."""
    return getattr(page.photometric, "name", page.photometric)


def is_cut_short(page):
    """Whether a page has no parts, or some are not listed or lie beyond the end of its file."""
    number, end = math.prod(page.chunked), page.parent.filehandle.size
    parts = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    return number == 0 or len(parts) < number or any(sum(part) > end for part in parts)


def has_huge_parts(page):
    """Whether a part of a page, which is decoded at once, has more than `LARGEST_PART` pixels."""
    return _pixels_of_part(page) > LARGEST_PART


def guard(page):
    """Make a page refuse parts that are images of their own, and say that they are far larger.

    Parameters
    ----------
    page : tifffile.TiffPage
        Reading a part of it, and of all pages of the same form, then raises a ValueError.
    """
    most, decode = 4 * _pixels_of_part(page), page.decode

    def guarded(data, *arguments, **options):
        try:
            with Image.open(io.BytesIO(data or b"")) as image:
                width, height = image.size
        except Image.DecompressionBombError as error:
            raise ValueError(str(error)) from None
        except Exception:  # no image that Pillow knows: the decoder gets a buffer of the right size
            return decode(data, *arguments, **options)
        if width * height > most:
            raise ValueError(f"a part says that it has {width} x {height} pixels")
        return decode(data, *arguments, **options)

    if page.compression in IMAGES:
        page.decode = guarded


def _pixels_of_part(page):
    """Pixels of a tile or strip, as the tags say."""
    if page.is_tiled:
        return page.tilelength * page.tilewidth
    return min(page.rowsperstrip, page.imagelength) * page.imagewidth


def _unusable(others, series, page, ome):
    """What a TIFF is, in words, if it is neither one grey image nor one of 8-bit colour."""
    if not others:
        return None
    ((axis, count),) = others.items()
    if count != 3 and (axis, count) != ("S", 4):
        return f"{count} channels"
    if FLUORESCENCE.search(ome):
        return "3 channels of fluorescence"
    if page.photometric not in (1, 2, 6):  # greys, of which three make RGB; RGB; YCbCr
        return f"the pixel format {name_of_colours(page)}"
    if page.bitspersample != 8 or series.dtype != np.uint8:
        return f"{page.bitspersample}-bit colour"
    return None


def _check(series, page):
    """Raise an error if an image is too large, of an unknown kind, or not whole in its file."""
    import tifffile

    limit = Image.MAX_IMAGE_PIXELS
    if limit and page.imagelength * page.imagewidth > 2 * limit:
        raise Image.DecompressionBombError
    size = page.dtype.itemsize if page.dtype else 1
    # The image, a copy if the axis of colours is moved, and the part that is decoded.
    if (2 * series.size + _pixels_of_part(page) * page.samplesperpixel) * size > MOST:
        raise Image.DecompressionBombError
    if page.compression != 1 and page.compression not in tifffile.TIFF.DECOMPRESSORS:
        raise NotImplementedError(f"it is compressed by method {int(page.compression)}")
    if page.dtype is None:
        raise NotImplementedError(f"it has numbers of {page.bitspersample} bits")
    for one in series.pages:
        if one is None or is_cut_short(one) or 0 in one.databytecounts:
            raise ValueError("parts of the image are missing")


def _greys(pixels, page):
    """Greys, or RGB if the TIFF has a palette, as Pillow gives them."""
    if page.photometric == 3 and page.colormap is not None:
        return np.moveaxis(page.colormap[:, pixels] >> 8, 0, -1).astype(np.uint8)
    if page.photometric == 0 and pixels.dtype in (np.uint8, np.uint16, bool):  # white is zero
        return ~pixels
    return pixels


def colours(pixels, page):
    """What the 8-bit colours of a page mean: RGB or RGBA, not multiplied by alpha.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3) or (H, W, 4)
        All of the page or a part of it, decoded.
    page : tifffile.TiffPage

    Returns
    -------
    ndarray of uint8, shape (H, W, 3) or (H, W, 4)
    """
    pixels = np.ascontiguousarray(pixels)
    size = pixels.shape[1::-1]
    ycbcr = page.photometric == 6 and page.compression not in DECODED_TO_RGB
    if ycbcr or page.compression == 33003:  # the JPEG 2000 of Aperio, which states no colour space
        return np.asarray(Image.frombytes("YCbCr", size, pixels[..., :3].tobytes()).convert("RGB"))
    if pixels.shape[-1] == 4 and page.extrasamples:
        if page.extrasamples[0] == 0:  # neither kind of alpha
            return pixels[..., :3]
        if page.extrasamples[0] == 1:
            return np.asarray(Image.frombytes("RGBa", size, pixels.tobytes()).convert("RGBA"))
    return pixels
