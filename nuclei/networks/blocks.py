"""What several networks are built of."""

from keras import layers


def convolution(x, channels, name, size=3, number=""):
    """Apply a convolution, batch normalisation and ReLU.

    Parameters
    ----------
    x : KerasTensor, shape (B, H, W, C)
    channels : int
        Channels of the output.
    name : str
        The layers are called `<name>_convolution<number>`, `<name>_normalization<number>` and
        `<name>_relu<number>`.
    size : int
        Side of the kernel in pixels.
    number : int or str

    Returns
    -------
    KerasTensor, shape (B, H, W, channels)
    """
    x = layers.Conv2D(
        channels,
        size,
        padding="same",
        use_bias=False,  # the mean that batch normalisation takes away would undo it
        kernel_initializer="he_normal",
        name=f"{name}_convolution{number}",
    )(x)
    x = layers.BatchNormalization(name=f"{name}_normalization{number}")(x)
    return layers.ReLU(name=f"{name}_relu{number}")(x)


def convolutions(x, channels, name):
    """Apply 3 x 3 convolutions in a row, numbered from 1; `channels` has one entry for each."""
    for number, count in enumerate(channels, start=1):
        x = convolution(x, count, name, number=number)
    return x


def nucleus(x, channels=1):
    """Turn features into the probability of nucleus: a 1 x 1 convolution and a sigmoid.

    In float32 also under mixed precision: half a float is too coarse for probabilities.
    Further channels are of the same kind: numbers from 0 to 1 at each pixel.
    """
    return layers.Conv2D(channels, 1, activation="sigmoid", dtype="float32", name="nucleus")(x)
