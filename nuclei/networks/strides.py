"""How far each layer of a network has reduced the image."""

import keras

SIDE = 512
"""Pixels of the square image whose way through the network gives the strides."""


def strides(model):
    """Find the stride and the channels of every feature map.

    Parameters
    ----------
    model : keras.Model
        A functional model with one input of shape (B, H, W, C).

    Returns
    -------
    dict of str to (int, int)
        By the name of each layer, for its first output: side of the image over that of the map,
        rounded, so that maps which lost a border count as well, and its channels. A map of one
        pixel has the stride `SIDE`.
    """
    outputs = {layer.name: keras.tree.flatten(layer.output)[0] for layer in model.operations}
    shape = (1, SIDE, SIDE, model.inputs[0].shape[-1])
    shapes = keras.Model(model.inputs, outputs).compute_output_shape(shape)
    return {name: (round(SIDE / height), count) for name, (_, height, _, count) in shapes.items()}
