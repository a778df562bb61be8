"""Max-pooling that remembers where each maximum was, and unpooling that puts it back there.

The index of a maximum is its position in the 2 x 2 pooling window: 0 top left, 1 top right,
2 bottom left, 3 bottom right (Badrinarayanan et al., IEEE TPAMI 39(12), 2017, section 3).
Unpooling then needs no scatter. TensorFlow's own way, flat positions in the whole tensor and
`scatter_nd`, is slower on a CPU and not deterministic on a GPU.
"""

import keras
from keras import KerasTensor, layers, ops


@keras.saving.register_keras_serializable("nuclei")
class MaxPooling2DWithIndices(layers.Layer):
    """Take the maximum of each 2 x 2 pooling window and its position.

    Among equal values the first in row-major order is taken; only it receives the gradient.

    Call the layer with a tensor of floats of shape (B, H, W, C), H and W even. It returns the
    maxima, in the compute dtype, and their indices, int8 in 0..3, both of shape
    (B, H / 2, W / 2, C).

    Raises
    ------
    ValueError
        If the height or the width is known and odd.

    Examples
    --------
    >>> image = np.array([[1, 5, 2, 2], [3, 4, 2, 2]], "float32").reshape(1, 2, 4, 1)
    >>> maxima, indices = MaxPooling2DWithIndices()(image)
    >>> ops.convert_to_numpy(maxima).ravel(), ops.convert_to_numpy(indices).ravel()
    (array([5., 2.], dtype=float32), array([1, 0], dtype=int8))
    """

    def call(self, x):
        """Pool, as the class describes."""
        _check(x.shape)
        batch, height, width, channels = ops.shape(x)
        row = width // 2 * channels
        left, right = _unzip(x, channels)
        from_right = right > left  # not >=, so that the first of equal values is taken
        top, bottom = _unzip(ops.where(from_right, right, left), row)
        top_index, bottom_index = _unzip(ops.cast(from_right, "int8"), row)
        from_bottom = bottom > top
        maxima = ops.where(from_bottom, bottom, top)
        indices = ops.where(from_bottom, bottom_index + 2, top_index)
        shape = (batch, height // 2, width // 2, channels)
        return ops.reshape(maxima, shape), ops.reshape(indices, shape)

    def compute_output_spec(self, x):
        """Return the shapes and dtypes of the maxima and the indices."""
        _check(x.shape)
        batch, height, width, channels = x.shape
        shape = (batch, height and height // 2, width and width // 2, channels)
        return KerasTensor(shape, self.compute_dtype), KerasTensor(shape, "int8")


@keras.saving.register_keras_serializable("nuclei")
class MaxUnpooling2D(layers.Layer):
    """Put values back where the maxima were in their 2 x 2 pooling windows; fill up with zeros.

    Call the layer with a list of two tensors of shape (B, H, W, C): the values, and the indices
    from `MaxPooling2DWithIndices`. It returns a tensor of shape (B, 2 H, 2 W, C).

    Examples
    --------
    >>> values = np.array([7, 8], "float32").reshape(1, 1, 2, 1)
    >>> indices = np.array([1, 2], "int8").reshape(1, 1, 2, 1)
    >>> ops.convert_to_numpy(MaxUnpooling2D()([values, indices]))[0, :, :, 0]
    array([[0., 7., 0., 0.],
           [0., 0., 8., 0.]], dtype=float32)
    """

    def call(self, inputs):
        """Unpool, as the class describes."""
        x, indices = inputs
        batch, height, width, channels = ops.shape(x)
        corners = ops.reshape(ops.cast([0, 1, 2, 3], "int8"), (1, 2, 1, 2, 1))
        indices = ops.reshape(indices, (batch * height, 1, width, 1, channels))
        chosen = ops.equal(indices, corners)  # of shape (B H, 2, W, 2, C)
        # In two steps, so that each gradient is a sum over one axis.
        x = _repeat(_repeat(x, width * channels), channels)
        shape = (batch, 2 * height, 2 * width, channels)
        return ops.reshape(x, shape) * ops.cast(ops.reshape(chosen, shape), x.dtype)

    def compute_output_spec(self, inputs):
        """Return the shape and dtype of the enlarged map."""
        batch, height, width, channels = inputs[0].shape
        shape = (batch, height and 2 * height, width and 2 * width, channels)
        return KerasTensor(shape, self.compute_dtype)


def _check(shape):
    height, width = shape[1:3]
    if any(isinstance(side, int) and side % 2 for side in (height, width)):
        raise ValueError(
            f"Pooling with indices needs an even height and width, not {height} x {width}."
        )


def _unzip(x, size):
    """Split into two tensors: groups of `size` values go to the first and the second in turn.

    Strided slices would have far slower gradients.
    """
    return ops.split(ops.reshape(x, (-1, 2 * size)), 2, axis=-1)


def _repeat(x, size):
    """Repeat every group of `size` values."""
    runs = ops.reshape(x, (-1, 1, size))
    return ops.broadcast_to(runs, (ops.shape(runs)[0], 2, size))
