"""Whichever backend Keras runs on, the same `.h5` gives what plain NumPy gives.

Backends cannot be loaded beside each other, so that each is compared with `reference.py`:
`make test-backends` runs this under JAX and under PyTorch, `make test` under TensorFlow.
"""

import keras
import numpy as np
import reference

from nuclei import modelzoo
from nuclei.data import synthetic
from nuclei.networks.unet import unet
from nuclei.prediction import windows

WEIGHTS = modelzoo.MODELS / "unet" / "unet.weights.h5"


def tissue(size):
    """Synthetic tissue: raw RGB, uint8 (1, size, size, 3)."""
    return synthetic.tissue(seed=0, shape=(size, size))[0][None]


def outputs(model, images):
    """The three ways to run a model: as a function, compiled, and on a whole image."""
    yield keras.ops.convert_to_numpy(model(images))[..., 0]
    yield windows.forward(model, images)[..., 0]
    yield model.predict(images, verbose=0)[..., 0]


def test_fixed_weights_give_the_same_probabilities(tmp_path):
    model = unet(width=4, depth=3)
    reference.fill(model)
    model.save_weights(tmp_path / "fixed.weights.h5")
    read = unet(width=4, depth=3)
    read.load_weights(tmp_path / "fixed.weights.h5")
    images = tissue(64)
    expected = reference.unet(reference.read(tmp_path / "fixed.weights.h5"), images)[..., 0]
    assert np.ptp(expected) > 0.1
    for probability in outputs(read, images):
        assert probability.dtype == np.float32
        np.testing.assert_allclose(probability, expected, atol=1e-4)


def test_shipped_weights_give_the_same_probabilities():
    images = tissue(128)
    expected = reference.unet(reference.read(WEIGHTS), images)[..., 0]
    assert expected.min() < 0.1 and expected.max() > 0.9
    for probability in outputs(modelzoo.load("unet"), images):
        np.testing.assert_allclose(probability, expected, atol=1e-4)
