"""Images that a small network learns in a few steps."""

import numpy as np


def discs(size=32):
    """Two images with a dark disc on a light, noisy ground, and its mask."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    masks = np.stack([np.hypot(y - c, x - c) < size / 4 for c in (size / 2, size / 3)])[..., None]
    images = np.where(masks, 90, 210) + rng.integers(-30, 30, (2, size, size, 3))
    return images.astype(np.float32), masks.astype(np.float32)
