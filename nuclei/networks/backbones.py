"""Encoders of `keras.applications`, made atrous: finer feature maps from the same weights."""

from dataclasses import dataclass
from functools import partial

import keras
from keras import layers, ops

from ..files import load_weights
from .strides import strides


@dataclass(frozen=True)
class Backbone:
    """What a network needs to know of an encoder.

    Attributes
    ----------
    build : callable
        Its function in `keras.applications`.
    features : str
        The layer whose output is the richest.
    low_level : str
        The last layer at stride 4, whose output still knows where edges are.
    padding : tuple of int
        Rows and columns to add before and after the image, so that its side divided by the
        stride is the side of each feature map.
    """

    build: callable
    features: str
    low_level: str
    padding: tuple = (0, 0)


BACKBONES = {
    "mobilenetv2": Backbone(
        keras.applications.MobileNetV2, "block_16_project_BN", "block_3_expand_relu"
    ),
    # Its first two convolutions are not padded.
    "xception": Backbone(
        keras.applications.Xception, "block14_sepconv2_act", "block3_sepconv2_bn", (2, 3)
    ),
}
"""Both want RGB scaled to -1..1."""


def build(name, image, output_stride=32):
    """Build an atrous backbone on an image, with random weights.

    Parameters
    ----------
    name : str
        A key of `BACKBONES`.
    image : KerasTensor, shape (B, H, W, 3)
        Raw RGB, 0..255; the input of the model to be.
    output_stride : int
        Sides of the image over those of the last feature map: 8, 16, or 32 as published.

    Returns
    -------
    keras.Model
        From raw RGB, by a layer of scaling, to the last layer of the backbone.

    Raises
    ------
    ValueError
        If there is no such backbone or output stride.
    """
    if name not in BACKBONES:
        raise ValueError(f"There is no backbone {name!r}: choose {' or '.join(BACKBONES)}.")
    if output_stride not in (8, 16, 32):
        raise ValueError(f"The output stride can be 8, 16 or 32, not {output_stride}.")
    backbone = BACKBONES[name]
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(image)
    if any(backbone.padding):
        x = layers.ZeroPadding2D((backbone.padding, backbone.padding), name="pad")(x)
    published = backbone.build(include_top=False, weights=None, input_tensor=x)
    return atrous(published, output_stride)


def atrous(model, output_stride):
    """Rebuild a backbone so that its feature maps are no coarser than a given stride.

    Layers that would go beyond it keep the resolution, and the windows of what follows are dilated
    by the factor that was not strided (Chen et al., arXiv:1706.05587, section 3.1). Each weight
    still meets the pixels that it was trained on, so the weights of the given model fit unchanged.

    Parameters
    ----------
    model : keras.Model
        A functional model with one image as input, in which a layer of padding comes right
        before the layer that it is for, as in `keras.applications`.
    output_stride : int
        A power of 2.

    Returns
    -------
    keras.Model
        With the same layers, named alike, and random weights.
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
            # With the 0.999 of MobileNetV2 the statistics lag through some thousand steps.
            settings["momentum"] = 0.99
    return keras.Model.from_config(config)


@keras.saving.register_keras_serializable("nuclei")
class AtrousMaxPooling2D(layers.Layer):
    """Maximum of 3 x 3 pixels that lie `dilation_rate` apart, around each pixel.

    Keras pools without gaps only. The shape (B, H, W, C) stays as it is.
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
        """That of the input."""
        return input_shape

    def get_config(self):
        """Arguments to rebuild the layer from."""
        return {**super().get_config(), "dilation_rate": self.dilation_rate}


def pretrained(name, path=None):
    """Read the ImageNet weights of a backbone.

    Parameters
    ----------
    name : str
        A key of `BACKBONES`.
    path : str or Path, optional
        A `.weights.h5` or `.h5` file of the `keras.applications` model without its top; by default
        `keras.applications` downloads its own.

    Returns
    -------
    list of ndarray, or None
        None, after a printed sentence, where there is neither file nor network.

    Raises
    ------
    InputError
        If the file is missing, damaged, or of another network.
    """
    build = partial(BACKBONES[name].build, include_top=False, input_shape=(224, 224, 3))
    if path is not None:
        model = build(weights=None)
        load_weights(model, path, f"give the weights of a {name} without its top.")
        return model.get_weights()
    try:
        return build(weights="imagenet").get_weights()
    except Exception as error:  # Keras raises no narrower one when a download fails
        print(f"Starting {name} from random weights, for ImageNet's were not to be had: {error}.")
        return None
