"""Atrous encoders see what the published ones see, on a finer grid."""

import dataclasses

import keras
import numpy as np
import pytest
import reference

from nuclei.errors import InputError
from nuclei.networks import encoders
from nuclei.networks.encoders import ENCODERS, AtrousMaxPooling2D, atrous, pretrained


def thin(name):
    """A published backbone with a sixteenth of its channels, for images of any size."""
    config = ENCODERS[name].build(include_top=False, weights=None).get_config()
    for entry in config["layers"]:
        entry.pop("build_config", None)  # of the old channels
        if "filters" in entry["config"]:
            entry["config"]["filters"] = -(-entry["config"]["filters"] // 16)
    model = keras.Model.from_config(config)
    reference.fill(model)
    return model


@pytest.fixture(scope="module", params=ENCODERS)
def published(request):
    return request.param, ENCODERS[request.param].build(include_top=False, weights=None)


def build(name, output_stride):
    return encoders.build(name, keras.Input((None, None, 3), name="image"), output_stride)


@pytest.mark.parametrize("output_stride", [8, 16])
def test_the_weights_are_those_of_keras_layer_by_layer(published, output_stride):
    name, original = published
    ours = build(name, output_stride)
    ours.set_weights(original.get_weights())
    layers = [layer for layer in ours.layers if layer.weights]
    originals = [layer for layer in original.layers if layer.weights]
    assert len(layers) > 70
    for layer, other in zip(layers, originals, strict=True):
        assert type(layer) is type(other)
        assert layer.name == other.name or other.name.startswith(("conv2d", "batch_norm"))
        for weight, value in zip(layer.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_feature_maps_have_the_strides_asked_for(name, output_stride):
    model, kind = build(name, output_stride), ENCODERS[name]
    maps = [model.get_layer(layer).output for layer in (kind.low_level, kind.features)]
    shapes = keras.Model(model.inputs, maps).compute_output_shape((1, 320, 192, 3))
    sides = [shape[1:3] for shape in shapes]
    assert sides == [(80, 48), (320 // output_stride, 192 // output_stride)]


# MobileNetV2 pads on the right and below, so that a stride of 2 sees every other pixel from the
# second on. The maps of Xception are of odd sides here, which Keras pads alike on both sides.
@pytest.mark.parametrize(
    "name, side, output_stride, offset, border",
    [
        ("mobilenetv2", 640, 16, 1, 8),
        ("mobilenetv2", 640, 8, 3, 8),
        ("xception", 1195, 16, 0, 17),
        ("xception", 1195, 8, 0, 17),
    ],
)
def test_at_the_old_stride_the_features_are_the_old_ones(name, side, output_stride, offset, border):
    original = thin(name)
    finer = atrous(original, output_stride)
    finer.set_weights(original.get_weights())
    image = np.random.default_rng(0).normal(size=(1, side, side, 3)).astype(np.float32)
    expected = keras.ops.convert_to_numpy(original(image))
    step = 32 // output_stride
    features = keras.ops.convert_to_numpy(finer(image))[:, offset::step, offset::step]
    inner = np.s_[:, border:-border, border:-border]
    assert expected[inner].size > 0 and expected[inner].std() > 0.05
    np.testing.assert_allclose(features[inner], expected[inner], atol=1e-4)


@pytest.mark.parametrize("rate", [1, 2, 3])
def test_atrous_pooling_is_that_of_plain_numpy(rate):
    x = np.random.default_rng(0).normal(size=(2, 7, 9, 3)).astype(np.float32)
    padded = np.pad(x, [(0, 0), (rate, rate), (rate, rate), (0, 0)], constant_values=-np.inf)
    windows = [
        padded[:, i * rate : i * rate + 7, j * rate : j * rate + 9]
        for i in range(3)
        for j in range(3)
    ]
    pooled = keras.ops.convert_to_numpy(AtrousMaxPooling2D(rate)(x))
    np.testing.assert_array_equal(pooled, np.max(windows, axis=0))


def test_a_local_file_gives_the_weights(tmp_path):
    model = ENCODERS["mobilenetv2"].build(include_top=False, weights=None)
    reference.fill(model)
    model.save_weights(tmp_path / "a.weights.h5")
    for read, saved in zip(
        pretrained("mobilenetv2", tmp_path / "a.weights.h5"), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(read, saved)
    with pytest.raises(InputError, match="a.weights.h5 does not fit this xception"):
        pretrained("xception", tmp_path / "a.weights.h5")
    with pytest.raises(InputError, match="none.weights.h5 is missing"):
        pretrained("mobilenetv2", tmp_path / "none.weights.h5")
    with pytest.raises(ValueError, match="There is no encoder None: choose mobilenetv2 or"):
        pretrained(None, tmp_path / "a.weights.h5")  # ENCODER_WEIGHTS without ENCODER


def test_without_a_network_one_sentence_says_so(monkeypatch, capsys):
    def no_network(*arguments, weights, **options):
        assert weights == "imagenet"
        raise Exception("URL fetch failure")

    kind = ENCODERS["xception"]
    monkeypatch.setitem(ENCODERS, "xception", dataclasses.replace(kind, build=no_network))
    assert pretrained("xception") is None
    said = capsys.readouterr().out
    assert said.startswith("Starting xception from random weights") and said.count("\n") == 1


@pytest.mark.parametrize("name, output_stride", [("vgg16", 16), ("xception", 4)])
def test_unknown_encoders_and_strides_are_refused(name, output_stride):
    with pytest.raises(ValueError, match="vgg16|not 4"):
        build(name, output_stride)


def test_a_word_that_is_no_weights_is_told_of_imagenet():
    with pytest.raises(InputError, match="ImageNet is no .weights.h5 or .h5 file: .* or imagenet"):
        encoders.pretrained("mobilenetv2", "ImageNet")
