"""Widen a trained network: more channels, the same outputs, so that training can go on from there.

Chen et al., "Net2Net: Accelerating Learning via Knowledge Transfer", ICLR 2016, arXiv:1511.05641.
Each channel is repeated beside itself, so that it keeps its place in a concatenation. A layer that
reads it shares its weight among the copies, unevenly: equal copies would stay equal for ever.
"""

import numpy as np
from keras import layers

INPUT_AXIS = {layers.Conv2D: 2, layers.Conv2DTranspose: 3, layers.BatchNormalization: None}
"""The layers that can be widened, and the axis of their kernel that runs over the channels they
read; batch normalisation has no kernel."""


def widened(kind, old, new, times):
    """Weights for a layer of a network that is some times as wide.

    Parameters
    ----------
    kind : type
        Class of the layer.
    old, new : np.ndarray
        Its trained weights, and the initial ones of the wider network, float32.
    times : int
        How many times as wide the network is. The channels of images and masks stay as many.

    Returns
    -------
    np.ndarray
        Float32, of the shape of `new`. If the inputs of the layer are repeated, its outputs are
        those it had, repeated.

    Raises
    ------
    ValueError
        If the shapes do not fit, or such a layer cannot be widened.
    """
    if old.shape == new.shape:
        return old
    if kind not in INPUT_AXIS:
        raise ValueError(f"a {kind.__name__} of another width")
    weights, uneven = old, 0
    for axis, (narrow, wide) in enumerate(zip(old.shape, new.shape, strict=True)):
        repeats, rest = divmod(wide, narrow)
        if rest or repeats not in (1, times):
            raise ValueError(f"{wide} channels from {narrow}")
        weights = np.repeat(weights, repeats, axis)
        if axis == INPUT_AXIS[kind]:
            weights = weights / repeats
            # Random numbers that add up to 0 over the copies, from the initial weights.
            means = np.add.reduceat(new, np.arange(0, wide, repeats), axis) / repeats
            uneven = new - np.repeat(means, repeats, axis)
    return weights + uneven
