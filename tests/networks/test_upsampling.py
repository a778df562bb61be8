"""Bilinear up-sampling, against plain NumPy and Keras."""

import keras
import numpy as np
import pytest
import reference

from nuclei.networks.upsampling import BilinearUpSampling2D

SHAPES = [(1, 1, 1, 1), (2, 4, 1, 3), (3, 5, 6, 2)]


def noise(shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("factor", [1, 2, 3, 4, 16])
def test_it_is_that_of_keras(shape, factor):
    x = noise(shape)
    larger = keras.ops.convert_to_numpy(BilinearUpSampling2D(factor)(x))
    expected = keras.layers.UpSampling2D(factor, interpolation="bilinear")(x)
    np.testing.assert_allclose(larger, keras.ops.convert_to_numpy(expected), atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("factor", [2, 4])
def test_it_is_that_of_plain_numpy(shape, factor):
    x = noise(shape)
    larger = keras.ops.convert_to_numpy(BilinearUpSampling2D(factor)(x))
    np.testing.assert_allclose(larger, reference.upsample(x, factor), atol=1e-5)


def test_one_compiled_model_takes_maps_of_any_size():
    maps = keras.Input((None, None, 2))
    model = keras.Model(maps, BilinearUpSampling2D(4)(maps))
    assert model.output_shape == (None, None, None, 2)
    for shape in (1, 3, 4, 2), (2, 6, 5, 2), (1, 8, 8, 2):
        x = noise(shape)
        np.testing.assert_allclose(model.predict_on_batch(x), reference.upsample(x, 4), atol=1e-5)


def test_known_sizes_are_known_before_any_image():
    maps = keras.Input((3, 5, 2))
    assert BilinearUpSampling2D(4)(maps).shape == (None, 12, 20, 2)


def test_it_keeps_half_precision():
    larger = BilinearUpSampling2D(2, dtype="float16")(noise((1, 2, 2, 1)))
    assert keras.backend.standardize_dtype(larger.dtype) == "float16"
