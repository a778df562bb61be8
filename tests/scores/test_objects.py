"""Scores of nuclei against cases worked out by hand, and what they must not depend on."""

from dataclasses import astuple
from time import process_time

import numpy as np
import pytest

from nuclei.data import synthetic
from nuclei.scores import objects
from nuclei.scores.objects import object_scores

TRUTH = np.array([[1, 1, 1, 1, 2, 2, 2, 2], [0, 0, 0, 0, 0, 0, 0, 3]])
"""Nuclei of 4, 4 and 1 pixels."""

PREDICTION = np.array([[5, 5, 5, 5, 5, 0, 0, 0], [0, 7, 0, 0, 0, 0, 0, 0]])
"""Nucleus 5 covers 1 (IoU 4 / 5) and a pixel of 2 (IoU 1 / 8); 7 covers background."""


def tissue():
    """Nuclei of synthetic tissue, and the same shifted, some lost, some merged, some cut in two."""
    truth = synthetic.tissue(seed=0)[1][:300, :300]
    moved = np.roll(truth, (2, 1), (0, 1))
    merged = moved + (moved % 5 == 2)
    cut = merged + np.where(np.arange(300) > 150, 1000, 0)
    return np.where((moved == 0) | (moved % 7 == 3), 0, cut), truth


def test_a_case_worked_by_hand():
    scores = object_scores(PREDICTION, TRUTH)
    # 5 goes to 1: 4 common pixels; 9 true ones + 5 of nucleus 5 - 4 common + 1 of nucleus 7.
    assert scores.aji == pytest.approx(4 / 11)
    # If 2 takes 5 too: 4 + 1 common; (4 + 5 - 4) + (4 + 5 - 1) + 1 of nucleus 3 + 1 of nucleus 7.
    assert scores.aji_shared == pytest.approx(5 / 15)
    assert scores.dq == pytest.approx(2 * 1 / (2 + 3))
    assert scores.sq == pytest.approx(4 / 5)
    assert scores.pq == pytest.approx(scores.dq * scores.sq)
    assert scores.f1_70 == scores.dq
    assert (scores.predicted, scores.true) == (2, 3)


def test_one_prediction_over_two_nuclei():
    prediction = np.where(np.arange(8) < 7, [[9], [0]], 0)
    scores = object_scores(prediction, TRUTH)
    # IoU 4 / 7 with nucleus 1 and 3 / 8 with nucleus 2.
    assert scores.aji == pytest.approx(4 / (9 + 7 - 4))
    assert scores.aji_shared == pytest.approx((4 + 3) / (7 + 8 + 1))
    assert scores.dq == pytest.approx(2 * 1 / (1 + 3))
    assert scores.f1_70 == 0


@pytest.mark.parametrize("numbers", [(0, 1, 2), (0, 2, 1)])
def test_aji_matches_the_highest_iou_first_and_of_equal_ones_the_larger_overlap(numbers):
    def aji(truth, prediction):
        return object_scores(np.array([prediction]), np.take(numbers, [truth])).aji

    # 6 of 20 pixels of one nucleus, an IoU of 6 / 24, and all 4 of the other, 4 / 10.
    assert aji([1] * 20 + [2] * 4, [0] * 14 + [5] * 10) == pytest.approx(4 / (24 + 10 - 4))
    # 2 of 5 pixels, 2 / 6, and the only one of the other, 1 / 3.
    assert aji([1] * 5 + [2], [0] * 3 + [5] * 3) == pytest.approx(2 / (6 + 3 - 2))


def test_found_means_above_the_threshold():
    truth = np.array([[1, 1, 0]])
    assert object_scores(np.array([[1, 0, 0]]), truth).dq == 0  # an IoU of 0.5 exactly
    assert object_scores(np.array([[1, 1, 1]]), truth).dq == 1


def test_a_prediction_equal_to_the_truth_is_perfect():
    truth = tissue()[1]
    assert astuple(object_scores(truth, truth))[:6] == (1, 1, 1, 1, 1, 1)


@pytest.mark.parametrize(
    "predicted, true, score", [(0, 0, 1), (1, 0, 0), (0, 1, 0)], ids=["both", "truth", "prediction"]
)
def test_empty_images(predicted, true, score):
    scores = object_scores(np.full((3, 4), predicted), np.full((3, 4), true))
    assert astuple(scores) == (score,) * 6 + (predicted, true)


def test_the_numbers_of_the_labels_do_not_matter():
    prediction, truth = tissue()
    rng = np.random.default_rng(0)
    scores = object_scores(prediction, truth)
    assert 0.1 < scores.aji < 0.9 and scores.aji != scores.aji_shared
    expected = pytest.approx(astuple(scores))  # sums in another order
    for dtype in np.uint16, np.int64, np.uint64:
        numbers = rng.permutation(np.arange(1, 5000))[: 1 + prediction.max()].astype(dtype)
        renumbered = np.where(prediction > 0, numbers[prediction], 0)
        assert astuple(object_scores(renumbered, truth)) == expected
        renumbered = np.where(truth > 0, numbers[truth], 0)
        assert astuple(object_scores(prediction, renumbered)) == expected


def test_what_lies_where_does_not_matter():
    prediction, truth = tissue()
    expected = pytest.approx(astuple(object_scores(prediction, truth)))
    assert astuple(object_scores(prediction.T, truth.T)) == expected
    assert astuple(object_scores(prediction[::-1], truth[::-1])) == expected


def test_a_whole_image_takes_less_than_half_a_second():
    """In seconds of one core, because other programs may run."""
    truth = np.kron(np.arange(1, 901).reshape(30, 30), np.pad(np.ones((23, 23), int), 5))
    truth = truth[:1000, :1000]
    start = process_time()
    scores = object_scores(np.roll(truth, 3, axis=1), truth)
    assert process_time() - start < 0.5
    assert scores.true > 800 and scores.sq == pytest.approx(20 / 26)


@pytest.mark.parametrize("labels", [np.ones((2, 8)), TRUTH > 0, -TRUTH])
def test_what_is_no_label_image_is_refused(labels):
    with pytest.raises(ValueError, match="whole numbers from 0 up"):
        object_scores(labels, TRUTH)
    with pytest.raises(ValueError, match="differ in shape"):
        objects.Overlaps(TRUTH, TRUTH[:1])


@pytest.mark.parametrize("seed", range(5))
def test_stardist_agrees(seed):
    # Not in requirements-dev.txt: it would hold NumPy back.
    reason = "StarDist is not installed (pip install stardist)"
    reference = pytest.importorskip("stardist.matching", reason=reason)
    rng = np.random.default_rng(seed)
    truth = synthetic.tissue(seed=seed, shape=(300, 300))[1]
    prediction = np.roll(truth, rng.integers(-2, 3, 2), (0, 1))
    prediction[rng.random(truth.shape) < 0.1] = 0
    prediction[np.isin(prediction, rng.integers(1, truth.max(), 10))] = 0
    scores = object_scores(prediction, truth)
    # Just above: StarDist counts an IoU that equals the threshold, here it must exceed it.
    at_50, at_70 = (reference.matching(truth, prediction, t + 1e-6) for t in (0.5, 0.7))
    assert scores.dq == pytest.approx(at_50.f1) and scores.f1_70 == pytest.approx(at_70.f1)
    assert scores.sq == pytest.approx(at_50.mean_matched_score)
    assert scores.pq == pytest.approx(at_50.panoptic_quality)
    assert (scores.predicted, scores.true) == (at_50.n_pred, at_50.n_true)
    assert 0.1 < scores.f1_70 <= scores.dq < 1
