"""Max-pooling with indices and unpooling, against plain NumPy and TensorFlow's own."""

import keras
import numpy as np
import pytest
import reference

from nuclei.networks.pooling import MaxPooling2DWithIndices, MaxUnpooling2D

SHAPES = [(1, 2, 2, 1), (2, 4, 6, 3), (3, 10, 2, 5)]


def tissue(shape, seed=0):
    """Few different values, so that many windows hold their maximum more than once."""
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float32)


def pool(x, **options):
    return [keras.ops.convert_to_numpy(y) for y in MaxPooling2DWithIndices(**options)(x)]


def unpool(x, indices, **options):
    return keras.ops.convert_to_numpy(MaxUnpooling2D(**options)([x, indices]))


def around_trip(height=None, width=None, channels=1):
    """A model that pools and unpools."""
    image = keras.Input((height, width, channels))
    return keras.Model(image, MaxUnpooling2D()(MaxPooling2DWithIndices()(image)))


def gradient(x, upstream):
    """Gradient of sum(upstream * unpooled) in x: what one step of plain descent takes away."""
    dense = keras.layers.Dense(x.size, use_bias=False)
    one = keras.Input((1,))
    image = keras.layers.Reshape(x.shape)(dense(one))
    model = keras.Model(one, MaxUnpooling2D()(MaxPooling2DWithIndices()(image)))
    dense.set_weights([x.reshape(1, -1)])
    model.compile(
        keras.optimizers.SGD(1.0),
        lambda true, predicted: keras.ops.sum(true * predicted),
        jit_compile=reference.JIT,
    )
    model.train_on_batch(np.ones((1, 1), np.float32), upstream[None])
    return (x.reshape(1, -1) - dense.get_weights()[0]).reshape(x.shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_pooling_is_that_of_plain_numpy(shape):
    x = tissue(shape)
    maxima, indices = pool(x)
    expected = reference.pool_with_indices(x)
    np.testing.assert_array_equal(maxima, expected[0])
    np.testing.assert_array_equal(indices, expected[1])
    assert maxima.dtype == np.float32 and indices.dtype == np.int8


@pytest.mark.parametrize("shape", SHAPES)
def test_unpooling_is_that_of_plain_numpy(shape):
    x, indices = tissue(shape), np.random.default_rng(1).integers(0, 4, shape, np.int8)
    np.testing.assert_array_equal(unpool(x, indices), reference.unpool(x, indices))


def test_of_equal_values_the_first_in_row_major_order_wins():
    windows = {(1, 1, 1, 1): 0, (0, 1, 1, 0): 1, (0, 1, 0, 1): 1, (0, 0, 1, 1): 2, (0, 0, 0, 1): 3}
    for window, index in windows.items():
        x = np.reshape(window, (1, 2, 2, 1)).astype(np.float32)
        assert pool(x)[1].item() == index


@pytest.mark.tensorflow
@pytest.mark.parametrize("shape", SHAPES)
def test_both_do_what_tensorflow_does_with_flat_positions(shape):
    import tensorflow as tf  # noqa: TID251

    x = tissue(shape)
    maxima, positions = tf.nn.max_pool_with_argmax(x, 2, 2, "VALID", include_batch_in_index=True)
    flat = tf.scatter_nd(tf.reshape(positions, (-1, 1)), tf.reshape(maxima, (-1,)), (x.size,))
    np.testing.assert_array_equal(pool(x)[0], maxima)
    np.testing.assert_array_equal(unpool(*pool(x)), tf.reshape(flat, shape))


def test_the_gradient_flows_to_the_winning_pixel_only():
    x, upstream = tissue((6, 4, 3)), np.random.default_rng(1).normal(size=(6, 4, 3))
    _, indices = reference.pool_with_indices(x[None])
    won = reference.unpool(np.ones(indices.shape), indices)[0]
    np.testing.assert_allclose(gradient(x, upstream.astype(np.float32)), won * upstream, atol=1e-5)


def test_one_model_takes_images_of_any_even_size():
    model = around_trip(channels=3)
    assert model.output_shape == (None, None, None, 3)
    for shape in SHAPES[1], (1, 8, 2, 3):
        x = tissue(shape[:3] + (3,))
        expected = reference.unpool(*reference.pool_with_indices(x))
        np.testing.assert_array_equal(model.predict(x, verbose=0), expected)


@pytest.mark.parametrize("channels", [1, 4])
def test_known_sizes_are_known_before_any_image(channels):
    model = around_trip(8, 6, channels)
    maxima, indices = model.layers[1].output
    assert maxima.shape == indices.shape == (None, 4, 3, channels)
    assert (maxima.dtype, indices.dtype) == ("float32", "int8")
    assert model.output_shape == (None, 8, 6, channels)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_keeps_values_and_indices(dtype):
    x = tissue(SHAPES[1])  # small integers, which half a float holds exactly
    maxima, indices = MaxPooling2DWithIndices(dtype=f"mixed_{dtype}")(x)
    unpooled = MaxUnpooling2D(dtype=f"mixed_{dtype}")([maxima, indices])
    assert keras.backend.standardize_dtype(unpooled.dtype) == dtype
    assert keras.backend.standardize_dtype(indices.dtype) == "int8"
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(keras.ops.cast(unpooled, "float32")),
        reference.unpool(*reference.pool_with_indices(x)),
    )


@pytest.mark.parametrize("height, width", [(3, 4), (4, 3), (1, 1)])
def test_an_odd_side_is_refused_in_one_sentence(height, width):
    message = f"an even height and width, not {height} x {width}"
    with pytest.raises(ValueError, match=message):
        MaxPooling2DWithIndices()(np.zeros((2, height, width, 1), np.float32))
    with pytest.raises(ValueError, match=message):
        around_trip(height, width)


def test_a_saved_model_loads_without_custom_objects(tmp_path):
    model = around_trip(channels=2)
    model.save(tmp_path / "model.keras")
    x = tissue((1, 4, 4, 2))
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
