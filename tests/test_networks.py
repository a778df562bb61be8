"""What every architecture promises, and the arithmetic of each."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import reference

from nuclei import ROOT
from nuclei.networks import NETWORKS, encoders
from nuclei.networks.deeplabv3 import deeplabv3
from nuclei.networks.efficientnet import efficientnet_lite0
from nuclei.networks.segnet import segnet
from nuclei.networks.strides import strides
from nuclei.networks.unet import unet
from nuclei.prediction import windows
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


def discs(size=32):
    """Two images with a dark disc on a light, noisy ground, and its mask."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    masks = np.stack([np.hypot(y - c, x - c) < size / 4 for c in (size / 2, size / 3)])[..., None]
    images = np.where(masks, 90, 210) + rng.integers(-30, 30, (2, size, size, 3))
    return images.astype(np.float32), masks.astype(np.float32)


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


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """For each backbone, a file of weights in the place of ImageNet's."""
    paths = {}
    for name, kind in encoders.ENCODERS.items():
        model = kind.build(include_top=False, weights=None)
        paths[name] = tmp_path_factory.mktemp("pretrained") / f"{name}.weights.h5"
        model.save_weights(paths[name])
    return paths


def unet_parameters(width, depth):
    """Trainable and other parameters, counted from the drawing in the paper."""

    def two_convolutions(before, after):
        return 9 * before * after + 9 * after * after + 2 * 2 * after

    stages = [width * 2**stage for stage in range(depth + 1)]
    trainable = sum(two_convolutions(a, b) for a, b in zip([3, *stages], stages, strict=False))
    for below, here in zip(stages[:0:-1], stages[-2::-1], strict=True):
        trainable += 4 * below * here + here  # transposed convolution with bias
        trainable += two_convolutions(2 * here, here)
    statistics = 2 * 2 * (sum(stages) + sum(stages[:-1]))
    return trainable + width + 1, statistics


class TestUNet:
    """Its arithmetic."""

    @pytest.mark.parametrize("width, depth", [(1, 1), (3, 2), (4, 5)])
    def test_parameters_are_those_of_the_drawing(self, width, depth):
        model = unet(width, depth)
        trainable, statistics = unet_parameters(width, depth)
        assert sum(np.prod(w.shape) for w in model.trainable_weights) == trainable
        assert model.count_params() == trainable + statistics

    def test_at_full_width_there_are_31_million(self):
        # The figure published for UNets with padding, batch normalisation and one class.
        assert unet_parameters(64, 4)[0] == 31_037_633
        assert unet().count_params() == sum(unet_parameters(64, 4))

    @pytest.mark.parametrize("depth, shape", [(1, (4, 6)), (2, (16, 8)), (4, (32, 48))])
    def test_probability_is_that_of_plain_numpy(self, tmp_path, depth, shape):
        model = unet(width=3, depth=depth)
        reference.fill(model)
        model.save_weights(tmp_path / "a.weights.h5")
        image = np.random.default_rng(1).integers(0, 256, (2, *shape, 3), np.uint8)
        expected = reference.unet(reference.read(tmp_path / "a.weights.h5"), image)
        assert np.ptp(expected) > 0.1
        probability = keras.ops.convert_to_numpy(model(image))
        np.testing.assert_allclose(probability, expected, atol=1e-5)

    def test_a_depth_below_one_is_refused(self):
        with pytest.raises(ValueError, match="at least 1"):
            unet(depth=0)

    @pytest.mark.parametrize("encoder", encoders.ENCODERS)
    def test_the_decoder_joins_the_encoder_at_each_stride(self, encoder):
        model = unet(width=2, channels=2, encoder=encoder)
        assert model.compute_output_shape((1, 64, 96, 3)) == (1, 64, 96, 2)
        skips, found = ("encoder1_relu", *encoders.ENCODERS[encoder].skips), strides(model)
        for stage, skip in enumerate(skips, start=1):
            joined = model.get_layer(f"decoder{stage}_concatenate")
            below, above = joined.input
            assert below is model.get_layer(skip).output
            assert found[joined.name][0] == found[skip][0] == 2 ** (stage - 1)
            assert above.shape[-1] == 2 * 2 ** (stage - 1)

    def test_a_file_starts_the_encoder(self, pretrained):
        file = pretrained["efficientnet_lite0"]
        published = efficientnet_lite0()
        published.load_weights(file)
        model = unet(width=2, encoder="efficientnet_lite0", encoder_weights=file)
        trained = [layer for layer in published.layers if layer.weights][
            :-2
        ]  # not the last, unused
        assert len(trained) > 90
        for layer in trained:
            for value, other in zip(
                model.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True
            ):
                np.testing.assert_array_equal(value, other)

    def test_an_unknown_encoder_is_refused(self):
        with pytest.raises(ValueError, match="no encoder 'vgg16': choose mobilenetv2 or"):
            unet(encoder="vgg16")


