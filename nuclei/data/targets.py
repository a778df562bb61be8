"""Training targets: what a network learns to predict at each pixel of an annotated image."""

import numpy as np
from scipy import ndimage

from ..errors import InputError


def training_targets(masks, labels, distance=False):
    """What a network learns for each image or patch.

    Parameters
    ----------
    masks : sequence of ndarray of bool, shape (H, W)
    labels : sequence of ndarray of int or None, shape (H, W)
        None, or with a None, where an image has only a mask.
    distance : bool
        Whether the network learns the relative distance, too.

    Returns
    -------
    list of ndarray
        The masks; or, with `distance`, the `targets`, float32, shape (H, W, 2).

    Raises
    ------
    InputError
        If `distance` is asked for and an image has only a mask.
    """
    if not distance:
        return list(masks)
    return [targets(one) for one in ([None] if labels is None else labels)]


def targets(labels):
    """Make the training targets of an image: its mask and the relative distance.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W), or None
        0 = background, 1..N = one nucleus each; None of an image that has only a mask.

    Returns
    -------
    ndarray of float32, shape (H, W, 2)
        First channel: the mask, 0 or 1. Second channel: `relative_distance`.

    Raises
    ------
    InputError
        If there are no labels.
    """
    if labels is None:
        raise InputError(
            "An image has only a mask, which does not tell touching nuclei apart: see which one by "
            "`python -m nuclei check`, and give it labels or outlines, or set DISTANCE = False."
        )
    return np.stack([labels > 0, relative_distance(labels)], axis=-1).astype(np.float32)


def relative_distance(labels):
    """Relative distance of each pixel to the border of its nucleus.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
        0 = background, 1..N = one nucleus each.

    Returns
    -------
    ndarray of float32, shape (H, W)
        Distance to the nearest pixel outside the nucleus, divided by the largest such distance in
        the nucleus: near 0 at its border and 1 in its middle, whatever its size. 0 in the
        background. Pixels beyond the image border count as part of the nucleus.
    """
    relative = np.zeros(labels.shape, np.float32)
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is None:
            continue
        # Add a rim of one pixel around the nucleus, within the image.
        window = tuple(slice(max(0, axis.start - 1), axis.stop + 1) for axis in window)
        nucleus = labels[window] == number
        if nucleus.all():  # the nucleus fills the image, so it has no border
            relative[window] = 1
            continue
        distance = ndimage.distance_transform_edt(nucleus)
        relative[window][nucleus] = (distance / distance.max())[nucleus]
    return relative
