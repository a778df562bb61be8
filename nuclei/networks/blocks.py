"""Groups of layers that several networks share."""

from keras import layers

WIDEST = 2048
"""Most channels of a stage, twice those of the papers: with more, a network takes gigabytes."""


def check_sizes(network, widest, **sizes):
    """Check the arguments of a network before it is built.

    Parameters
    ----------
    network : str
        Its name, for the message.
    widest : int
        Channels of its widest stage.
    **sizes : int
        Arguments that have to be at least 1.

    Raises
    ------
    ValueError
        If one of them is below 1, or the widest stage has more than `WIDEST` channels.
    """
    if min(sizes.values()) < 1 or widest > WIDEST:
        given = ", ".join(f"{name} {value}" for name, value in sizes.items())
        raise ValueError(
            f"A {network} needs sizes of at least 1, and at most {WIDEST} channels in its widest "
            f"stage, not {given}."
        )


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
        Last part of the layer names.

    Returns
    -------
    KerasTensor, shape (B, H, W, channels)
    """
    x = layers.Conv2D(
        channels,
        size,
        padding="same",
        use_bias=False,  # batch normalisation would remove it with the mean
        kernel_initializer="he_normal",
        name=f"{name}_convolution{number}",
    )(x)
    x = layers.BatchNormalization(name=f"{name}_normalization{number}")(x)
    return layers.ReLU(name=f"{name}_relu{number}")(x)


def convolutions(x, channels, name):
    """Apply several 3 x 3 convolutions, numbered from 1, as `convolution` does.

    Parameters
    ----------
    x : KerasTensor, shape (B, H, W, C)
    channels : sequence of int
        Output channels of each convolution.
    name : str
        As for `convolution`.

    Returns
    -------
    KerasTensor, shape (B, H, W, channels[-1])
    """
    for number, count in enumerate(channels, start=1):
        x = convolution(x, count, name, number=number)
    return x


def nucleus(x, channels=1):
    """Turn features into the probability of nucleus by a 1 x 1 convolution and a sigmoid.

    The layer is float32 even under mixed precision, because float16 is too coarse for
    probabilities. Further channels are also numbers from 0 to 1 at each pixel.

    Parameters
    ----------
    x : KerasTensor, shape (B, H, W, C)
    channels : int
        Channels of the output.

    Returns
    -------
    KerasTensor of float32, shape (B, H, W, channels)
    """
    return layers.Conv2D(channels, 1, activation="sigmoid", dtype="float32", name="nucleus")(x)
