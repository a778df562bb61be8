"""Encoders that were trained on ImageNet, for `unet` and `deeplabv3`.

DeepLabv3 calls its encoder the backbone, and makes it atrous: finer feature maps with the same
weights.
"""

from dataclasses import dataclass
from functools import partial

import keras
from keras import layers, ops

from .efficientnet import efficientnet_lite0
from .strides import strides
from .weights import load_weights


@dataclass(frozen=True)
class Encoder:
    """What a network needs to know about an encoder.

    Attributes
    ----------
    build : callable
        The function that builds it, in `keras.applications` or with the same arguments.
    features : str
        The layer whose output is used as features.
    low_level : str
        The last layer at stride 4, whose output still shows where edges are; for DeepLabv3.
    skips : tuple of str
        The layers whose outputs a UNet joins, at strides 2, 4, 8 and 16.
    padding : tuple of int
        Pixels to add before and after the image along both axes, so that the side of each
        feature map is exactly the side of the image divided by the stride.
    centre, half_range : float
        RGB minus `centre`, divided by `half_range`, is what the encoder was trained on.
    """

    build: callable
    features: str
    low_level: str
    skips: tuple
    padding: tuple = (0, 0)
    centre: float = 127.5
    half_range: float = 127.5


ENCODERS = {
    "mobilenetv2": Encoder(
        keras.applications.MobileNetV2,
        "block_16_project_BN",
        "block_3_expand_relu",
        ("expanded_conv_project_BN", "block_2_add", "block_5_add", "block_12_add"),
    ),
    "xception": Encoder(
        keras.applications.Xception,
        "block14_sepconv2_act",
        "block3_sepconv2_bn",
        ("block1_conv2_act", "block3_sepconv2_bn", "block4_sepconv2_bn", "block13_sepconv2_bn"),
        padding=(2, 3),  # here, because its first two convolutions are not padded
    ),
    "efficientnet_lite0": Encoder(
        efficientnet_lite0,
        "block15_project_bn",
        "block3_expand_act",
        ("block0_project_bn", "block2_add", "block4_add", "block10_add"),
        centre=127,
        half_range=128,
    ),
}
"""Encoders by name."""


def build(name, image, output_stride=32, weights=None):
    """Build an atrous encoder on an image.

    Parameters
    ----------
    name : str
        A key of `ENCODERS`.
    image : KerasTensor, shape (B, H, W, 3)
        Raw RGB, 0..255; the input of the network.
    output_stride : int
        Side of the image divided by the side of the last feature map: 8, 16, or 32 as published.
    weights : str or Path, optional
        "imagenet" or a file, as for `pretrained`; random by default.

    Returns
    -------
    keras.Model
        Maps raw RGB to the output of the encoder's last layer; it includes the scaling.

    Raises
    ------
    ValueError
        If there is no such encoder or output stride.
    InputError
        If the weights file is missing, damaged, or belongs to another network.
    """
    kind = _kind(name)
    if output_stride not in (8, 16, 32):
        raise ValueError(f"The output stride can be 8, 16 or 32, not {output_stride!r}.")
    scale = 1 / kind.half_range
    x = layers.Rescaling(scale, offset=-kind.centre * scale, name="scale")(image)
    if any(kind.padding):
        x = layers.ZeroPadding2D((kind.padding, kind.padding), name="pad")(x)
    published = kind.build(include_top=False, weights=None, input_tensor=x)
    encoder = atrous(published, output_stride)
    if weights is not None and (trained := pretrained(name, weights)) is not None:
        encoder.set_weights(trained)
    return encoder


def _kind(name):
    if name not in ENCODERS:
        raise ValueError(f"There is no encoder {name!r}: choose {' or '.join(ENCODERS)}.")
    return ENCODERS[name]


def atrous(model, output_stride):
    """Rebuild an encoder so that its feature maps are no coarser than a given stride.

    Layers that would exceed this stride keep the resolution, and the kernels of all later layers
    are dilated by the omitted stride (Chen et al., arXiv:1706.05587, section 3.1). Each weight
    still sees the pixels that it was trained on, so the weights of the original model fit
    unchanged.

    Parameters
    ----------
    model : keras.Model
        A functional model with one image as input. A padding layer must come directly before the
        layer that it pads, as in `keras.applications`.
    output_stride : int
        A power of 2.

    Returns
    -------
    keras.Model
        The same layers with the same names and random weights.
    """
    config = model.get_config()
    entries, maps = config["layers"], strides(model)
    for previous, entry in zip([None, *entries], entries, strict=False):
        settings = entry["config"]
        step = settings.get("strides", (1, 1))[0]
        after, _ = maps[entry["name"]]
        rate = max(1, after // step // output_stride)
        if max(settings.get("kernel_size", (1,))) > 1 and rate > 1:
            settings["dilation_rate"] = (rate, rate)
        if step > 1 and after > output_stride:
            settings |= {"strides": (1, 1), "padding": "same"}
            if previous["class_name"] == "ZeroPadding2D":
                previous["config"]["padding"] = ((0, 0), (0, 0))
            if entry["class_name"] == "MaxPooling2D":
                pooling = AtrousMaxPooling2D(rate, name=entry["name"], dtype=settings["dtype"])
                entry |= keras.saving.serialize_keras_object(pooling)
        if entry["class_name"] == "BatchNormalization":
            # With MobileNetV2's 0.999 the statistics would need thousands of steps to follow.
            settings["momentum"] = 0.99
    return keras.Model.from_config(config)


@keras.saving.register_keras_serializable("nuclei")
class AtrousMaxPooling2D(layers.Layer):
    """Maximum of 3 x 3 pixels that lie `dilation_rate` apart, around each pixel.

    Keras has no dilated pooling. The output has the shape of the input, (B, H, W, C).

    Parameters
    ----------
    dilation_rate : int
        Distance between the pixels.
    """

    def __init__(self, dilation_rate, **options):
        super().__init__(**options)
        self.dilation_rate = dilation_rate

    def call(self, x):
        """Pool along columns, then along rows."""
        for axis in (1, 2):
            reach = [(0, 0)] * 4
            reach[axis] = (self.dilation_rate, self.dilation_rate)
            padded = ops.pad(x, reach, constant_values=float("-inf"))
            size = ops.shape(x)[axis]
            for start in (0, 2 * self.dilation_rate):
                part = [slice(None)] * 4
                part[axis] = slice(start, start + size)
                x = ops.maximum(x, padded[tuple(part)])
        return x

    def compute_output_shape(self, input_shape):
        """Return the shape of the input."""
        return input_shape

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "dilation_rate": self.dilation_rate}


def pretrained(name, weights="imagenet"):
    """Read the trained weights of an encoder.

    Parameters
    ----------
    name : str
        A key of `ENCODERS`.
    weights : str or Path
        "imagenet" for the weights that `keras.applications` downloads, which has none for
        EfficientNet-Lite0, or a `.weights.h5` or `.h5` file of the model without its top.

    Returns
    -------
    list of ndarray, or None
        None if the download fails; a printed sentence then says so.

    Raises
    ------
    ValueError
        If there is no such encoder.
    InputError
        If the file is missing, damaged, or belongs to another network.
    """
    build = partial(_kind(name).build, include_top=False, input_shape=(224, 224, 3))
    if weights != "imagenet":
        model = build(weights=None)
        load_weights(model, weights, f"use those of a {name} without its top, or imagenet.")
        return model.get_weights()
    try:
        return build(weights="imagenet").get_weights()
    except Exception as error:  # Keras raises a plain Exception when a download fails
        print(f"Starting {name} from random weights, as ImageNet's could not be fetched: {error}.")
        return None
