"""Micrometres per pixel of a slide: what its file says, in any unit, and whether it can be true."""

import math
from xml.etree.ElementTree import ParseError

from ..errors import SlideError

PLAUSIBLE = 0.03, 2.0
"""Micrometres per pixel at which nuclei can be scanned: from 100x with a fine camera to 5x, where a
nucleus is three pixels wide. What lies outside is in a wrong unit, or the default of a program."""

LONGEST, LARGEST = 30, 150
"""Length in cm and area in square cm of the largest slide; the glass of a whole prostate or eye has
5 x 7.5 cm. What lies above is in a damaged file, and would take more memory than there is."""

UNEQUAL = 0.05
"""Pixels whose width and height differ by a smaller fraction count as square."""

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
}
"""Micrometres per unit of OME-XML. A unit that is no length, such as pixel, says nothing."""


def choose(path, given, stated, size):
    """Choose the resolution of a slide and check it.

    Parameters
    ----------
    path : Path
        The slide, for the messages.
    given : float or None
        Micrometres per pixel that the user gives. They prevail.
    stated : tuple of float or None
        Micrometres per pixel across and down, from `of_openslide` or `of_tiff`.
    size : tuple of int
        Height and width of the finest level in pixels.

    Returns
    -------
    float
        Micrometres per pixel of the finest level.

    Raises
    ------
    SlideError
        If the resolution is unknown or implausible, the pixels are not square, or the slide would
        be larger than glass slides are.
    """
    finest = _choose(path, given, stated)
    area = math.prod(size) * (finest * 1e-4) ** 2
    if area > LARGEST or max(size) * finest * 1e-4 > LONGEST:
        raise SlideError(
            f"{path} would be {size[1] * finest * 1e-4:,.0f} x {size[0] * finest * 1e-4:,.0f} cm "
            f"large at {finest:g} um per pixel, as no glass slide is: get a fresh copy, or give "
            "the right value, as in --mpp 0.25 for a scan at 40x."
        )
    return finest


def _choose(path, given, stated):
    if given is not None:
        if not _plausible(given):
            raise SlideError(
                f"{path} cannot have {given:g} um per pixel: give --mpp in micrometres per pixel, "
                "as in --mpp 0.25 for a scan at 40x."
            )
        return given
    if stated is None:
        raise SlideError(
            f"{path} does not say its resolution: give it in micrometres per pixel, "
            "as in --mpp 0.25 for a scan at 40x."
        )
    across, down = stated
    if abs(math.log(across / down)) >= UNEQUAL:
        raise SlideError(
            f"{path} says {across:g} um per pixel across and {down:g} um down: if its pixels are "
            "square, give the right value, as in --mpp 0.25, else scale the slide to square pixels."
        )
    if not (_plausible(across) and _plausible(down)):
        raise SlideError(
            f"{path} says {across:g} um per pixel, which no scan of nuclei has: give the right "
            "value in micrometres per pixel, as in --mpp 0.25 for a scan at 40x."
        )
    return math.sqrt(across * down)


def of_openslide(properties):
    """Micrometres per pixel from the properties of OpenSlide.

    Parameters
    ----------
    properties : mapping of str to str

    Returns
    -------
    tuple of float or None
        Across and down; without them, 10 divided by the power of the objective; None if unknown.
    """
    power = _number(properties.get("openslide.objective-power"))
    return _pair(*(_number(properties.get(f"openslide.mpp-{axis}")) for axis in "xy")) or (
        (10 / power,) * 2 if power else None  # 40x is 0.25 um per pixel
    )


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


def _of_ome(ome, shape):
    import defusedxml.ElementTree

    try:
        images = defusedxml.ElementTree.fromstring(ome).findall(".//{*}Pixels") if ome else []
    except (ParseError, ValueError):  # a ValueError if it declares entities
        return None
    size = [str(length) for length in shape[::-1]]
    same = [image for image in images if [image.get("SizeX"), image.get("SizeY")] == size]
    for image in same or images[:1]:
        lengths = [_number(image.get(f"PhysicalSize{axis}")) for axis in "XY"]
        units = [UNITS.get(image.get(f"PhysicalSize{axis}Unit", "um")) for axis in "XY"]
        known = zip(lengths, units, strict=True)
        return _pair(*(length * unit if length and unit else None for length, unit in known))
    return None


def _of_tags(page):
    if page.resolutionunit not in (2, 3):  # inch, centimetre
        return None
    densities = (_number(density) for density in page.get_resolution(unit=5))  # per micrometre
    pair = _pair(*(1 / density if density else None for density in densities))
    return pair if pair and any(map(_plausible, pair)) else None


def _plausible(value):
    return PLAUSIBLE[0] <= value <= PLAUSIBLE[1]


def _pair(across, down):
    """Both values; one stands for the other if that is unknown; None if both are."""
    return (across or down, down or across) if across or down else None


def _number(value):
    """A number above 0, or None for anything else, such as 0, "n/a" or no value."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < math.inf else None
