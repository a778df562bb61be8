"""DeepLabv3 (Chen et al., arXiv:1706.05587) and v3+ (Chen et al., ECCV 2018, arXiv:1802.02611)."""

from keras import Input, Model, layers

from . import encoders
from .blocks import check_sizes, convolution
from .upsampling import BilinearUpSampling2D

LOW_LEVEL_CHANNELS = 48
"""Channels of the stride 4 features in the decoder, as in v3+."""

RATES = 8, 256
"""Most dilation rates, and the highest: each takes memory, in the network and in its padding."""


def deeplabv3(
    backbone="mobilenetv2",
    output_stride=16,
    decoder=True,
    width=256,
    rates=(6, 12, 18),
    channels=1,
    backbone_weights=None,
):
    """Build a DeepLabv3 that segments nuclei.

    As in v3+, the 3 x 3 convolutions after the backbone are depthwise separable. One sigmoid
    channel replaces the softmax.

    Parameters
    ----------
    backbone : str
        The encoder: "mobilenetv2" or "xception".
    output_stride : int
        Side of the image divided by the side of the backbone's feature map: 8 or 16.
    decoder : bool
        Whether features of stride 4 sharpen the outlines, as in v3+. Without them it is v3.
    width : int
        Channels after the backbone. The papers use 256.
    rates : sequence of int
        Dilation rates of the atrous convolutions at output stride 16; they are doubled at 8. The
        papers use 6, 12 and 18 for crops of 513 pixels. A patch of 256 pixels is only 16 features
        wide: at a rate of 16 or more, only the centre of a kernel sees features and the other
        weights see padding, so they learn nothing unless images are larger.
    channels : int
        Channels of the output, as for `unet`.
    backbone_weights : str or Path, optional
        Initial weights of the backbone: random by default; "imagenet" for those that
        `keras.applications` downloads; or a file, as for `encoders.pretrained`.

    Returns
    -------
    keras.Model
        Maps raw RGB, 0..255, of shape (B, H, W, 3), to numbers from 0 to 1, float32 of shape
        (B, H, W, channels). H and W must be multiples of `output_stride`.

    Raises
    ------
    ValueError
        If there is no such backbone or output stride, or `rates` are beyond `RATES`; or as in
        `blocks.check_sizes`.
    InputError
        If `backbone_weights` is missing, damaged, or belongs to another network.
    """
    check_sizes("DeepLabv3", max(width, channels), width=width, channels=channels)
    if len(rates) > RATES[0] or not all(1 <= rate <= RATES[1] for rate in rates):
        raise ValueError(f"A DeepLabv3 needs at most {RATES[0]} rates, from 1 to {RATES[1]}.")
    image = Input((None, None, 3), name="image")
    encoder = encoders.build(backbone, image, output_stride, backbone_weights)
    kind = encoders.ENCODERS[backbone]
    x = encoder.get_layer(kind.features).output

    # (H / output_stride, W / output_stride, C) -> (H / output_stride, W / output_stride, width)
    x = _aspp(x, width, [rate * 16 // output_stride for rate in rates])

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

    # float32 even under mixed precision, because float16 is too coarse for probabilities.
    x = layers.Conv2D(channels, 1, dtype="float32", name="logits")(x)
    x = BilinearUpSampling2D(stride, dtype="float32", name="up")(x)
    nucleus = layers.Activation("sigmoid", dtype="float32", name="nucleus")(x)
    return Model(encoder.inputs[0], nucleus, name="deeplabv3")


def _aspp(x, width, rates):
    """ASPP, atrous spatial pyramid pooling (DeepLabv3, section 3.3): context at many scales."""
    branches = [convolution(x, width, "aspp_point", 1)]
    for i, rate in enumerate(rates, start=1):
        branches.append(_separable_convolution(x, width, rate, f"aspp_atrous{i}"))
    x_image = layers.GlobalAveragePooling2D(keepdims=True, name="aspp_image_mean")(x)
    x_image = convolution(x_image, width, "aspp_image", 1)

    # The paper repeats the image vector at every pixel, concatenates it and projects the result.
    # Projecting both separately and adding them gives the same, without the repetition.
    x = layers.Concatenate(name="aspp_concatenate")(branches)
    x = layers.Conv2D(width, 1, use_bias=False, name="projection_aspp")(x)
    x_image = layers.Conv2D(width, 1, use_bias=False, name="projection_image")(x_image)
    x = layers.Add(name="projection")([x, x_image])
    x = layers.BatchNormalization(name="projection_normalization")(x)
    x = layers.ReLU(name="projection_relu")(x)
    return layers.Dropout(0.1, name="projection_dropout")(x)


def _separable_convolution(x, channels, rate, name):
    """Depthwise, then pointwise convolution, each with batch normalisation and ReLU."""
    x = layers.DepthwiseConv2D(
        3, padding="same", dilation_rate=rate, use_bias=False, name=f"{name}_depthwise"
    )(x)
    x = layers.BatchNormalization(name=f"{name}_depthwise_normalization")(x)
    x = layers.ReLU(name=f"{name}_depthwise_relu")(x)
    return convolution(x, channels, name, 1)
