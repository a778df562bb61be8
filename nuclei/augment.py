"""Vary patches as tissue, staining and scanners vary: geometry, stain, brightness, focus."""

import cv2
import keras
import numpy as np

# Optical densities (R, G, B) of haematoxylin, eosin and a residual, one unit row each:
# Ruifrok & Johnston, Anal. Quant. Cytol. Histol. 23, 2001.
STAINS = np.array(
    [[0.650, 0.704, 0.286], [0.072, 0.990, 0.105], [0.268, 0.570, 0.776]], dtype=np.float32
)
STAINS /= np.linalg.norm(STAINS, axis=1, keepdims=True)

# -log((i + 1) / 256) of every 8-bit value i: the logarithm as a look-up is ten times faster.
_OPTICAL_DENSITY = -np.log((np.arange(256, dtype=np.float32) + 1) / 256)


class AugmentedBatches(keras.utils.PyDataset):
    """An endless stream of augmented patches.

    Batch `i` depends on nothing but the seed and `i`: training that is resumed at step `i`
    sees the batches that it would have seen without the interruption.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, S, S, 3)
        RGB patches.
    masks : ndarray of bool, shape (N, S, S)
    batch_size : int
    seed : int
    first : int
        Number of the first batch: 0, or the step at which to resume.
    workers : int
        Threads that augment while the network trains.
    **augmentation
        Passed on to `augment`.
    """

    def __init__(self, images, masks, batch_size, seed, first=0, workers=2, **augmentation):
        super().__init__(workers=workers, max_queue_size=8)
        self.images, self.masks = images, masks
        self.batch_size, self.seed, self.first = batch_size, seed, first
        self.augmentation = augmentation

    @property
    def num_batches(self):
        """None: `fit()` counts an endless stream's epochs by `steps_per_epoch`."""

    def __getitem__(self, index):
        """Draw batch number `index`.

        Returns
        -------
        images : ndarray of float32, shape (B, S, S, 3)
            RGB, 0..255.
        masks : ndarray of float32, shape (B, S, S, 1)
            1 inside nuclei.
        """
        step = self.first + index
        rng = np.random.default_rng([self.seed, step])
        variants = [
            augment(self.images[i], self.masks[i], rng, **self.augmentation)
            for i in self._members(step)
        ]
        images, masks = (
            np.stack(column).astype(np.float32) for column in zip(*variants, strict=True)
        )
        return images, masks[..., None]

    def _members(self, step):
        """Every patch comes once in each pass over the data; a batch may span two passes."""
        positions = step * self.batch_size + np.arange(self.batch_size)
        passes, within = np.divmod(positions, len(self.images))
        order = {
            p: np.random.default_rng([self.seed, p, 1]).permutation(len(self.images))
            for p in set(passes)
        }
        return [order[p][i] for p, i in zip(passes, within, strict=True)]


def augment(image, mask, rng, shift=32, scale=0.25, stain=0.25, brightness=0.1, blur=1.0):
    """Draw one random variant of an image and its mask.

    Parameters
    ----------
    image : ndarray of uint8, shape (S, S, 3)
        RGB.
    mask : ndarray of bool, shape (S, S)
    rng : numpy.random.Generator
        Equal generators give equal variants.
    shift : float
        Largest shift along each axis, in pixels.
    scale : float
        Largest relative change of size, up or down.
    stain : float
        Largest relative change of each stain's strength; see `perturb_stain`.
    brightness : float
        Largest change of the optical density of all channels.
    blur : float
        Largest standard deviation of the Gaussian blur, in pixels; half of the variants are
        not blurred.

    Returns
    -------
    image : ndarray of uint8, shape (S, S, 3)
    mask : ndarray of bool, shape (S, S)
        Moved with the image.
    """
    image, mask = move(image, mask, rng, shift, scale)
    image = perturb_stain(image, rng, stain, brightness)
    if blur and rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.1, blur))
    return image, mask


def move(image, mask, rng, shift, scale):
    """Flip, turn by quarters, shift and scale; what comes into view is a reflection.

    One of the eight flips and turns is drawn evenly, so that no orientation is preferred.

    Parameters
    ----------
    image, mask, rng, shift, scale
        As in `augment`.

    Returns
    -------
    image : ndarray of uint8, shape (S, S, 3)
    mask : ndarray of bool, shape (S, S)
    """
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))
    zoom = np.exp(rng.uniform(-1, 1) * np.log1p(scale))
    dx, dy = rng.uniform(-shift, shift, 2)

    size = len(image)
    # One affine map does all four, so that each pixel is interpolated only once.
    cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[turns]
    linear = zoom * np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([-1 if flip else 1, 1])
    centre = np.full(2, (size - 1) / 2)
    affine = np.column_stack([linear, centre - linear @ centre + (dx, dy)])
    mirror = {"dsize": (size, size), "borderMode": cv2.BORDER_REFLECT_101}
    image = cv2.warpAffine(image, affine, flags=cv2.INTER_LINEAR, **mirror)
    mask = cv2.warpAffine(mask.view(np.uint8), affine, flags=cv2.INTER_NEAREST, **mirror)
    return image, mask.view(bool)


def perturb_stain(image, rng, stain=0.25, brightness=0.1):
    """Stain more or less, in optical density, where stains add up (Beer-Lambert law).

    The density is split into haematoxylin, eosin and residual; each is scaled by a factor of
    its own in 1 - `stain` .. 1 + `stain` and shifted a little, as in Tellez et al.,
    IEEE TMI 37(9), 2018.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    rng : numpy.random.Generator
    stain : float
        Largest relative change of each stain's strength.
    brightness : float
        Largest change of the optical density of all channels together.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    strength = rng.uniform(1 - stain, 1 + stain, 3)
    offset = rng.uniform(-stain, stain, 3) / 10 @ STAINS + rng.uniform(-brightness, brightness)
    # Splitting, scaling and mixing again are one 3 x 3 matrix: density' = density @ change.
    change = np.linalg.inv(STAINS) @ np.diag(strength) @ STAINS
    affine = np.column_stack([change.T, offset]).astype(np.float32)
    density = cv2.transform(_OPTICAL_DENSITY[image], affine)
    transmitted = cv2.exp(-density)
    # The conversion rounds and saturates; less than no absorption is white.
    return cv2.convertScaleAbs(np.minimum(transmitted, 1), alpha=256, beta=-1)
