"""EfficientNet-Lite0 (github.com/tensorflow/tpu, models/official/efficientnet/lite).

It is the EfficientNet-B0 of Tan and Le (ICML 2019, arXiv:1905.11946) without squeeze-and-excitation
and with ReLU6 for swish, so that it runs well on small devices and in 8-bit integers.
"""

from keras import Input, Model, layers, utils

STAGES = [
    # kernel, blocks, channels, expansion, stride
    (3, 1, 16, 1, 1),
    (3, 2, 24, 6, 2),
    (5, 2, 40, 6, 2),
    (3, 3, 80, 6, 2),
    (5, 3, 112, 6, 1),
    (5, 4, 192, 6, 2),
    (3, 1, 320, 6, 1),
]
"""The inverted residual blocks, stage by stage (arXiv:1905.11946, table 1)."""


def efficientnet_lite0(include_top=False, weights=None, input_tensor=None, input_shape=None):
    """Build an EfficientNet-Lite0 without its classifier, as `keras.applications` builds others.

    Parameters
    ----------
    include_top : bool
        False: there is no classifier here.
    weights : None
        Random weights. To load trained ones, see `encoders.pretrained`.
    input_tensor : KerasTensor, shape (B, H, W, 3), optional
        The image, as (RGB - 127) / 128; by default a new input.
    input_shape : tuple of int, optional
        Shape of the new input; (None, None, 3) by default.

    Returns
    -------
    keras.Model
        Maps the image to features of stride 32, (B, H / 32, W / 32, 1280).

    Raises
    ------
    ValueError
        If a classifier or the download of weights is asked for.
    """
    if include_top or weights is not None:
        raise ValueError("EfficientNet-Lite0 has no classifier and no weights to download here")
    image = Input(input_shape or (None, None, 3)) if input_tensor is None else input_tensor
    x = _convolution(image, 32, "stem", kernel=3, strides=2)
    number = 0
    for kernel, blocks, channels, expansion, stride in STAGES:
        for block in range(blocks):
            x = _block(x, kernel, channels, expansion, 1 if block else stride, f"block{number}")
            number += 1
    # `input_tensor` may be the output of a layer; the model begins at the input before it.
    start = utils.get_source_inputs(image)
    return Model(start, _convolution(x, 1280, "top"), name="efficientnet_lite0")


def _block(x, kernel, channels, expansion, stride, name):
    """Inverted residual block: expand, filter each channel by itself, project."""
    entry = x
    if expansion > 1:
        x = _convolution(x, x.shape[-1] * expansion, f"{name}_expand")
    x = layers.DepthwiseConv2D(
        kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_dwconv"
    )(x)
    x = layers.ReLU(6.0, name=f"{name}_act")(_normalization(x, name))
    x = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _normalization(x, f"{name}_project")
    if x.shape == entry.shape:
        x = layers.Add(name=f"{name}_add")([x, entry])
    return x


def _convolution(x, channels, name, kernel=1, strides=1):
    x = layers.Conv2D(
        channels, kernel, strides=strides, padding="same", use_bias=False, name=f"{name}_conv"
    )(x)
    return layers.ReLU(6.0, name=f"{name}_act")(_normalization(x, name))


def _normalization(x, name):
    return layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=f"{name}_bn")(x)
