"""Patches that a tiny UNet learns in a few steps."""

import numpy as np

SIZES = {"size": 32, "stride": 32}
"""With which `AugmentedBatches` takes each of them as a whole."""


def dark_patches(count):
    """Draw patches in which nuclei are dark.

    Returns
    -------
    images : ndarray of uint8, shape (count, 32, 32, 3)
    masks : ndarray of bool, shape (count, 32, 32)
    """
    rng = np.random.default_rng(0)
    masks = rng.random((count, 4, 4)).repeat(8, 1).repeat(8, 2) < 0.4
    images = np.where(masks[..., None], 80, 200) + rng.integers(-20, 20, (*masks.shape, 3))
    return images.astype(np.uint8), masks
