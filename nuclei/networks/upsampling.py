"""Bilinear up-sampling by a whole factor, for maps of any size."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("nuclei")
class BilinearUpSampling2D(layers.Layer):
    """Enlarge maps as `UpSampling2D(factor, interpolation="bilinear")` does.

    With TensorFlow in Keras 3.15, `UpSampling2D` fails when a compiled model gets images of two
    sizes (keras-team/keras, pull request 22079). Its gradient on a GPU is also not deterministic.

    Parameters
    ----------
    factor : int
        Maps (B, H, W, C) become (B, H * factor, W * factor, C).

    Examples
    --------
    >>> row = np.array([0, 4], "float32").reshape(1, 1, 2, 1)
    >>> ops.convert_to_numpy(BilinearUpSampling2D(2)(row))[0, 0, :, 0]
    array([0., 1., 3., 4.], dtype=float32)
    """

    def __init__(self, factor, **options):
        super().__init__(**options)
        self.factor = factor

    def call(self, x):
        """Enlarge, as the class describes."""
        batch, height, width, channels = ops.shape(x)
        x = self._interpolate(x, (batch, height, width * channels))
        height *= self.factor
        x = self._interpolate(x, (batch * height, width, channels))
        return ops.reshape(x, (batch, height, width * self.factor, channels))

    def _interpolate(self, x, shape):
        """Reshape `x` to (A, N, C) and replace each value along N by `factor` values.

        The result has the shape (A, N, factor, C).
        """
        x = ops.reshape(x, shape)
        previous = ops.concatenate([x[:, :1], x[:, :-1]], axis=1)
        following = ops.concatenate([x[:, 1:], x[:, -1:]], axis=1)
        values = []
        for i in range(self.factor):
            distance = (i + 0.5) / self.factor - 0.5  # from the centre of the old pixel
            neighbour = previous if distance < 0 else following
            values.append((1 - abs(distance)) * x + abs(distance) * neighbour)
        return ops.stack(values, axis=2)

    def compute_output_shape(self, input_shape):
        """Return the shape of the enlarged maps."""
        batch, height, width, channels = input_shape
        factor = self.factor
        return batch, height and height * factor, width and width * factor, channels

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "factor": self.factor}
