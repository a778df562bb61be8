"""Pixel scores against cases worked out by hand."""

import tracemalloc
from dataclasses import astuple

import numpy as np
import pytest

from nuclei.scores import intervals, pixels
from nuclei.scores.pixels import Confusion

TRUTH = np.array([[1, 1, 1, 0], [0, 0, 0, 0]], bool)
PREDICTION = np.array([[1, 1, 0, 1], [1, 0, 0, 0]], bool)


def test_counts_and_scores_of_a_case_worked_by_hand():
    counts = pixels.confusion(PREDICTION, TRUTH)
    assert astuple(counts) == (2, 2, 1, 3)
    scores = counts.scores()
    assert scores.dice == pytest.approx(4 / 7)
    assert scores.iou == pytest.approx(2 / 5)
    assert scores.precision == pytest.approx(2 / 4)
    assert scores.recall == pytest.approx(2 / 3)
    assert scores.accuracy == pytest.approx(5 / 8)


def test_dice_is_the_harmonic_mean_of_precision_and_recall():
    scores = pixels.confusion(PREDICTION, TRUTH).scores()
    harmonic = 2 * scores.precision * scores.recall / (scores.precision + scores.recall)
    assert scores.dice == pytest.approx(harmonic)


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),  # dice, iou, precision, recall, accuracy
    [
        (0, 0, (1, 1, 1, 1, 1)),
        (1, 1, (1, 1, 1, 1, 1)),
        (0, 1, (0, 0, 0, 0, 0)),
        (1, 0, (0, 0, 0, 0, 0)),
    ],
)
def test_empty_and_full_masks(prediction, truth, expected):
    shape = (3, 2)
    counts = pixels.confusion(np.full(shape, prediction, bool), np.full(shape, truth, bool))
    assert astuple(counts.scores()) == expected


def test_pooling_counts_each_pixel_once():
    small = pixels.confusion(PREDICTION, TRUTH)  # 2, 2, 1, 3
    missed = pixels.confusion(np.zeros(5, bool), np.ones(5, bool))  # 0, 0, 5, 0
    pooled = sum([small, missed], Confusion())
    assert astuple(pooled) == (2, 2, 6, 3)
    assert pooled.pixels == 13
    assert pooled.scores().dice == pytest.approx(4 / 12)  # the mean of both would be 2 / 7


def test_confusion_refuses_probabilities_labels_and_other_shapes():
    with pytest.raises(ValueError, match="predicted mask must be bool, not float32"):
        pixels.confusion(PREDICTION.astype(np.float32), TRUTH)
    with pytest.raises(ValueError, match="true mask must be bool, not uint8"):
        pixels.confusion(PREDICTION, TRUTH.astype(np.uint8))
    with pytest.raises(ValueError, match="differ in shape"):
        pixels.confusion(PREDICTION, TRUTH[:1])


def test_soft_dice_per_pixel_worked_by_hand():
    # y, p = (1, 1), (1, 0), (0, 1), (0, 0.5): 3/3, 1/2, 1/2, 1/1.25
    probability = np.array([1, 0, 1, 0.5], np.float32)
    truth = np.array([1, 1, 0, 0], bool)
    expected = (1 + 0.5 + 0.5 + 0.8) / 4
    assert pixels.soft_dice_per_pixel(probability, truth) == pytest.approx(expected)


def test_soft_dice_per_pixel_flatters_an_empty_prediction():
    truth = np.arange(100) < 22  # 22% nuclei, as in MoNuSeg
    empty = np.zeros(100, np.float32)
    assert pixels.soft_dice_per_pixel(empty, truth) == pytest.approx(0.89)
    assert pixels.confusion(empty > 0.5, truth).scores().dice == 0


def test_binary_cross_entropy_by_hand_and_finite_when_surely_wrong():
    probability = np.array([0.25, 0.25], np.float32)
    truth = np.array([True, False])
    expected = -(np.log(0.25) + np.log(0.75)) / 2
    assert pixels.binary_cross_entropy(probability, truth) == pytest.approx(expected)
    wrong = pixels.binary_cross_entropy(np.array([0.0, 1.0], np.float32), truth)
    assert wrong == pytest.approx(-np.log(1e-7))


def test_bootstrap_interval_agrees_with_the_normal_one_and_with_its_seed():
    values = np.random.default_rng(1).normal(0.8, 0.05, 400)
    low, high = intervals.bootstrap_interval(values)
    error = 1.96 * values.std() / np.sqrt(values.size)
    assert low == pytest.approx(values.mean() - error, abs=0.1 * error)
    assert high == pytest.approx(values.mean() + error, abs=0.1 * error)
    assert (low, high) == intervals.bootstrap_interval(values, seed=0)
    assert (low, high) != intervals.bootstrap_interval(values, seed=1)
    narrow = intervals.bootstrap_interval(values, level=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_bootstrap_interval_of_many_values_takes_little_memory():
    values = np.random.default_rng(0).random(2000)
    tracemalloc.start()
    found = intervals.bootstrap_interval(values, resamples=1000)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4e6  # 32 MB if all are drawn at once
    drawn = np.random.default_rng(0).integers(2000, size=(1000, 2000))
    assert found == tuple(np.quantile(values[drawn].mean(axis=1), [0.025, 0.975]))


def test_bootstrap_interval_of_one_value_and_of_none():
    assert intervals.bootstrap_interval([0.7]) == pytest.approx((0.7, 0.7))
    with pytest.raises(ValueError, match="at least one value"):
        intervals.bootstrap_interval([])


def test_paired_test_finds_what_is_consistent_and_not_what_is_noise():
    rng = np.random.default_rng(0)
    first = rng.uniform(0.7, 0.9, 14)
    mean, low, high, p = intervals.paired_test(first, first + rng.uniform(0.001, 0.01, 14))
    assert 0.001 < low < mean < high < 0.01
    assert p == pytest.approx(2 / 2**14)  # all 14 differences of one sign
    mean, low, high, p = intervals.paired_test(first, first + 0.01 * (np.arange(14) - 6.4))
    assert low < 0 < high and p > 0.2


def test_paired_test_of_equal_scores_and_of_unequal_numbers():
    assert intervals.paired_test([0.5, 0.6], [0.5, 0.6]) == (0, 0, 0, 1)
    with pytest.raises(ValueError, match="not 1 and 2"):
        intervals.paired_test([0.5], [0.5, 0.6])


def test_no_p_value_is_written_as_0():
    written = [intervals.format_p(p) for p in (0.0001, 0.00049, 0.0005001, 0.04, 1.0)]
    assert written == ["<0.001", "<0.001", "0.001", "0.040", "1.000"]
