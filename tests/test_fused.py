"""Fused batch normalization trains as Keras's own does, and leaves no trace in what is saved."""

import keras
import numpy as np
import pytest
import reference

from nuclei import training
from nuclei.networks import unet

rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (4, 32, 32, 3)).astype(np.float32)
MASKS = (IMAGES[..., :1] > 128).astype(np.float32)


def normalization(fuse):
    """A model of one layer, whose scale and offset are not those at the start."""
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3))
    model = keras.Model(image, keras.layers.BatchNormalization(name="layer")(image))
    model.set_weights(np.array([[2, 1, 3], [0.5, 0, 1], [9, 0, 7], [4, 1, 9]], np.float32))
    return training.fuse_normalization(model) if fuse else model


def trained(build, fuse, steps=3):
    """Train a small network and return it with the losses of its steps."""
    keras.utils.set_random_seed(0)
    network = build()
    if fuse:
        training.fuse_normalization(network)
    network.compile(keras.optimizers.SGD(0.1), training.bce_dice_loss, **reference.QUICKLY)
    return network, [float(network.train_on_batch(IMAGES, MASKS)) for _ in range(steps)]


def test_one_step_gives_the_numbers_of_keras():
    """Without the correction of the variance the running one would differ by 1/255."""
    images = IMAGES[:1, :16, :16]
    after = []
    for fuse in (False, True):
        model = normalization(fuse)
        model.compile(keras.optimizers.SGD(0.1), "mse", **reference.QUICKLY)
        output = keras.ops.convert_to_numpy(model(images, training=True))
        model.train_on_batch(images, images / 255)
        after.append([output, *model.get_weights()])
    for expected, array in zip(*after, strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-5, atol=1e-5)


def test_a_network_learns_as_with_keras():
    (_, losses), (_, others) = (trained(lambda: unet(4, depth=2), fuse) for fuse in (False, True))
    assert losses == pytest.approx(others, rel=1e-3)
    assert losses[-1] < losses[0]


@pytest.mark.tensorflow
def test_the_fused_kernel_is_used_in_training_only():
    import tensorflow as tf  # noqa: TID251

    network = training.fuse_normalization(unet(2, depth=1))
    for training_step in (True, False):
        call = tf.function(lambda x, flag=training_step: network(x, training=flag))
        names = {op.type for op in call.get_concrete_function(IMAGES).graph.get_operations()}
        assert ("FusedBatchNormV3" in names) == training_step


def test_frozen_layers_keep_their_statistics():
    network = training.fuse_normalization(unet(2, depth=1))
    network.trainable = False
    before = network.get_weights()
    network(IMAGES, training=True)
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_saved_model_is_the_same(tmp_path):
    network, _ = trained(lambda: unet(2, depth=1), fuse=True)
    assert network.get_config() == unet(2, depth=1).get_config()
    network.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    expected = network.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(again.predict(IMAGES, verbose=0), expected, atol=1e-6)


def test_layers_without_scale_or_with_another_axis_stay():
    image = keras.Input((8, 8, 3))
    for options in ({"scale": False}, {"center": False}, {"axis": 1}):
        x = keras.layers.BatchNormalization(**options)(image)
        model = training.fuse_normalization(keras.Model(image, x))
        assert "call" not in vars(model.layers[-1])
