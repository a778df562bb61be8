"""Test-time augmentation: average the prediction over flips and quarter turns of the image."""

from itertools import product

import numpy as np


def test_time_augmentation(predicted, image, augment):
    """Average the prediction of an image over its 8 flips and quarter turns.

    Parameters
    ----------
    predicted : callable
        Function from an image (H, W, 3) and a title, such as "view 3 of 8", to maps (H, W, C).
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    augment : bool
        If False, predict only the image itself.

    Returns
    -------
    ndarray of float32, shape (H, W, C)
        In [0, 1].
    """
    views = list(product(range(4), (1, -1))) if augment else [(0, 1)]
    mean = 0
    for number, (turns, step) in enumerate(views, start=1):
        view = np.rot90(image, turns)[:, ::step]  # step -1 mirrors
        maps = predicted(view, f"view {number} of {len(views)}")
        mean = mean + np.rot90(maps[:, ::step], -turns)
    mean /= len(views)
    return np.clip(mean, 0, 1, out=mean)  # window weights may sum to 1.0000001
