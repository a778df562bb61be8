"""Find tissue that is in two images: the same image, also turned or mirrored, or a part of it.

Only details count, with the same contrast everywhere. Otherwise the border between tissue and glass
would make all images alike that have one in the same place, as those of a tissue microarray do.
"""

from functools import lru_cache
from itertools import product

import cv2
import numpy as np
from tqdm import tqdm

SIDE = 16
"""Pixels on each side of a signature."""

SMALL = 64
"""Pixels on each side of the copy whose details are compared."""

SAME = 0.9
"""Least correlation of an image and its copy, of signatures and of details. After JPEG both are
above 0.99. Signatures of two images of MoNuSeg reach 0.31, and 0.99 if the same glass covers both;
details then 0.57 (experiments/check_limits.py)."""

PATCH = 256
"""Side of the patches that are looked for in other images, in pixels; of small images less."""

SHARED = 0.6
"""Least correlation of the details of a patch with the image that it is from, both reduced. In
MoNuSeg it is 0.70 and more after JPEG of quality 50. In other images it is 0.35 and less, and 0.53
and less if the same glass covers both."""

PLAIN = 0.3
"""Least median strength of the details of a patch. It is 0.48 and more in images of MoNuSeg. Of a
patch with less, half is glass, and it says nothing."""

NOISE = 5
"""Greys, of 255, by which glass varies."""

FINE = 3
"""Standard deviation, in pixels, of the blur that takes away what is no detail."""

MOST_PAIRS = 20_000
"""Up to so many pairs of images are searched for shared parts; 560 pairs take three seconds."""


def search(pairs, progress=True):
    """Find tissue that is in both images of a pair.

    Parameters
    ----------
    pairs : list of (object, object)
        Each with the attribute `reduced`, a `Reduced`. Of more than `MOST_PAIRS`, only copies of
        whole images are found.
    progress : bool
        Show a progress bar.

    Yields
    ------
    one, two : object
    what : str
        What they have in common, in words.
    """
    for one, two in tqdm(pairs, "Comparing", unit="pair", disable=not progress, delay=2):
        if one.reduced.is_same(two.reduced):
            yield one, two, "are the same image"
        elif len(pairs) <= MOST_PAIRS and one.reduced.shares(two.reduced):
            yield one, two, "share a part"


class Reduced:
    """A small grey copy of an image, which is enough to find it again.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    """

    def __init__(self, image):
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        self.half = _reduce(grey, 2)
        self.signature = _unit(_square(grey, SIDE).astype(np.float32))
        self.views = lru_cache(lambda: _views(self.signature))  # kept: large sets have many pairs
        self.details = lru_cache(lambda factor: _details(_reduce(self.half, factor // 2)))
        self.small = lru_cache(lambda: _unit(_details(_square(self.half, SMALL))))

    def is_same(self, other):
        """Whether it is another image or a turned or mirrored copy of it."""
        return self.likeness(other) >= SAME and self.likeness_of_details(other) >= SAME

    def likeness(self, other):
        """Highest correlation of a turned or mirrored signature with another, from -1 to 1."""
        return float((self.views() @ other.signature.ravel()).max())

    def likeness_of_details(self, other):
        """Highest correlation of turned or mirrored details with those of another, from -1 to 1."""
        return float((_views(self.small()) @ other.small().ravel()).max())

    def shares(self, other):
        """Whether a part of the smaller image is found in the other, at the same scale."""
        return any(fit >= SHARED for fit in self.parts(other))

    def parts(self, other):
        """Yield for each patch of the smaller image its best correlation with the other image."""
        smaller, larger = sorted((self, other), key=lambda one: one.half.size)
        side = 2 * min(smaller.half.shape)
        factor = 8 if side >= PATCH else 4 if side >= PATCH // 2 else 2
        image = larger.details(factor)
        for patch in _patches(smaller.details(factor), min(PATCH // factor, *image.shape)):
            yield float(cv2.matchTemplate(image, patch, cv2.TM_CCOEFF_NORMED).max())


def _reduce(grey, factor):
    if factor == 1:
        return grey
    height, width = (max(1, side // factor) for side in grey.shape)
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)


def _square(grey, side):
    return cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)


def _unit(values):
    """The values less their mean, divided by their length, so that a product is a correlation."""
    values = values - values.mean()
    return values / max(np.linalg.norm(values), 1e-6)


def _views(values):
    """A square as it is, turned and mirrored: 8 rows."""
    faces = values, values[::-1]
    return np.stack([np.rot90(face, turn).ravel() for face in faces for turn in range(4)])


def _details(grey):
    """What is finer than `FINE`, divided by its strength nearby: all tissue counts alike."""
    fine = grey - cv2.GaussianBlur(grey.astype(np.float32), (0, 0), FINE)
    strength = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), FINE))
    return fine / (strength + NOISE)


def _patches(details, side):
    """Patches at the corners, the middle of the sides and the middle, unless they are plain."""
    side = min(side, *details.shape)
    places = [sorted({0, (length - side) // 2, length - side}) for length in details.shape]
    for top, left in product(*places):
        patch = details[top : top + side, left : left + side]
        if np.median(np.abs(patch)) >= PLAIN:
            yield patch
