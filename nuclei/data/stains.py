"""Haematoxylin and eosin as optical densities, where stains add up (Beer-Lambert law)."""

from typing import NamedTuple

import cv2
import numpy as np

STAINS = np.array(
    [[0.650, 0.704, 0.286], [0.072, 0.990, 0.105], [0.268, 0.570, 0.776]], dtype=np.float32
)
"""Optical densities (R, G, B) of haematoxylin, eosin and a residual, one row each, scaled to
length 1 (Ruifrok & Johnston, Anal. Quant. Cytol. Histol. 23, 2001). The residual is their DAB."""
STAINS /= np.linalg.norm(STAINS, axis=1, keepdims=True)

SPLIT = np.linalg.inv(STAINS)
"""Splits optical densities into stains: density (R, G, B) @ SPLIT is the amount of each stain."""

# -log((i + 1) / 256) of every 8-bit value i: a look-up table is ten times as fast as the logarithm.
_DENSITY = -np.log((np.arange(256, dtype=np.float32) + 1) / 256)


def optical_density(image):
    """Convert 8-bit transmitted light to optical density: 0 for white, 5.5 for black.

    The logarithm is natural. Densities by the decimal one, as in QuPath, are 2.3 times smaller.

    Parameters
    ----------
    image : ndarray of uint8, any shape

    Returns
    -------
    ndarray of float32, same shape
    """
    return _DENSITY[image]


BLACK = 40
"""Pixels below it in every channel are black, as of a border; hardly one of a nucleus is."""


def without_black(image):
    """Make black white, so that black borders do not count as stain.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        A copy.
    """
    return np.where(image.max(axis=-1, keepdims=True) < BLACK, np.uint8(255), image)


STAINED = 0.15
"""Least mean optical density of a pixel that counts as stained."""


class Style(NamedTuple):
    """How an image is stained: the amounts of haematoxylin, eosin and residual in stained pixels.

    Attributes
    ----------
    mean, deviation : ndarray of float32, shape (3,)
        In units of optical density.
    """

    mean: np.ndarray
    deviation: np.ndarray


def style(image):
    """Measure how an image is stained.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.

    Returns
    -------
    Style or None
        None if less than a hundredth of the image is stained.
    """
    density = optical_density(image)
    stained = density[density.mean(axis=2) > STAINED]
    if len(stained) < 0.01 * density[..., 0].size:
        return None
    amounts = stained @ SPLIT
    return Style(amounts.mean(axis=0), np.maximum(amounts.std(axis=0), 0.01))


def restain(image, own, other):
    """Give an image, or a part of it, the stains of another one.

    The mean and the deviation of each stain become those of the other, as colours do in Reinhard et
    al., IEEE Computer Graphics and Applications 21(5), 2001.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    own, other : Style
        That of the image, and that which it gets.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    factor = other.deviation / own.deviation
    return scale_stains(image, factor, (other.mean - factor * own.mean) @ STAINS)


def scale_stains(image, factor, offset):
    """Multiply each stain of RGB by its factor, and add an optical density to R, G and B."""
    # One 3 x 3 matrix splits, scales and mixes the stains: new density = density @ change.
    change = SPLIT @ np.diag(factor) @ STAINS
    affine = np.column_stack([change.T, offset]).astype(np.float32)
    return transmitted(cv2.transform(optical_density(image), affine))


def transmitted(density):
    """Convert optical density to 8-bit light: the inverse of `optical_density`.

    Parameters
    ----------
    density : ndarray of float32, shape (H, W, 3)
        What is below 0 becomes white, and what is above 5.5 black.

    Returns
    -------
    ndarray of uint8, same shape
    """
    # Not below 1 / 256, because the conversion rounds and takes the absolute value.
    light = np.clip(cv2.exp(-density.astype(np.float32, copy=False)), 1 / 256, 1)
    return cv2.convertScaleAbs(light, alpha=256, beta=-1)
