"""The arithmetic of UNet and of the encoder EfficientNet-Lite0."""

import keras
import numpy as np
import pytest
import reference

from nuclei.networks import encoders
from nuclei.networks.efficientnet import efficientnet_lite0
from nuclei.networks.strides import strides
from nuclei.networks.unet import unet


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
