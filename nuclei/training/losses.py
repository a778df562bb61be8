"""Loss functions. To try another one, add a function here.

A loss takes the truth and the prediction, each of shape (B, H, W, C), and returns one value per
image.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable("nuclei")
def bce_dice_loss(mask, probability):
    """Binary cross-entropy plus soft Dice loss.

    The cross-entropy gives every pixel a gradient. The Dice term, computed over the whole batch
    (Milletari et al., 3DV 2016), gives nuclei as much weight as the larger background.

    Parameters
    ----------
    mask, probability : tensor of float32, shape (B, H, W, 1)
        Mask, 0 or 1, and probability of nucleus.

    Returns
    -------
    tensor of float32, shape (B,)
        The mean of these values is the loss. With several GPUs, Keras would add up single values
        instead of averaging them.
    """
    mask = ops.cast(mask, "float32")
    probability = ops.cast(probability, "float32")
    overlap = ops.sum(mask * probability)
    soft_dice = (2 * overlap + 1) / (ops.sum(mask) + ops.sum(ops.square(probability)) + 1)
    cross_entropy = ops.mean(keras.losses.binary_crossentropy(mask, probability), axis=(1, 2))
    return cross_entropy + 1 - soft_dice


@keras.saving.register_keras_serializable("nuclei")
def mask_distance_loss(target, prediction):
    """`bce_dice_loss` of the first channel plus the binary cross-entropy of the second.

    Parameters
    ----------
    target, prediction : tensor of float32, shape (B, H, W, 2)
        First channel: mask or probability of nucleus. Second channel: relative distance to the
        border of the nucleus, as in `data.targets`. Its cross-entropy is smallest when the two
        distances are equal, but not 0.

    Returns
    -------
    tensor of float32, shape (B,)
    """
    target = ops.cast(target, "float32")
    prediction = ops.cast(prediction, "float32")
    distance = keras.losses.binary_crossentropy(target[..., 1:], prediction[..., 1:])
    mask = bce_dice_loss(target[..., :1], prediction[..., :1])
    return mask + ops.mean(distance, axis=(1, 2))
