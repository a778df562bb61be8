"""Find tissue that is in two images: the same image, also turned or mirrored, or a part of it."""

from functools import lru_cache
from itertools import product

import cv2
import numpy as np
from tqdm import tqdm

SIDE = 16
"""Pixels on each side of a signature."""

SAME = 0.9
"""Least correlation of the signatures of one image, saved twice. It is above 0.99 after JPEG; that
of two images of MoNuSeg is at most 0.31 (experiments/check_limits.py)."""

PATCH = 256
"""Side of the patches that are looked for in other images, in pixels; of small images less."""

SHARED = 0.75
"""Least correlation of a patch with the image that it is from, both reduced. In MoNuSeg it is 0.80
and more after JPEG of quality 50, and 0.60 and less in other images."""

PLAIN = 5
"""Patches whose greys, of 255, vary less than this are of glass, and say nothing."""


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
        small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        small -= small.mean()
        self.signature = small / max(np.linalg.norm(small), 1e-6)
        self.at = lru_cache(lambda factor: _reduce(self.half, factor // 2))

    def is_same(self, other):
        """Whether it is another image or a turned or mirrored copy of it."""
        return self.likeness(other) >= SAME

    def likeness(self, other):
        """Highest correlation of a turned or mirrored signature with another, from -1 to 1."""
        faces = self.signature, self.signature[::-1]
        views = (np.rot90(face, turn) for face in faces for turn in range(4))
        return max(float((view * other.signature).sum()) for view in views)

    def shares(self, other):
        """Whether a part of the smaller image is found in the other, at the same scale."""
        return any(fit >= SHARED for fit in self.parts(other))

    def parts(self, other):
        """Yield for each patch of the smaller image its best correlation with the other image."""
        smaller, larger = sorted((self, other), key=lambda one: one.half.size)
        side = 2 * min(smaller.half.shape)
        factor = 8 if side >= PATCH else 4 if side >= PATCH // 2 else 2
        image = larger.at(factor)
        for patch in _patches(smaller.at(factor), min(PATCH // factor, *image.shape)):
            yield float(cv2.matchTemplate(image, patch, cv2.TM_CCOEFF_NORMED).max())


def _reduce(grey, factor):
    if factor == 1:
        return grey
    height, width = (max(1, side // factor) for side in grey.shape)
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)


def _patches(grey, side):
    """Patches at the corners, the middle of the sides and the middle, unless they are plain."""
    side = min(side, *grey.shape)
    places = [sorted({0, (length - side) // 2, length - side}) for length in grey.shape]
    for top, left in product(*places):
        patch = grey[top : top + side, left : left + side]
        if patch.std() >= PLAIN:
            yield patch