class TestEfficientNetLite0:
    """Its size, its arithmetic, and what it cannot give."""

    def test_parameters_are_those_of_the_published_network(self):
        # With the classifier, as the TPU repository and PyTorch ports of it count.
        model = efficientnet_lite0()
        classifier = 1280 * 1000 + 1000
        assert sum(np.prod(w.shape) for w in model.trainable_weights) + classifier == 4_652_008
        assert model.compute_output_shape((1, 224, 224, 3)) == (1, 7, 7, 1280)

    @pytest.mark.parametrize("options", [{"include_top": True}, {"weights": "imagenet"}])
    def test_what_it_has_not_is_refused(self, options):
        with pytest.raises(ValueError, match="no classifier and no weights"):
            efficientnet_lite0(**options)


def segnet_parameters(width):
    """Trainable and other parameters, counted from figure 2 and the text of the paper."""
    encoder = [1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 8, 8, 8]  # VGG16
    decoder = [8, 8, 8, 8, 8, 4, 4, 4, 2, 2, 1, 1, 1]
    channels = [width * factor for factor in encoder + decoder]
    trainable = sum(9 * a * b + 2 * b for a, b in zip([3, *channels], channels, strict=False))
    return trainable + width + 1, 2 * sum(channels)


class TestSegNet:
    """Its arithmetic, with indices and without."""

    @pytest.mark.parametrize("indices", [True, False])
    def test_parameters_are_those_of_the_paper(self, indices):
        model = segnet(width=3, indices=indices)
        trainable, others = segnet_parameters(3)
        assert sum(np.prod(w.shape) for w in model.trainable_weights) == trainable
        assert model.count_params() == trainable + others

    def test_at_full_width_there_are_29_million(self):
        # Paszke et al., "ENet", arXiv:1606.02147, table 3: 29.46 M.
        assert segnet_parameters(64)[0] == pytest.approx(29.46e6, rel=1e-3)
        assert segnet().count_params() == sum(segnet_parameters(64))

    @pytest.mark.parametrize("indices", [True, False])
    def test_probability_is_that_of_plain_numpy(self, tmp_path, indices):
        model = segnet(width=4, indices=indices)
        reference.fill(model)
        model.save_weights(tmp_path / "a.weights.h5")
        image = np.random.default_rng(1).integers(0, 256, (2, 64, 32, 3), np.uint8)
        expected = reference.segnet(reference.read(tmp_path / "a.weights.h5"), image, indices)
        assert np.ptp(expected) > 0.1
        probability = keras.ops.convert_to_numpy(model(image))
        np.testing.assert_allclose(probability, expected, atol=1e-4)

    def test_a_saved_model_loads_in_a_new_process(self, tmp_path):
        model, image = segnet(width=2), discs()[0]
        reference.fill(model)
        model.save(tmp_path / "segnet.keras")
        np.save(tmp_path / "image.npy", image)
        code = """import keras, numpy as np, nuclei.networks
model = keras.models.load_model("segnet.keras")
np.save("probability.npy", model.predict(np.load("image.npy"), verbose=0))"""
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
        np.testing.assert_allclose(
            np.load(tmp_path / "probability.npy"), model.predict(image, verbose=0), atol=1e-6
        )

    def test_far_from_borders_a_patch_gets_what_the_whole_image_gets(self):
        model = segnet(width=4)
        reference.fill(model)
        image = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
        # A whole image goes through with a margin, so this patch is pooled in the same windows.
        patch = np.s_[228:804, 228:804]
        assert (228 + windows.MARGIN) % 32 == 0
        # Convolutions reach 1 pixel of their resolution, poolings one less than a window.
        reach = 2 * sum(2**stage * (2, 2, 3, 3, 3)[stage] for stage in range(5)) + 2**5 - 1
        inner = np.s_[reach:-reach, reach:-reach]
        by_itself = keras.ops.convert_to_numpy(model(image[patch][None]))[0, :, :, 0]
        whole = windows.predict(model, image)
        assert np.ptp(whole[patch][inner]) > 0.05
        np.testing.assert_allclose(by_itself[inner], whole[patch][inner], atol=1e-5)

    def test_two_trainings_with_one_seed_end_alike(self):
        weights = []
        for _ in range(2):
            keras.utils.set_random_seed(0)
            model = segnet(width=2)
            model.compile("adam", bce_dice_loss, **reference.QUICKLY)
            for _ in range(3):
                model.train_on_batch(*discs())
            weights.append(model.get_weights())
        for first, second in zip(*weights, strict=True):
            np.testing.assert_array_equal(first, second)


