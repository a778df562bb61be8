"""UNet (Ronneberger et al., MICCAI 2015, arXiv:1505.04597), with batch normalisation."""

from keras import Input, Model, layers

from .blocks import check_sizes, convolutions, nucleus


def unet(width=64, depth=4, channels=1):
    """Build a UNet that segments nuclei.

    It differs from the paper in three points: convolutions are padded, so that the output is
    as large as the input; each is followed by batch normalisation, which replaces the
    dropout; and one sigmoid channel replaces the two softmax channels.

    Parameters
    ----------
    width : int
        Channels of the first stage; each further stage of the encoder doubles them. The paper
        uses 64.
    depth : int
        Number of 2 x 2 poolings. The paper uses 4.
    channels : int
        Channels of the output. The first is the probability of nucleus. The second, if there is
        one, is the relative distance to the border of the nucleus (`data.targets`), which
        `instances.separate` uses to separate touching nuclei.

    Returns
    -------
    keras.Model
        Maps raw RGB, 0..255, of shape (B, H, W, 3), to numbers from 0 to 1, float32 of shape
        (B, H, W, channels). H and W must be multiples of 2 ** depth.

    Raises
    ------
    ValueError
        As in `blocks.check_sizes`.
    """
    widest = max(width * 2 ** min(depth, 32), channels)
    check_sizes("UNet", widest, width=width, depth=depth, channels=channels)
    image = Input((None, None, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(image)

    # Contracting path: (H, W, width) -> (H / 2**depth, W / 2**depth, width * 2**(depth - 1))
    skips = []
    for stage in range(depth):
        x = convolutions(x, 2 * [width * 2**stage], f"encoder{stage + 1}")
        skips.append(x)
        x = layers.MaxPooling2D(2, name=f"encoder{stage + 1}_pool")(x)

    x = convolutions(x, 2 * [width * 2**depth], "bottleneck")

    # Expanding path: each stage doubles H and W and adds the encoder features of the same size.
    for stage in reversed(range(depth)):
        name = f"decoder{stage + 1}"
        x = layers.Conv2DTranspose(width * 2**stage, 2, strides=2, name=f"{name}_up")(x)
        x = layers.Concatenate(name=f"{name}_concatenate")([skips[stage], x])
        x = convolutions(x, 2 * [width * 2**stage], name)

    return Model(image, nucleus(x, channels), name="unet")
