"""Wider networks have the outputs of the trained ones, and learn more than copies of them."""

import keras
import numpy as np
import pytest

from nuclei.networks.widening import widened

ARGUMENTS = {"filters": 4, "kernel_size": 3, "padding": "same"}


def built(layer, channels):
    layer.build((None, 4, 4, channels))
    return layer


def wide(layer, times, repeated=True):
    """A layer of another width with the weights of a trained one."""
    channels = layer.input_spec.axes[-1] * (times if repeated else 1)
    config = layer.get_config() | {"filters": layer.filters * times}
    new = built(type(layer).from_config(config), channels)
    pairs = zip(layer.get_weights(), new.get_weights(), strict=True)
    new.set_weights([widened(type(layer), old, random, times) for old, random in pairs])
    return new


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("kind", [keras.layers.Conv2D, keras.layers.Conv2DTranspose])
def test_each_output_is_repeated(kind, times):
    layer = built(kind(bias_initializer="random_normal", **ARGUMENTS), 5)
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 5)).astype(np.float32)
    found = wide(layer, times)(np.repeat(x, times, -1))
    expected = np.repeat(keras.ops.convert_to_numpy(layer(x)), times, -1)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, atol=1e-5)


def test_the_channels_of_an_image_stay_as_many():
    layer = built(keras.layers.Conv2D(**ARGUMENTS), 3)
    kernel = wide(layer, 2, repeated=False).get_weights()[0]
    np.testing.assert_array_equal(kernel, np.repeat(layer.get_weights()[0], 2, -1))


def test_copies_of_a_channel_have_weights_of_their_own():
    kernel = wide(built(keras.layers.Conv2D(**ARGUMENTS), 5), 2).get_weights()[0]
    for first, second in (
        (kernel[:, :, ::2], kernel[:, :, 1::2]),
        (kernel[..., ::2], kernel[..., 1::2]),
    ):
        assert np.abs(first - second).min() > 0


@pytest.mark.parametrize("channels", [3, 5, 8])
def test_another_number_of_channels_does_not_fit(channels):
    with pytest.raises(ValueError, match=f"{channels} channels from 4"):
        widened(keras.layers.Conv2D, np.zeros((3, 3, 2, 4)), np.zeros((3, 3, 2, channels)), times=3)


def test_a_layer_that_reads_each_channel_by_itself_is_not_widened():
    with pytest.raises(ValueError, match="a DepthwiseConv2D of another width"):
        widened(keras.layers.DepthwiseConv2D, np.zeros((3, 3, 2, 1)), np.zeros((3, 3, 4, 1)), 2)
