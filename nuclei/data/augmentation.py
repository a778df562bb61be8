"""Augment patches: vary geometry, stain, brightness and focus as tissue and scanners do."""

import cv2
import numpy as np

from . import patches
from .alterations import compressed
from .stains import STAINS, restain, scale_stains

STRONGER = {
    "scale": 0.35,
    "stain": 0.4,
    "tint": 0.15,
    "brightness": 0.15,
    "blur": 1.5,
    "jpeg": 30,
}
"""Arguments of `AugmentedBatches` that change more, for the stains and scanners of other
laboratories."""


def augment(
    image,
    mask,
    rng,
    corner=(0, 0),
    size=patches.SIZE,
    shift=patches.STRIDE / 2,
    turn=45,
    scale=0.25,
    stain=0.25,
    tint=0.1,
    brightness=0.1,
    blur=1.0,
    jpeg=None,
    styles=None,
):
    """Draw one random variant of a patch of an image and its mask.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    mask : ndarray of bool or int32, shape (H, W), or of float32, shape (H, W, C)
        Mask, labels or training targets of the image.
    rng : numpy.random.Generator
        Equal generators give equal variants.
    corner : tuple of int
        Row and column of the top left corner of the patch.
    size : int
        Side of the patch, in pixels.
    shift : float
        Largest shift along each axis, in pixels; with half a stride every position is possible.
    turn : float
        Largest rotation, in degrees, in addition to quarter turns; with 45 all angles are equally
        likely.
    scale : float
        Largest relative change of size, up or down.
    stain : float
        Largest relative change of each stain's strength; see `perturb_stain`.
    tint : float
        Largest optical density that is added to each stain everywhere, or subtracted from it.
    brightness : float
        Largest change of the optical density of all channels together.
    blur : float
        Largest standard deviation of the Gaussian blur, in pixels; half of the variants are
        not blurred.
    jpeg : int, optional
        Lowest JPEG quality, of 1 to 100; half of the variants are not compressed. None compresses
        none.
    styles : tuple of two stains.Style, optional
        That of the image, and that of another, whose stains the variant gets first.

    Returns
    -------
    image : ndarray of uint8, shape (size, size, 3)
    mask : ndarray, shape (size, size) or (size, size, C)
        Transformed like the image; same dtype as `mask`.
    """
    image, mask = move(image, mask, rng, corner, size, shift, turn, scale)
    if styles:
        image = restain(image, *styles)
    image = perturb_stain(image, rng, stain, tint, brightness)
    if blur and rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.1, blur))
    if jpeg and rng.random() < 0.5:
        image = compressed(image, int(rng.integers(jpeg, 101)))
    return image, mask


def move(image, mask, rng, corner, size, shift, turn, scale):
    """Cut a patch that is flipped, turned, shifted and scaled at random.

    The patch stays within the image, except for the corners of a turned patch and for images that
    are too small: beyond its border the image is mirrored. All orientations are equally likely.

    Parameters
    ----------
    image, mask, rng, corner, size, shift, turn, scale
        As in `augment`.

    Returns
    -------
    image : ndarray of uint8, shape (size, size, 3)
    mask : ndarray, shape (size, size) or (size, size, C)
        Same dtype as `mask`: bool and labels are taken from the nearest pixel, floats are
        interpolated.
    """
    flip = rng.choice([-1, 1])
    angle = np.deg2rad(90 * rng.integers(4) + rng.uniform(-turn, turn))
    zoom = np.exp(rng.uniform(-1, 1) * np.log1p(scale))

    # Coordinates are x, y. The point `here` of the image becomes the middle of the patch.
    middle = np.full(2, (size - 1) / 2)
    here = np.array(corner[::-1]) + middle + rng.uniform(-shift, shift, 2)
    centre = (np.array(image.shape[1::-1]) - 1) / 2
    leeway = np.maximum(0, centre - middle / zoom)
    here = np.clip(here, centre - leeway, centre + leeway)

    # One affine map does all four changes, so that each pixel is interpolated only once.
    cosine, sine = np.cos(angle), np.sin(angle)
    linear = zoom * np.array([[flip * cosine, -sine], [flip * sine, cosine]])
    affine = np.column_stack([linear, middle - linear @ here])
    mirror = {"dsize": (size, size), "borderMode": cv2.BORDER_REFLECT_101}
    image = cv2.warpAffine(image, affine, flags=cv2.INTER_LINEAR, **mirror)
    if mask.dtype.kind == "f":
        return image, cv2.warpAffine(mask, affine, flags=cv2.INTER_LINEAR, **mirror)
    numbers = mask.view(np.uint8) if mask.dtype == bool else mask
    moved = cv2.warpAffine(numbers, affine, flags=cv2.INTER_NEAREST, **mirror)
    return image, moved.view(mask.dtype)


def perturb_stain(image, rng, stain=0.25, tint=0.1, brightness=0.1):
    """Change the strength of each stain in optical density, where stains add up (Beer-Lambert).

    The density is split into haematoxylin, eosin and residual. Each is scaled by its own random
    factor in 1 - `stain` .. 1 + `stain` and shifted by up to `tint`, as in Tellez et al.,
    IEEE TMI 37(9), 2018.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    rng : numpy.random.Generator
    stain : float
        Largest relative change of each stain's strength.
    tint : float
        Largest optical density that is added to each stain everywhere, or subtracted from it.
    brightness : float
        Largest change of the optical density of all channels together.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    strength = rng.uniform(1 - stain, 1 + stain, 3)
    offset = rng.uniform(-tint, tint, 3) @ STAINS + rng.uniform(-brightness, brightness)
    return scale_stains(image, strength, offset)
