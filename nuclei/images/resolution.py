"""Micrometres per pixel: what files say, in any unit, whether it can be true, and what follows."""

import math
from xml.etree.ElementTree import ParseError

from PIL import Image

from ..atomic import expand
from ..errors import InputError
from . import png, tiff

MPP = 0.25
"""Micrometres per pixel at which the networks were trained: 40x, as in MoNuSeg."""

SIMILAR = 0.05
"""Images whose resolution differs from it by a smaller fraction are not scaled: it would only blur
them."""

PLAUSIBLE = 0.03, 2.0
"""Micrometres per pixel at which nuclei can be scanned: from 100x with a fine camera to 5x, where a
nucleus is three pixels wide. What lies outside is in a wrong unit, or the default of a program."""

UNEQUAL = 0.05
"""Pixels whose width and height differ by a smaller fraction count as square."""

LARGE = 48_000_000
"""Number of pixels, in the file or where it is predicted, above which an image is not predicted at
once, which takes 3 GB, but in tiles, as a slide."""

UNITS = {
    "pm": 1e-6,
    "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}": 1e-4,
    "\N{ANGSTROM SIGN}": 1e-4,
    "nm": 1e-3,
    "\N{MICRO SIGN}m": 1.0,
    "\N{GREEK SMALL LETTER MU}m": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "in": 25_400.0,
    r"\u00B5m": 1.0,  # as ImageJ writes the first one
}
"""Micrometres per unit of OME-XML and ImageJ. A unit that is no length, such as pixel, says
nothing."""


def predicted_at(mpp):
    """Choose the resolution at which an image is predicted.

    Parameters
    ----------
    mpp : float
        Micrometres per pixel of the image.

    Returns
    -------
    float
        `mpp` itself if it is `SIMILAR` to that of the networks, else `MPP`.
    """
    return mpp if abs(mpp / MPP - 1) < SIMILAR else MPP


def is_plausible(mpp):
    """Whether nuclei can be scanned at so many micrometres per pixel."""
    return PLAUSIBLE[0] <= mpp <= PLAUSIBLE[1]


def check(name, mpp):
    """Check a resolution that the user gives.

    Parameters
    ----------
    name : str or Path
        The image or slide, for the message.
    mpp : float
        Micrometres per pixel.

    Returns
    -------
    float
        `mpp`.

    Raises
    ------
    InputError
        If it is not plausible.
    """
    if not is_plausible(mpp):
        raise InputError(
            f"{name} cannot have {mpp:g} um per pixel: give --mpp in micrometres per pixel, "
            "as in --mpp 0.25 for a scan at 40x."
        )
    return mpp


def square(name, stated):
    """Return the side of a pixel if pixels are square.

    Parameters
    ----------
    name : str or Path
        The image or slide, for the message.
    stated : tuple of float
        Micrometres per pixel across and down.

    Returns
    -------
    float
        Their geometric mean.

    Raises
    ------
    InputError
        If width and height differ by `UNEQUAL` or more.
    """
    across, down = stated
    if abs(math.log(across / down)) >= UNEQUAL:
        raise InputError(
            f"{name} says {across:g} um per pixel across and {down:g} um down: if its pixels "
            "are square, give the right value, with --mpp or, of a data set, in samples.csv, else "
            "scale it to square pixels."
        )
    return math.sqrt(across * down)


def read_mpp(path):
    """Read the resolution of an image from its file.

    Parameters
    ----------
    path : str, Path or binary file object
        As for `read_rgb`.

    Returns
    -------
    float or None
        Micrometres per pixel, from OME-XML, ImageJ or the tags of a TIFF, or the density of a PNG
        or JPEG. None if the file does not say them, cannot be read, or says what is not
        `PLAUSIBLE`, such as the 72, 96 or 300 dots per inch that programs write by default.

    Raises
    ------
    InputError
        If the pixels are not square.
    """
    path = expand(path)
    try:
        is_tiff = tiff.start(path).startswith(tiff.STARTS)
        stated = _of_tiff_file(path) if is_tiff else _of_density(path)
    except Exception:  # the error is reported when the pixels are read
        return None
    return square(path, stated) if stated and any(map(is_plausible, stated)) else None


def of_tiff(page, ome, shape):
    """Micrometres per pixel of an image in a TIFF.

    Parameters
    ----------
    page : tifffile.TiffPage
        The image at its finest level.
    ome : str or None
        OME-XML of the file.
    shape : tuple of int
        Height and width of the image, by which it is known in the OME-XML.

    Returns
    -------
    tuple of float or None
        Across and down: from the OME-XML, else from the tags. None if neither says it. Tags that
        are not plausible say nothing, because programs write 72 dots per inch by default.
    """
    return _of_ome(ome, shape) or _of_tags(page)


def number(value):
    """A number above 0, or None for anything else, such as 0, "n/a" or no value."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if 0 < found < math.inf else None


def pair(across, down):
    """Both values; one stands for the other if that is unknown; None if both are."""
    return (across or down, down or across) if across or down else None


def _of_tiff_file(path):
    with tiff.open_tiff(path) as file:
        series = tiff.largest(file)
        sizes = dict(zip(series.axes, series.shape, strict=True))
        return of_tiff(series.keyframe, file.ome_metadata, (sizes["Y"], sizes["X"]))


def _of_density(path):
    """From the dots per inch of a PNG or JPEG, which Pillow converts from other units."""
    try:
        opened = Image.open(path)
    except ValueError:  # text or a colour profile that is too long for Pillow
        opened = Image.open(png.without_metadata(path))
    with opened as image:
        dots = map(number, image.info.get("dpi", (None, None)))
        return pair(*(25_400 / one if one else None for one in dots))


def _of_ome(ome, shape):
    import defusedxml.ElementTree

    try:
        images = defusedxml.ElementTree.fromstring(ome).findall(".//{*}Pixels") if ome else []
    except (ParseError, ValueError):  # a ValueError if it declares entities
        return None
    size = [str(length) for length in shape[::-1]]
    same = [image for image in images if [image.get("SizeX"), image.get("SizeY")] == size]
    for image in same or images[:1]:
        lengths = [number(image.get(f"PhysicalSize{axis}")) for axis in "XY"]
        units = [UNITS.get(image.get(f"PhysicalSize{axis}Unit", "um")) for axis in "XY"]
        known = zip(lengths, units, strict=True)
        return pair(*(length * unit if length and unit else None for length, unit in known))
    return None


def _of_tags(page):
    if page.resolutionunit in (2, 3):  # inch, centimetre
        densities = page.get_resolution(unit=5)  # per micrometre
    elif unit := UNITS.get((page.parent.imagej_metadata or {}).get("unit", "").strip()):
        densities = (one / unit for one in page.resolution)  # ImageJ names the unit elsewhere
    else:
        return None
    stated = pair(*(1 / one if one else None for one in map(number, densities)))
    return stated if stated and any(map(is_plausible, stated)) else None
