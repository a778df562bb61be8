"""Know the images of MoNuSeg by what they show, whatever their files are called."""

from functools import cache
from pathlib import Path

import numpy as np

from .overlap import SAME, SIDE, Reduced

FILE = Path(__file__).with_name("monuseg_signatures.csv")
"""For each image its name, and `overlap.Reduced.signature` in steps of 1/100, in hexadecimal."""

STEP = 100


def encode(image):
    """The signature of an image as text.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.

    Returns
    -------
    str
        Two hexadecimal digits for each of the `SIDE` x `SIDE` greys.
    """
    signature = Reduced(image).signature
    return np.clip(np.rint(signature * STEP), -127, 127).astype(np.int8).tobytes().hex()


def identify(reduced):
    """Find out which image of MoNuSeg this is, also turned, mirrored, or saved as JPEG.

    Parameters
    ----------
    reduced : overlap.Reduced
        Of the whole image; parts are not known again.

    Returns
    -------
    str or None
        Its name in MoNuSeg, as "TCGA-18-5592-01Z-00-DX1".
    """
    return next((name for name, known in _known() if reduced.likeness(known) >= SAME), None)


class _Known:
    """A signature alone, for `Reduced.likeness`."""

    def __init__(self, text):
        values = np.frombuffer(bytes.fromhex(text), np.int8).astype(np.float32).reshape(SIDE, SIDE)
        self.signature = values / np.linalg.norm(values)


@cache
def _known():
    lines = FILE.read_text(encoding="ascii").splitlines()[1:]
    return [(name, _Known(text)) for name, text in (line.split(",") for line in lines)]
