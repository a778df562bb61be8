"""Batch normalization in one step of TensorFlow, which trains networks faster."""

from types import MethodType

import keras
from keras import ops


def fuse_normalization(model):
    """Let the batch normalization layers of a model train with TensorFlow's fused kernel.

    Keras 3 writes batch normalization as a dozen operations, each of which reads and writes a
    whole feature map. The fused kernel gives the same numbers in one. Prediction, weights and
    saved files stay as they are; with another backend than TensorFlow nothing changes.

    Parameters
    ----------
    model : keras.Model
        Changed in place. Call this before the first training step.

    Returns
    -------
    keras.Model
        The same model.
    """
    if keras.backend.backend() == "tensorflow":
        for layer in model.layers:
            if type(layer) is keras.layers.BatchNormalization and _is_usual(layer):
                layer.call = MethodType(_call, layer)
    return model


def _is_usual(layer):
    """Whether the kernel can do what the layer does: channels last, with scale and offset."""
    return layer.scale and layer.center and not layer.renorm and layer.axis in (-1, 3)


def _call(layer, inputs, training=None, mask=None):
    """Do what `keras.layers.BatchNormalization.call` does, for maps of shape (B, H, W, C)."""
    if not (training and layer.trainable) or mask is not None or len(inputs.shape) != 4:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    import tensorflow as tf  # noqa: TID251

    outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        inputs, layer.gamma.value, layer.beta.value, epsilon=layer.epsilon
    )
    # The kernel divides by one less than the count of pixels, which Keras does not.
    count = ops.cast(ops.size(inputs) // inputs.shape[-1], variance.dtype)
    variance *= (count - 1) / count
    for average, new in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        average.assign(average * layer.momentum + new * (1 - layer.momentum))
    return outputs
