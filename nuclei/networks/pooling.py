"""Max-pooling that remembers where each maximum was, and the unpooling that puts it back."""

import keras
from keras import KerasTensor, layers, ops


@keras.saving.register_keras_serializable("nuclei")
class MaxPooling2DWithIndices(layers.Layer):
    def call(self, x):
        batch, height, width, channels = ops.shape(x)
        rows = ops.reshape(x, (batch, height // 2, 2, width // 2, 2 * channels))
        left, right = ops.split(rows, 2, axis=-1)
        from_right = right > left
        top, bottom = ops.unstack(ops.where(from_right, right, left), 2, axis=2)
        top_index, bottom_index = ops.unstack(ops.cast(from_right, "int8"), 2, axis=2)
        from_bottom = bottom > top
        return (
            ops.where(from_bottom, bottom, top),
            ops.where(from_bottom, 2 + bottom_index, top_index),
        )

    def compute_output_spec(self, x):
        batch, height, width, channels = x.shape
        shape = (batch, height and height // 2, width and width // 2, channels)
        return KerasTensor(shape, self.compute_dtype), KerasTensor(shape, "int8")


@keras.saving.register_keras_serializable("nuclei")
class MaxUnpooling2D(layers.Layer):
    def call(self, inputs):
        x, indices = inputs
        batch, height, width, channels = ops.shape(x)
        parts = [x * ops.cast(ops.equal(indices, i), x.dtype) for i in range(4)]
        rows = [ops.concatenate(parts[:2], axis=-1), ops.concatenate(parts[2:], axis=-1)]
        return ops.reshape(ops.stack(rows, axis=2), (batch, 2 * height, 2 * width, channels))

    def compute_output_spec(self, inputs):
        batch, height, width, channels = inputs[0].shape
        shape = (batch, height and 2 * height, width and 2 * width, channels)
        return KerasTensor(shape, self.compute_dtype)
