"""Runs of pixels: a label image and back, whole and in part."""

import numpy as np
import pytest

from nuclei.data import synthetic
from nuclei.slides import rle


@pytest.fixture(scope="module")
def labels():
    return synthetic.tissue(seed=5, shape=(200, 300))[1]


def test_painting_gives_the_labels_back(labels):
    encoded = rle.encode(labels)
    assert encoded.dtype == np.int32
    np.testing.assert_array_equal(rle.paint(encoded, *labels.shape), labels)


def test_a_window_of_it_is_a_window_of_them(labels):
    encoded = rle.encode(labels, top=1000, left=2000)
    window = rle.clip(encoded, 1050, 1990, 100, 150)
    expected = np.zeros((100, 150), int)
    expected[:, 10:] = labels[50:150, :140]
    np.testing.assert_array_equal(rle.paint(window, 100, 150), expected)


def test_the_lower_label_lies_on_top():
    both = np.array([[7, 0, 2, 6], [3, 0, 0, 4]], np.int32)
    np.testing.assert_array_equal(rle.paint(both, 1, 8)[0], [3, 3, 3, 3, 7, 7, 0, 0])


def test_background_has_no_runs():
    encoded = rle.encode(np.zeros((5, 6), np.int32))
    assert encoded.shape == (0, 4)
    assert not rle.paint(encoded, 5, 6).any()
