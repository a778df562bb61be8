"""What lets networks train faster with TensorFlow, and leaves what they learn as it is."""

from types import MethodType

import keras
from keras import layers, ops

from .devices import list_gpus


def accelerate(model):
    """Let a model train faster, if TensorFlow trains it.

    Batch normalization uses TensorFlow's fused kernel: Keras 3 writes it as a dozen operations,
    each of which reads and writes a whole feature map. On a CPU depthwise convolutions stay in
    float32 under mixed precision, because TensorFlow has no fast ones in bfloat16.

    Prediction, weights and saved files stay as they are, but for the precision of those layers.

    Parameters
    ----------
    model : keras.Model
        Changed in place. Call this before the first training step.

    Returns
    -------
    keras.Model
        The same model.
    """
    if keras.backend.backend() != "tensorflow":
        return model
    on_cpu = not list_gpus()
    for layer in model.layers:
        if type(layer) is layers.BatchNormalization and _fits_the_kernel(layer):
            layer.call = MethodType(_normalize, layer)
        elif type(layer) is layers.DepthwiseConv2D and on_cpu:
            layer.dtype_policy = "float32"
    return model


def _fits_the_kernel(layer):
    """Whether the kernel does what the layer does: channels last, float32, scale and offset."""
    usual = layer.scale and layer.center and not layer.renorm and layer.axis in (-1, 3)
    return usual and layer.variable_dtype == "float32"  # as also in mixed precision


def _normalize(layer, inputs, training=None, mask=None):
    """Do what `keras.layers.BatchNormalization.call` does, for maps of shape (B, H, W, C)."""
    if not (training and layer.trainable) or mask is not None or len(inputs.shape) != 4:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    # A gradient of our own in `keras.ops` was slower: it still passes over each map several times.
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
