"""What every architecture promises."""

import keras
import numpy as np
import pytest
import reference
from discs import discs

from nuclei.errors import InputError
from nuclei.networks import NETWORKS
from nuclei.networks.strides import check_side
from nuclei.training import bce_dice_loss

SMALL = {
    "unet": {"width": 4, "depth": 4},
    "segnet": {"width": 4},
    "deeplabv3": {"backbone": "mobilenetv2", "width": 8},
}
"""Arguments that make a small network of each architecture: add one with each new file."""


@pytest.fixture
def policy():
    """Set a dtype policy for one test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


@pytest.fixture(scope="class")
def built(name):
    """A network and its first weights; building it takes longer than most tests."""
    keras.utils.set_random_seed(0)
    network = NETWORKS[name](**SMALL[name])
    return network, network.get_weights()


@pytest.mark.parametrize("name", NETWORKS, scope="class")
class TestEveryNetwork:
    """Shared by all architectures of `networks.NETWORKS`."""

    @pytest.fixture
    def network(self, built):
        network, weights = built
        network.set_weights(weights)
        return network

    @pytest.mark.parametrize("shape", [(1, 32, 32), (2, 96, 64), (1, 32, 160)])
    def test_each_pixel_gets_one_probability(self, network, shape):
        image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
        probability = keras.ops.convert_to_numpy(network(image))
        assert probability.shape == (*shape, 1)
        assert probability.dtype == np.float32
        assert 0 <= probability.min() < probability.max() <= 1

    @pytest.mark.parametrize("side", [48, 56, 64])
    def test_a_side_is_accepted_if_the_map_is_as_large_as_the_patch(self, network, side):
        try:
            fits = network(np.zeros((1, side, side, 3), np.float32)).shape[1:3] == (side, side)
        except Exception:  # each layer and each backend raises another kind
            fits = False
        if fits:
            check_side(network, side)
        else:
            with pytest.raises(InputError, match=f"^Patches of {side} pixels .* multiple of "):
                check_side(network, side)

    def test_one_compiled_model_takes_images_of_several_sizes(self, network):
        reference.fill(network)
        for shape in (1, 64, 64), (2, 96, 64), (1, 64, 128):
            image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
            expected = keras.ops.convert_to_numpy(network(image))
            np.testing.assert_allclose(network.predict_on_batch(image), expected, atol=1e-5)

    @pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
    def test_probability_is_float32_under_mixed_precision_as_well(
        self, network, name, policy, precision
    ):
        policy(precision)
        mixed = NETWORKS[name](**SMALL[name])
        mixed.set_weights(network.get_weights())
        computed = {layer.compute_dtype for layer in mixed.layers}
        assert computed == {precision.removeprefix("mixed_"), "float32"}
        image = discs()[0]
        probability = keras.ops.convert_to_numpy(mixed(image))
        assert probability.dtype == np.float32
        assert 0 <= probability.min() < probability.max() <= 1
        expected = keras.ops.convert_to_numpy(network(image))
        np.testing.assert_allclose(probability, expected, atol=0.05)
        # More values than half a float has between them: the sigmoid is not rounded to it.
        halves = np.unique(probability.astype(np.float16))
        assert len(np.unique(probability)) > len(halves)

    def test_further_channels_are_of_the_same_kind(self, network, name):
        reference.fill(network)
        two = NETWORKS[name](**SMALL[name], channels=2)
        doubled = []  # the last convolution has each of its weights twice
        for weight, wider in zip(network.get_weights(), two.get_weights(), strict=True):
            doubled.append(weight if weight.shape == wider.shape else np.repeat(weight, 2, -1))
        two.set_weights(doubled)
        image = discs()[0]
        single, both = (keras.ops.convert_to_numpy(model(image)) for model in (network, two))
        assert both.shape == (*single.shape[:3], 2) and both.dtype == np.float32
        np.testing.assert_allclose(both, np.repeat(single, 2, axis=-1), atol=1e-6)

    @pytest.mark.parametrize("argument", ["width", "channels"])
    def test_sizes_below_one_are_refused(self, name, argument):
        with pytest.raises(ValueError, match="at least 1"):
            NETWORKS[name](**SMALL[name] | {argument: 0})

    def test_weights_survive_a_file(self, network, name, tmp_path):
        reference.fill(network)
        network.save_weights(tmp_path / "a.weights.h5")
        other = NETWORKS[name](**SMALL[name])
        other.load_weights(tmp_path / "a.weights.h5")
        for written, read in zip(network.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(written, read)

    def test_rebuilt_from_its_config_it_is_the_same(self, network, name):
        other = type(network).from_config(network.get_config())
        assert other.name == network.name == name
        assert [layer.name for layer in other.layers] == [layer.name for layer in network.layers]
        other.set_weights(network.get_weights())
        image = discs()[0]
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(other(image)), keras.ops.convert_to_numpy(network(image))
        )

    def test_it_learns_what_it_sees(self, name):
        keras.utils.set_random_seed(0)
        network = NETWORKS[name](**SMALL[name])
        images, masks = discs()
        network.compile(keras.optimizers.Adam(1e-2), bce_dice_loss, **reference.QUICKLY)
        first = float(network.train_on_batch(images, masks))
        assert any(float(network.train_on_batch(images, masks)) < 0.8 * first for _ in range(11))
