"""A small model as it is saved, and what is asked of saved models."""

import numpy as np
import pytest

from nuclei import modelzoo
from nuclei.errors import InputError

CONFIG = {"network": "unet", "arguments": {"width": 2, "depth": 1}}


HISTORY = [{"epoch": 1, "val_dice": 0.5}, {"epoch": 2, "val_dice": 0.625}]


METRICS = {"seed": 0, "test": {"mean": 0.75}}


def assert_equal_weights(one, other):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def refusal(folder):
    """The one sentence with which a model is refused."""
    with pytest.raises(InputError) as error:
        modelzoo.load(folder)
    message = str(error.value)
    assert "\n" not in message and message.count(". ") == 0 and message.endswith(".")
    return message
