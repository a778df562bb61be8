"""Micrometres per pixel of a slide, which have to be known: results are in micrometres."""

import math

from ..errors import InputError, SlideError
from ..images.resolution import check, is_plausible, number, pair, square

LONGEST, LARGEST = 30, 150
"""Length in cm and area in square cm of the largest slide; the glass of a whole prostate or eye has
5 x 7.5 cm. What lies above is in a damaged file, and would take more memory than there is."""


def choose(path, given, stated, size):
    """Choose the resolution of a slide and check it.

    Parameters
    ----------
    path : Path
        The slide, for the messages.
    given : float or None
        Micrometres per pixel that the user gives. They prevail.
    stated : tuple of float or None
        Micrometres per pixel across and down, from `of_openslide` or `images.resolution.of_tiff`.
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
    if given is None and stated is None:
        raise SlideError(
            f"{path} does not say its resolution: give it in micrometres per pixel, "
            "as in --mpp 0.25 for a scan at 40x."
        )
    try:
        mpp = square(path, stated) if given is None else check(path, given)
    except InputError as error:
        raise SlideError(str(error)) from None
    if not is_plausible(mpp):
        raise SlideError(
            f"{path} says {mpp:g} um per pixel, which no scan of nuclei has: give the right "
            "value in micrometres per pixel, as in --mpp 0.25 for a scan at 40x."
        )
    return mpp


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
    power = number(properties.get("openslide.objective-power"))
    return pair(*(number(properties.get(f"openslide.mpp-{axis}")) for axis in "xy")) or (
        (10 / power,) * 2 if power else None  # 40x is 0.25 um per pixel
    )
