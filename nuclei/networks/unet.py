"""UNet (Ronneberger et al., MICCAI 2015, arXiv:1505.04597), with batch normalisation."""

from keras import Input, Model, layers

from . import encoders
from .blocks import check_sizes, convolution, convolutions, nucleus


def unet(width=64, depth=4, channels=1, encoder=None, encoder_weights=None):
    """Build a UNet that segments nuclei.

    It differs from the paper in three points: convolutions are padded, so that the output is
    as large as the input; each is followed by batch normalisation, which replaces the
    dropout; and one sigmoid channel replaces the two softmax channels. With `encoder`, the
    contracting path is one that was trained on ImageNet.

    Parameters
    ----------
    width : int
        Channels of the first stage; each further stage of the encoder, or of the decoder if the
        encoder has its own numbers, doubles them. The paper uses 64.
    depth : int
        Number of 2 x 2 poolings. The paper uses 4. With `encoder` there are 5 halvings instead.
    channels : int
        Channels of the output. The first is the probability of nucleus. The second, if there is
        one, is the relative distance to the border of the nucleus (`data.targets`), which
        `instances.separate` uses to separate touching nuclei.
    encoder : str, optional
        A key of `encoders.ENCODERS`, such as "efficientnet_lite0". By default the encoder is that
        of the paper.
    encoder_weights : str or Path, optional
        Initial weights of the encoder: random by default; "imagenet" for those that
        `keras.applications` downloads; or a file, as for `encoders.pretrained`.

    Returns
    -------
    keras.Model
        Maps raw RGB, 0..255, of shape (B, H, W, 3), to numbers from 0 to 1, float32 of shape
        (B, H, W, channels). H and W must be multiples of 2 ** depth, or of 32 with `encoder`.

    Raises
    ------
    ValueError
        As in `blocks.check_sizes`, or if there is no such encoder.
    InputError
        If `encoder_weights` is missing, damaged, or belongs to another network.
    """
    widest = max(width * 2 ** min(depth, 32), channels)
    check_sizes("UNet", widest, width=width, depth=depth, channels=channels)
    if encoder is None:
        image, skips, x = _contracting_path(width, depth)
    else:
        image, skips, x = _trained_path(width, encoder, encoder_weights)

    # Expanding path: each stage doubles H and W and adds the encoder features of the same size.
    for stage in reversed(range(len(skips))):
        name = f"decoder{stage + 1}"
        x = layers.Conv2DTranspose(width * 2**stage, 2, strides=2, name=f"{name}_up")(x)
        x = layers.Concatenate(name=f"{name}_concatenate")([skips[stage], x])
        x = convolutions(x, 2 * [width * 2**stage], name)

    return Model(image, nucleus(x, channels), name="unet")


def _contracting_path(width, depth):
    """The image (B, H, W, 3), the skips, and the features (B, H / 2**depth, W / 2**depth, C)."""
    image = Input((None, None, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(image)
    skips = []
    for stage in range(depth):
        x = convolutions(x, 2 * [width * 2**stage], f"encoder{stage + 1}")
        skips.append(x)
        x = layers.MaxPooling2D(2, name=f"encoder{stage + 1}_pool")(x)
    return image, skips, convolutions(x, 2 * [width * 2**depth], "bottleneck")


def _trained_path(width, name, weights):
    """The image (B, H, W, 3), the skips, and the features (B, H / 32, W / 32, C)."""
    encoder = encoders.build(name, Input((None, None, 3), name="image"), weights=weights)
    kind = encoders.ENCODERS[name]
    # Encoders halve the image at once, so full resolution needs features of its own.
    full = convolution(encoder.get_layer("scale").output, width, "encoder1")
    skips = [full, *(encoder.get_layer(skip).output for skip in kind.skips)]
    return encoder.inputs[0], skips, encoder.get_layer(kind.features).output
