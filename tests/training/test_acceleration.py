"""Accelerated networks train as Keras's own do, and leave no trace in what is saved."""

import keras
import numpy as np
import pytest
import reference

from nuclei import training
from nuclei.networks import unet
from nuclei.training import acceleration

rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (4, 32, 32, 3)).astype(np.float32)
MASKS = (IMAGES[..., :1] > 128).astype(np.float32)


def normalization(fast):
    """A model of one layer, whose scale and offset are not those at the start."""
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3))
    model = keras.Model(image, keras.layers.BatchNormalization(name="layer")(image))
    model.set_weights(np.array([[2, 1, 3], [0.5, 0, 1], [9, 0, 7], [4, 1, 9]], np.float32))
    return training.accelerate(model) if fast else model


def trained(build, fast, steps=3):
    """Train a small network and return it with the losses of its steps."""
    keras.utils.set_random_seed(0)
    network = build()
    if fast:
        training.accelerate(network)
    network.compile(keras.optimizers.SGD(0.1), training.bce_dice_loss, **reference.QUICKLY)
    return network, [float(network.train_on_batch(IMAGES, MASKS)) for _ in range(steps)]


def test_one_step_gives_the_numbers_of_keras():
    """Without the correction of the variance the running one would differ by 1/255."""
    images = IMAGES[:1, :16, :16]
    after = []
    for fast in (False, True):
        model = normalization(fast)
        model.compile(keras.optimizers.SGD(0.1), "mse", **reference.QUICKLY)
        output = keras.ops.convert_to_numpy(model(images, training=True))
        model.train_on_batch(images, images / 255)
        after.append([output, *model.get_weights()])
    for expected, array in zip(*after, strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-5, atol=1e-5)


def test_a_network_learns_as_with_keras():
    (_, losses), (_, others) = (trained(lambda: unet(4, depth=2), fast) for fast in (False, True))
    assert losses == pytest.approx(others, rel=1e-3)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("policy", ["float64", "bfloat16", "float16"])
def test_a_precision_that_the_kernel_lacks_trains_without_it(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        network, _ = trained(lambda: unet(2, depth=1), fast=True, steps=1)
    finally:
        keras.config.set_dtype_policy(before)
    assert network.get_layer("encoder1_normalization1").variable_dtype == policy


@pytest.mark.tensorflow
def test_the_fused_kernel_is_used_in_training_only():
    import tensorflow as tf  # noqa: TID251

    network = training.accelerate(unet(2, depth=1))
    for training_step in (True, False):
        call = tf.function(lambda x, flag=training_step: network(x, training=flag))
        names = {op.type for op in call.get_concrete_function(IMAGES).graph.get_operations()}
        assert ("FusedBatchNormV3" in names) == training_step


def test_frozen_layers_keep_their_statistics():
    network = training.accelerate(unet(2, depth=1))
    network.trainable = False
    before = network.get_weights()
    network(IMAGES, training=True)
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_saved_model_is_the_same(tmp_path):
    network, _ = trained(lambda: unet(2, depth=1), fast=True)
    assert network.get_config() == unet(2, depth=1).get_config()
    network.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    expected = network.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(again.predict(IMAGES, verbose=0), expected, atol=1e-6)


def test_layers_without_scale_or_with_another_axis_stay():
    image = keras.Input((8, 8, 3))
    for options in ({"scale": False}, {"center": False}, {"axis": 1}):
        x = keras.layers.BatchNormalization(**options)(image)
        model = training.accelerate(keras.Model(image, x))
        assert "call" not in vars(model.layers[-1])


@pytest.mark.tensorflow
def test_depthwise_layers_stay_in_float32_on_a_cpu_only(monkeypatch):
    for gpus, dtype in ([], "float32"), (["gpu:0"], "bfloat16"):
        monkeypatch.setattr(acceleration, "list_gpus", lambda gpus=gpus: gpus)
        image = keras.Input((8, 8, 3))
        depthwise = keras.layers.DepthwiseConv2D(3, dtype="mixed_bfloat16")
        x = keras.layers.Conv2D(4, 1, dtype="mixed_bfloat16", name="last")(depthwise(image))
        model = training.accelerate(keras.Model(image, x))
        assert depthwise.compute_dtype == dtype
        assert keras.backend.standardize_dtype(model(IMAGES[:, :8, :8]).dtype) == "bfloat16"
