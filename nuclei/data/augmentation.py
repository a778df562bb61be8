"""Augment patches: vary geometry, stain, brightness and focus as tissue and scanners do."""

import copy

import cv2
import keras
import numpy as np

from ..errors import InputError
from . import patches
from .alterations import compressed
from .stains import STAINS, optical_density, restain, style, transmitted

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


class AugmentedBatches(keras.utils.PyDataset):
    """An endless stream of augmented patches, cut from whole images or made from patches.

    Each patch starts at a position of `patches.cut` and is shifted, turned and scaled within its
    image, so that real tissue comes into view at its borders. An image that is no larger than a
    patch gives one patch, which is mirrored beyond the border. Batch `i` depends only on the seed
    and `i`, so a training that is resumed at step `i` gets the same batches as one that was never
    interrupted.

    Parameters
    ----------
    images : sequence of ndarray of uint8, shape (H, W, 3)
        RGB, each of any size.
    masks : sequence of ndarray of bool or int32, shape (H, W), or of float32, shape (H, W, C)
        Masks, labels, or C training targets from 0 to 1 at each pixel, as from `targets.targets`.
    batch_size : int
        Patches per batch.
    seed : int
    size, stride : int
        Side of a patch and step from one to the next, in pixels; see `patches.cut`.
    workers : int
        Threads that augment while the network trains.
    swap : float
        Share of the patches that get the stains of another image, drawn at random, before all else.
    **augmentation
        Passed on to `augment`. By default patches are shifted by up to half a stride.

    Raises
    ------
    InputError
        If a batch has no patch; as in `patches.count`.
    """

    def __init__(
        self,
        images,
        masks,
        batch_size,
        seed,
        size=patches.SIZE,
        stride=patches.STRIDE,
        workers=2,
        swap=0.0,
        **augmentation,
    ):
        super().__init__(workers=workers, max_queue_size=8)
        if batch_size < 1:
            raise InputError("A batch has at least one patch: set BATCH_SIZE to 1 or more.")
        self.images, self.masks = images, masks
        self.batch_size, self.seed, self.first, self.size = batch_size, seed, 0, size
        self.augmentation = {"shift": stride / 2, **augmentation}
        self.swap = swap
        self.styles = [style(image) for image in images] if swap else []
        self.windows = [
            (number, corner)
            for number, image in enumerate(images)
            for corner in patches.corners(image.shape, size, stride)
        ]

    @property
    def steps_per_epoch(self):
        """Number of whole batches in one pass over all patches, at least 1."""
        return max(1, len(self.windows) // self.batch_size)

    @property
    def num_batches(self):
        """None: the stream is endless, so `fit()` ends epochs by `steps_per_epoch`."""

    def starting(self, first, seed=None):
        """The same stream from a later batch on, or that of another seed.

        Parameters
        ----------
        first : int
            Number of the first batch, such as the step at which a training is resumed.
        seed : int, optional

        Returns
        -------
        AugmentedBatches
        """
        stream = copy.copy(self)
        stream.first, stream.seed = first, self.seed if seed is None else seed
        return stream

    def __getitem__(self, index):
        """Draw batch number `index`.

        Returns
        -------
        images : ndarray of float32, shape (B, size, size, 3)
            RGB, 0..255.
        masks : ndarray of float32, shape (B, size, size, C)
            1 inside nuclei, or the labels or targets; C is 1 for masks and labels.
        """
        step = self.first + index
        rng = np.random.default_rng([self.seed, step])
        variants = [
            augment(
                self.images[i],
                self.masks[i],
                rng,
                corner,
                self.size,
                styles=self._swapped(i, rng),
                **self.augmentation,
            )
            for i, corner in self._members(step)
        ]
        images, masks = (
            np.stack(column).astype(np.float32) for column in zip(*variants, strict=True)
        )
        return images, masks.reshape(*masks.shape[:3], -1)

    def _swapped(self, number, rng):
        """The style of an image and the one that its patch gets, if it gets another."""
        if not self.swap or rng.random() >= self.swap:
            return None
        both = self.styles[number], self.styles[rng.integers(len(self.styles))]
        return None if None in both else both

    def _members(self, step):
        """Image and corner of each patch in a batch.

        Each pass over the data contains every patch once; a batch may span two passes.
        """
        positions = step * self.batch_size + np.arange(self.batch_size)
        passes, within = np.divmod(positions, len(self.windows))
        order = {
            p: np.random.default_rng([self.seed, p, 1]).permutation(len(self.windows))
            for p in set(passes)
        }
        return [self.windows[order[p][i]] for p, i in zip(passes, within, strict=True)]


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
    # One 3 x 3 matrix splits, scales and mixes the stains: new density = density @ change.
    change = np.linalg.inv(STAINS) @ np.diag(strength) @ STAINS
    affine = np.column_stack([change.T, offset]).astype(np.float32)
    return transmitted(cv2.transform(optical_density(image), affine))
