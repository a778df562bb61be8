"""What several networks are built of."""

from keras import layers


def convolutions(x, channels, name):
    """Apply 3 x 3 convolutions, each followed by batch normalisation and ReLU.

    Parameters
    ----------
    x : KerasTensor, shape (B, H, W, C)
    channels : sequence of int
        Output channels of each convolution in turn.
    name : str
        Layers are called `<name>_convolution1`, `<name>_normalization1` and so on.

    Returns
    -------
    KerasTensor, shape (B, H, W, channels[-1])
    """
    for i, count in enumerate(channels, start=1):
        # The bias would be undone by the mean that batch normalisation takes away.
        x = layers.Conv2D(
            count,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"{name}_convolution{i}",
        )(x)
        x = layers.BatchNormalization(name=f"{name}_normalization{i}")(x)
        x = layers.ReLU(name=f"{name}_relu{i}")(x)
    return x


def nucleus(x):
    """Turn features into the probability of nucleus: a 1 x 1 convolution and a sigmoid.

    In float32 also under mixed precision: half a float is too coarse for probabilities.
    """
    return layers.Conv2D(1, 1, activation="sigmoid", dtype="float32", name="nucleus")(x)
