"""The stride of each layer of a network: by how much it has reduced the image."""

import keras

from ..errors import InputError

SIDE = 512
"""Side, in pixels, of the square image from whose feature maps the strides are computed."""


def strides(model):
    """Find the stride and the channels of every feature map.

    Parameters
    ----------
    model : keras.Model
        A functional model with one input of shape (B, H, W, C).

    Returns
    -------
    dict of str to (int, int)
        Stride and channels of the first output of each layer, by layer name. The stride is the
        side of the image divided by the side of the map, rounded because unpadded layers lose a
        border. A map of one pixel has the stride `SIDE`.
    """
    outputs = {layer.name: keras.tree.flatten(layer.output)[0] for layer in model.operations}
    shape = (1, SIDE, SIDE, model.inputs[0].shape[-1])
    shapes = keras.Model(model.inputs, outputs).compute_output_shape(shape)
    return {name: (round(SIDE / height), count) for name, (_, height, _, count) in shapes.items()}


def check_side(model, side):
    """Make sure that a network can halve patches as often as it does.

    Parameters
    ----------
    model : keras.Model
        As for `strides`.
    side : int
        Of the patches, in pixels.

    Raises
    ------
    InputError
        If the side is no multiple of the coarsest stride.
    """
    # A mean over the whole image has the stride `SIDE`, and takes any number of pixels.
    coarsest = max(stride for stride, _ in strides(model).values() if stride < SIDE)
    if side % coarsest:
        near = max(1, round(side / coarsest)) * coarsest
        raise InputError(
            f"Patches of {side} pixels cannot be halved as often as this {model.name} does: set "
            f"PATCH_SIZE to a multiple of {coarsest}, such as {near}."
        )
