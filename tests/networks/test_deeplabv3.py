"""The arithmetic of DeepLabv3, and its backbones."""

import keras
import numpy as np
import pytest
import reference

from nuclei.networks import encoders
from nuclei.networks.deeplabv3 import deeplabv3


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
