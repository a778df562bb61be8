"""SegNet (Badrinarayanan et al., IEEE TPAMI 39(12), 2017, arXiv:1511.00561)."""

from keras import Input, Model, layers

from .blocks import check_sizes, convolutions, nucleus
from .pooling import MaxPooling2DWithIndices, MaxUnpooling2D
from .upsampling import BilinearUpSampling2D

STAGES = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
"""Channels, in units of the width, and number of convolutions of each stage, as in VGG16."""


def segnet(width=64, indices=True, channels=1):
    """Build a SegNet that segments nuclei.

    The encoder is VGG16 without its dense layers; the decoder mirrors it. There are no skip
    connections: the decoder gets only the positions of the maxima from the encoder. One sigmoid
    channel replaces the softmax.

    Parameters
    ----------
    width : int
        Channels of the first stage. The paper uses 64.
    indices : bool
        Whether the decoder puts the maxima back where they were. Otherwise it doubles the
        resolution bilinearly, which shows what the indices contribute.
    channels : int
        Channels of the output, as for `unet`.

    Returns
    -------
    keras.Model
        Maps raw RGB, 0..255, of shape (B, H, W, 3), to numbers from 0 to 1, float32 of shape
        (B, H, W, channels). H and W must be multiples of 32.

    Raises
    ------
    ValueError
        As in `blocks.check_sizes`.
    """
    check_sizes("SegNet", max(8 * width, channels), width=width, channels=channels)
    image = Input((None, None, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(image)

    # Encoder: (H, W, width) -> (H / 32, W / 32, 8 * width)
    positions = []
    for stage, (factor, count) in enumerate(STAGES, start=1):
        x = convolutions(x, count * [factor * width], f"encoder{stage}")
        if indices:
            x, position = MaxPooling2DWithIndices(name=f"encoder{stage}_pool")(x)
            positions.append(position)
        else:
            x = layers.MaxPooling2D(2, name=f"encoder{stage}_pool")(x)

    # Decoder: each stage doubles H and W, and outputs the channels that the next stage unpools.
    for stage, (factor, count) in reversed(list(enumerate(STAGES, start=1))):
        name = f"decoder{stage}"
        if indices:
            x = MaxUnpooling2D(name=f"{name}_unpool")([x, positions.pop()])
        else:
            x = BilinearUpSampling2D(2, name=f"{name}_up")(x)
        last = STAGES[max(stage - 2, 0)][0]
        x = convolutions(x, (count - 1) * [factor * width] + [last * width], name)

    return Model(image, nucleus(x, channels), name="segnet")
