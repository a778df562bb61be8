"""Images as other laboratories and scanners might give them: pale, dark, blurred, compressed."""

from dataclasses import replace
from itertools import cycle

import cv2
import numpy as np

from .stains import optical_density, transmitted


def _stain(strength):
    def change(image):
        return transmitted(strength * optical_density(image))

    return change


def _blur(image):
    return cv2.GaussianBlur(image, (0, 0), 2)


def compressed(image, quality=30):
    """Compress an image with JPEG, and decode it again.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    quality : int
        1 to 100, as in libjpeg.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    _, code = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1].copy()


ALTERATIONS = {"pale": _stain(0.5), "dark": _stain(1.5), "blurred": _blur, "jpeg": compressed}
"""Functions from RGB (H, W, 3) of uint8 to the same. Pale and dark: half and 1.5 times the optical
density. Blurred: a Gaussian with a standard deviation of 2 pixels. Jpeg: a quality of 30."""


def altered(samples, name):
    """Alter the images of some samples; masks and labels stay as they are.

    Parameters
    ----------
    samples : sequence of Sample
    name : str
        A key of `ALTERATIONS`.

    Returns
    -------
    list of Sample
    """
    return [replace(sample, image=ALTERATIONS[name](sample.image)) for sample in samples]


def with_altered(patches):
    """Add each patch once more, altered in one of the ways of `ALTERATIONS`, which take turns.

    Parameters
    ----------
    patches : Patches
        N patches.

    Returns
    -------
    Patches
        2 N patches: first those as they are, then the altered ones in the same order.
    """
    changes = zip(patches.images, cycle(ALTERATIONS.values()))
    changed = np.stack([change(image) for image, change in changes])
    twice = {"names": patches.names * 2, "masks": np.concatenate([patches.masks] * 2)}
    if patches.labels is not None:
        twice["labels"] = np.concatenate([patches.labels] * 2)
    return replace(patches, images=np.concatenate([patches.images, changed]), **twice)
