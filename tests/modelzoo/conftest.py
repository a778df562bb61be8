"""A trained model and its folder."""

import numpy as np
import pytest
import reference
from saved_models import CONFIG, HISTORY, METRICS

from nuclei import modelzoo, training


@pytest.fixture(scope="module")
def trained():
    """A compiled model with fixed weights, after one step, so that its optimizer has a state."""
    model = modelzoo.build(CONFIG)
    reference.fill(model)
    model.compile(training.adamw(10), training.bce_dice_loss, run_eagerly=True)
    model.train_on_batch(np.zeros((1, 4, 4, 3)), np.zeros((1, 4, 4, 1)))
    return model


@pytest.fixture
def folder(tmp_path, trained):
    """The saved model."""
    modelzoo.save(tmp_path / "small", trained, CONFIG, HISTORY, METRICS)
    return tmp_path / "small"


@pytest.fixture
def weights(folder):
    return folder / "small.weights.h5"
