"""Find how an annotation lies on its image, by where the image is stained with haematoxylin."""

from typing import NamedTuple

import cv2
import numpy as np

from ..images.scaling import middle_of
from .stains import SPLIT, optical_density, without_black

REACH = 32
"""Largest shift that is looked for along each axis, in pixels; less in images that are small."""

FIELD = 2048
"""Side of the middle of a large image that is looked at, in pixels."""

FIT = 0.25
"""Least correlation of an annotation with its own image. In MoNuSeg it is 0.46 and more, and with
another image 0.05 and less."""

VIEWS = {
    "turned by half a turn": lambda mask: mask[::-1, ::-1],
    "flipped upside down": lambda mask: mask[::-1],
    "mirrored left to right": lambda mask: mask[:, ::-1],
    "mirrored along its diagonal": lambda mask: mask.T,
    "turned by a quarter to the left": np.rot90,
    "turned by a quarter to the right": lambda mask: np.rot90(mask, -1),
    "mirrored along its other diagonal": lambda mask: mask[::-1, ::-1].T,
}
"""What programs do to annotations by mistake, and how to undo it."""


class Alignment(NamedTuple):
    """Where an annotation lies.

    Attributes
    ----------
    down, right : float
        How far the annotation lies below and to the right of the nuclei, in pixels.
    fit : float
        Correlation of the annotation with haematoxylin there, from -1 to 1.
    """

    down: float
    right: float
    fit: float


def align(image, mask):
    """Find the shift at which a mask correlates best with haematoxylin.

    The details of both are compared, finer than about 20 pixels, by normalised cross-correlation. A
    parabola through its peak gives fractions of a pixel.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    mask : ndarray of bool, shape (H, W)

    Returns
    -------
    Alignment or None
        None if the mask marks nothing or everything, or the image is below 32 pixels.
    """
    image, mask = middle_of(image, FIELD), middle_of(mask, FIELD)
    reach = min(REACH, min(mask.shape) // 8)
    inner = mask[reach:-reach, reach:-reach] if reach >= 4 else mask[:0]
    if not inner.any() or inner.all():
        return None
    density = optical_density(without_black(image))
    stained = _details(density @ SPLIT[:, 0])
    marked = _details(mask.astype(np.float32))[reach:-reach, reach:-reach]
    fits = cv2.matchTemplate(stained, np.ascontiguousarray(marked), cv2.TM_CCOEFF_NORMED)
    row, column = np.unravel_index(fits.argmax(), fits.shape)
    down = row - reach + _vertex(fits[:, column], row)
    right = column - reach + _vertex(fits[row], column)
    # The mask has to move by this much to lie on the nuclei.
    return Alignment(-float(down), -float(right), float(fits[row, column]))


def better_view(image, mask):
    """How a mask that does not fit its image has to be turned to fit; None if it never does.

    Parameters
    ----------
    image, mask
        As for `align`.

    Returns
    -------
    str or None
        A key of `VIEWS`.
    """
    fits = {}
    for title, view in VIEWS.items():
        turned = np.ascontiguousarray(view(mask))
        if turned.shape == mask.shape and (found := align(image, turned)):
            fits[title] = found.fit
    best = max(fits, key=fits.get, default=None)
    return best if best and fits[best] >= FIT else None


def _details(values):
    """Blur noise, and subtract what is coarser than nuclei."""
    fine = cv2.GaussianBlur(values, (0, 0), 1)
    return fine - cv2.GaussianBlur(fine, (0, 0), 20)


def _vertex(values, peak):
    """Where the parabola through a peak and its neighbours is highest, relative to the peak."""
    if not 0 < peak < len(values) - 1:
        return 0.0
    before, here, after = values[peak - 1 : peak + 2]
    bend = before - 2 * here + after
    return (before - after) / (2 * bend) if bend else 0.0
