"""Make the stain of very pale and very dark images as strong as networks have seen it.

Only images beyond the range of MoNuSeg's 30 images of trainval are changed, to its nearer end.
`experiments/stain_strength.py` measures the range, and what this changes.
"""

import cv2
import numpy as np

from ..data.stains import optical_density, transmitted
from . import artefacts

PALEST, DARKEST = 0.22, 1.13
"""Just below and above the strengths of the images of trainval."""

MOST = 3.0
"""Densities are multiplied or divided by this at most, because noise grows with them."""

ENOUGH = 50
"""Pixels of 8 um with stain, below which an image does not say how strong its stain is."""


def strength(image):
    """Measure how strong the stain of an image is.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB, at `artefacts.GLASS_MPP`, as the overview of a slide.

    Returns
    -------
    float or None
        Mean optical density of all three channels above that of the glass, where there is stain
        and no ink; None where there is less than `ENOUGH` of it.
    """
    density = artefacts.smooth_density(image)
    stained = artefacts.find_stain(image, density)
    if stained is None:
        return None
    stained &= ~artefacts.near_ink(density)
    if np.count_nonzero(stained) < ENOUGH:
        return None
    return float(density[stained].mean() - artefacts.tint(density).mean())


def factor(image):
    """By how much the optical densities of an image are multiplied before it is predicted.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        As for `strength`.

    Returns
    -------
    float
        1 if the strength is within the range, or is not known.
    """
    found = strength(image)
    if found is None:
        return 1.0
    found = np.clip(found, PALEST / MOST, DARKEST * MOST)
    return float(np.clip(found, PALEST, DARKEST) / found)


def multiplied(image, factor):
    """Multiply the optical densities of an image.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    factor : float
        From `factor`.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        The image itself if the factor is 1.
    """
    if factor == 1:
        return image
    values = np.arange(256, dtype=np.uint8).reshape(1, 256)
    return cv2.LUT(image, transmitted(factor * optical_density(values)))


def notice(name, factor):
    """Say that the network saw another stain than that of an image.

    Parameters
    ----------
    name : str or Path
    factor : float
        From `factor`.

    Returns
    -------
    str or None
        None if the factor is 1.
    """
    if factor == 1:
        return None
    kind = "pale" if factor > 1 else "dark"
    times = f"{factor:.2f} times its optical density"
    return f"{name}: the stain is very {kind}, so the network saw {times}."