class TestDeepLabv3:
    """Its arithmetic after the backbone, and where the weights of the backbone come from."""

    @pytest.mark.parametrize(
        "output_stride, rates, decoder", [(16, (1, 2, 3), True), (8, (1, 2), True), (16, (), False)]
    )
    def test_probability_is_that_of_plain_numpy(self, output_stride, rates, decoder):
        model = deeplabv3("mobilenetv2", output_stride, decoder, width=16, rates=rates)
        reference.fill(model)
        kind = encoders.ENCODERS["mobilenetv2"]
        layers = [kind.features, kind.low_level] if decoder else [kind.features]
        head = keras.Model([model.get_layer(name).output for name in layers], model.output)
        rng, finer = np.random.default_rng(1), output_stride // 4
        features = rng.normal(0, 20, (2, 7, 5, 320)).astype(np.float32)
        low_level = rng.normal(0, 20, (2, 7 * finer, 5 * finer, 144)).astype(np.float32)
        given = [features, low_level] if decoder else features
        probability = keras.ops.convert_to_numpy(head(given))
        weights = {layer.name: layer.get_weights() for layer in model.layers}
        expected = reference.deeplabv3(weights, features, low_level, finer, rates, decoder)
        assert np.ptp(expected) > 0.1
        np.testing.assert_allclose(probability, expected, atol=1e-5)

    @pytest.mark.parametrize("backbone", encoders.ENCODERS)
    def test_a_file_starts_the_backbone(self, backbone, pretrained):
        file = pretrained[backbone]
        model = deeplabv3(backbone, width=2, backbone_weights=file)
        kind = encoders.ENCODERS[backbone]
        published = kind.build(include_top=False, weights=None)
        published.load_weights(file)
        used = keras.Model(published.input, published.get_layer(kind.features).output)
        expected = used.get_weights()
        assert len(expected) > 150
        for value, other in zip(model.get_weights(), expected, strict=False):
            np.testing.assert_array_equal(value, other)

    @pytest.mark.parametrize("arguments", [{"backbone": "vgg16"}, {"output_stride": 4}])
    def test_what_cannot_be_built_is_refused(self, arguments):
        with pytest.raises(ValueError, match="no encoder|8, 16 or 32"):
            deeplabv3(**arguments)
