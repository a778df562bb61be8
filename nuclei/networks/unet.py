"""UNet (Ronneberger et al., MICCAI 2015, arXiv:1505.04597), with batch normalisation."""

from keras import Input, Model, layers

from .blocks import convolutions, nucleus


def unet(width=64, depth=4, distance=False):
    """Build a UNet that marks nuclei.

    It departs from the paper in three points: convolutions are padded, so that the output is
    as large as the input; each is followed by batch normalisation, which replaces the
    dropout; and one sigmoid channel takes the place of two softmax channels.

    Parameters
    ----------
    width : int
        Channels of the first stage; each stage down doubles them. The paper has 64.
    depth : int
        Number of 2 x 2 poolings. The paper has 4.
    distance : bool
        Add a second channel to the output: the relative distance to the border of the nucleus, by
        which `instances.separate` tells touching nuclei apart.

    Returns
    -------
    keras.Model
        Maps raw RGB, 0..255, of shape (B, H, W, 3), to the probability of nucleus, float32 of
        shape (B, H, W, 1), or (B, H, W, 2) with the distance. H and W are any multiples of
        2 ** depth.

    Raises
    ------
    ValueError
        If `width` or `depth` is below 1.
    """
    if width < 1 or depth < 1:
        raise ValueError(f"A UNet needs width and depth of at least 1, not {width} and {depth}.")
    image = Input((None, None, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(image)

    # Contracting path: (H, W, width) -> (H / 2**depth, W / 2**depth, width * 2**(depth - 1))
    skips = []
    for stage in range(depth):
        x = convolutions(x, 2 * [width * 2**stage], f"encoder{stage + 1}")
        skips.append(x)
        x = layers.MaxPooling2D(2, name=f"encoder{stage + 1}_pool")(x)

    x = convolutions(x, 2 * [width * 2**depth], "bottleneck")

    # Expanding path: each stage doubles H and W and sees the features of the same size again.
    for stage in reversed(range(depth)):
        name = f"decoder{stage + 1}"
        x = layers.Conv2DTranspose(width * 2**stage, 2, strides=2, name=f"{name}_up")(x)
        x = layers.Concatenate(name=f"{name}_concatenate")([skips[stage], x])
        x = convolutions(x, 2 * [width * 2**stage], name)

    return Model(image, nucleus(x, channels=1 + distance), name="unet")
