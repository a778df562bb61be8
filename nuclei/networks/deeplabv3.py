"""DeepLabv3 (Chen et al., arXiv:1706.05587) and v3+ (Chen et al., ECCV 2018, arXiv:1802.02611)."""

from keras import Input, Model, layers

from . import backbones
from .blocks import convolution
from .upsampling import BilinearUpSampling2D

LOW_LEVEL_CHANNELS = 48
"""Of the features of stride 4 in the decoder, as in v3+."""


def deeplabv3(
    backbone="mobilenetv2",
    output_stride=16,
    decoder=True,
    width=256,
    rates=(6, 12, 18),
    weights=None,
    backbone_weights=None,
):
    """Build a DeepLabv3 that marks nuclei.

    As in v3+, 3 x 3 convolutions after the backbone are depthwise separable. One sigmoid
    channel takes the place of the softmax.

    Parameters
    ----------
    backbone : str
        "mobilenetv2" or "xception".
    output_stride : int
        Sides of the image over those of the features from the backbone: 8 or 16.
    decoder : bool
        Whether features of stride 4 sharpen the outlines, as in v3+. Without, it is v3.
    width : int
        Channels after the backbone. The papers have 256.
    rates : sequence of int
        Dilations of the atrous convolutions at output stride 16; at 8 they are doubled. The
        papers have 6, 12 and 18 for crops of 513 pixels. A crop of 256 is 16 features wide: at a
        rate of 16 or more, all but the middle of a kernel meets padding only and learns nothing,
        until a larger image gives it something to see.
    weights : str, optional
        "imagenet": start the backbone from what `keras.applications` downloads, or from random
        weights where that fails, after saying so.
    backbone_weights : str or Path, optional
        A file to start the backbone from, of the `keras.applications` model without its top.

    Returns
    -------
    keras.Model
        Maps raw RGB, 0..255, of shape (B, H, W, 3), to the probability of nucleus, float32 of
        shape (B, H, W, 1). H and W are any multiples of `output_stride`.

    Raises
    ------
    ValueError
        If there is no such backbone or output stride, or `width` is below 1.
    InputError
        If `backbone_weights` is missing, damaged, or of another network.
    """
    if width < 1:
        raise ValueError(f"A DeepLabv3 needs a width of at least 1, not {width}.")
    image = Input((None, None, 3), name="image")
    encoder = backbones.build(backbone, image, output_stride)
    if weights == "imagenet" or backbone_weights is not None:
        trained = backbones.pretrained(backbone, backbone_weights)
        if trained is not None:
            encoder.set_weights(trained)
    kind = backbones.BACKBONES[backbone]
    x = encoder.get_layer(kind.features).output

    # (H / output_stride, W / output_stride, C) -> (H / output_stride, W / output_stride, width)
    x = _pyramid(x, width, [rate * 16 // output_stride for rate in rates])

    stride = output_stride
    if decoder:
        # (H / 4, W / 4, width)
        x = BilinearUpSampling2D(stride // 4, name="decoder_up")(x)
        low_level = encoder.get_layer(kind.low_level).output
        low_level = convolution(low_level, LOW_LEVEL_CHANNELS, "decoder_low_level", 1)
        x = layers.Concatenate(name="decoder_concatenate")([x, low_level])
        for i in (1, 2):
            x = _separable_convolution(x, width, 1, f"decoder_convolution{i}")
        stride = 4

    # float32 also under mixed precision: half a float is too coarse for probabilities.
    x = layers.Conv2D(1, 1, dtype="float32", name="logits")(x)
    x = BilinearUpSampling2D(stride, dtype="float32", name="up")(x)
    nucleus = layers.Activation("sigmoid", dtype="float32", name="nucleus")(x)
    return Model(encoder.inputs[0], nucleus, name="deeplabv3")


def _pyramid(x, width, rates):
    """Atrous spatial pyramid pooling (section 3.3 of the first paper): context at many scales."""
    branches = [convolution(x, width, "pyramid_point", 1)]
    for i, rate in enumerate(rates, start=1):
        branches.append(_separable_convolution(x, width, rate, f"pyramid_atrous{i}"))
    x_image = layers.GlobalAveragePooling2D(keepdims=True, name="pyramid_image_mean")(x)
    x_image = convolution(x_image, width, "pyramid_image", 1)

    # The paper repeats the image's vector at every pixel, concatenates and projects. To project
    # both by themselves and add is the same, and needs no repetition.
    x = layers.Concatenate(name="pyramid_concatenate")(branches)
    x = layers.Conv2D(width, 1, use_bias=False, name="projection_pyramid")(x)
    x_image = layers.Conv2D(width, 1, use_bias=False, name="projection_image")(x_image)
    x = layers.Add(name="projection")([x, x_image])
    x = layers.BatchNormalization(name="projection_normalization")(x)
    x = layers.ReLU(name="projection_relu")(x)
    return layers.Dropout(0.1, name="projection_dropout")(x)


def _separable_convolution(x, channels, rate, name):
    """Depthwise, then pointwise, each with batch normalisation and ReLU."""
    x = layers.DepthwiseConv2D(
        3, padding="same", dilation_rate=rate, use_bias=False, name=f"{name}_depthwise"
    )(x)
    x = layers.BatchNormalization(name=f"{name}_depthwise_normalization")(x)
    x = layers.ReLU(name=f"{name}_depthwise_relu")(x)
    return convolution(x, channels, name, 1)
