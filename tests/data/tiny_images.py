"""Small images, their masks, and augmentation that changes little, for tests of both."""

import numpy as np

STILL = {"shift": 0, "turn": 0, "scale": 0}
UNSTAINED = {"stain": 0, "tint": 0, "brightness": 0, "blur": 0}
NOTHING = STILL | UNSTAINED


def generator(seed=0):
    return np.random.default_rng(seed)


def noise(size=32):
    return generator().integers(0, 256, (size, size, 3), np.uint8)


def blobs(size=64):
    """A mask of a few discs, no two alike, so that every flip and turn of it differs."""
    y, x = np.mgrid[:size, :size] / size
    discs = [(0.3, 0.2, 0.15), (0.7, 0.35, 0.1), (0.5, 0.8, 0.17)]
    return np.any([np.hypot(y - a, x - b) < radius for a, b, radius in discs], axis=0)


def as_image(mask):
    """An image that is its own mask: white inside nuclei, black outside."""
    return np.repeat(mask[..., None] * np.uint8(255), 3, axis=-1)
