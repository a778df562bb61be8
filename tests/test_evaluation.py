"""The protocol on images whose scores are known beforehand."""

import json
from dataclasses import replace

import numpy as np
import pytest
from red import Red

from nuclei import evaluation
from nuclei.data import patches
from nuclei.data.dataset import Sample
from nuclei.errors import InputError
from nuclei.images import resolution
from nuclei.prediction import windows
from nuclei.scores import intervals, pixels


def sample(name, organ, predicted, truth):
    """A sample on which `Red` predicts the mask `predicted`, with probability 0.8 or 0.2."""
    image = np.full((*truth.shape, 3), (0, 60, 120), np.uint8)  # no colour of ink
    image[..., 0] = np.where(predicted, 204, 51)
    return Sample(name=name, patient=name[:5], organ=organ, image=image, mask=truth, labels=None)


def chequered(height, width):
    """A mask of which half is nuclei, squares of 25 pixels."""
    rows, columns = np.indices((height, width)) // 25
    return (rows + columns) % 2 == 0


@pytest.fixture(scope="module")
def samples():
    truth = chequered(300, 200)
    half = truth.copy()
    half[:150] = False  # half of the nuclei are missed
    small = truth[75:225]  # half as many pixels, all of them wrong
    return [
        sample("first image", "lung", truth, truth),
        sample("other image", "lung", half, truth),
        sample("third image", "brain", ~small, small),
    ]


@pytest.fixture(scope="module")
def report(samples):
    return evaluation.evaluate(Red(), samples, progress=False)


def test_images_have_names_and_the_scores_of_their_masks(report):
    first, other, third = report["images"]
    assert (other["name"], other["patient"], other["organ"]) == ("other image", "other", "lung")
    assert first["dice"] == first["accuracy"] == 1
    assert other["dice"] == pytest.approx(2 / 3)
    assert other["iou"] == other["recall"] == pytest.approx(1 / 2)
    assert other["precision"] == 1
    assert other["accuracy"] == pytest.approx(3 / 4)
    assert third["dice"] == third["accuracy"] == 0
    assert first["loss"] == pytest.approx(-np.log(0.8), rel=1e-5)
    assert other["loss"] == pytest.approx(-0.75 * np.log(0.8) - 0.25 * np.log(0.2), rel=1e-5)
    at_nuclei, elsewhere = (2 * 0.8 + 1) / (1 + 0.8**2 + 1), 1 / (0.2**2 + 1)
    assert first["soft_dice_per_pixel"] == pytest.approx((at_nuclei + elsewhere) / 2)


def test_mean_pooled_and_organs_differ_as_they_should(report):
    dice = [1, 2 / 3, 0]
    assert report["mean"]["dice"]["mean"] == pytest.approx(np.mean(dice))
    low, high = intervals.bootstrap_interval(dice)
    assert report["mean"]["dice"]["low"] == pytest.approx(low)
    assert report["mean"]["dice"]["high"] == pytest.approx(high)
    # In units of 15,000 pixels: TP 2 + 1 + 0, FP 0 + 0 + 1, FN 0 + 1 + 1; 7 right and 3 wrong.
    assert report["pooled"]["dice"] == pytest.approx(2 * 3 / (2 * 3 + 1 + 2))
    loss = -(7 * np.log(0.8) + 3 * np.log(0.2)) / 10
    assert report["pooled"]["loss"] == pytest.approx(loss, rel=1e-5)
    assert list(report["organs"]) == ["brain", "lung"]
    assert report["organs"]["lung"]["images"] == 2
    assert report["organs"]["lung"]["dice"] == pytest.approx((1 + 2 / 3) / 2)


def test_the_time_of_an_image_is_that_of_the_median(samples, monkeypatch):
    monkeypatch.setattr(evaluation, "perf_counter", iter([0, 9, 10, 11, 20, 22]).__next__)
    report = evaluation.evaluate(Red(), samples, progress=False, whole_only=True)
    assert report["seconds_per_image"] == 2


def test_patches_are_cut_as_in_training_and_pooled(report, samples):
    assert report["patches"]["count"] == 2 + 2 + 1  # 300 x 200 pixels: two patches down
    truth = np.concatenate([patches.cut(one.mask) for one in samples])
    red = np.concatenate([patches.cut(one.image[..., 0]) for one in samples])
    expected = pixels.confusion(red > 128, truth).scores()
    assert report["patches"]["dice"] == pytest.approx(expected.dice)
    assert report["patches"]["accuracy"] == pytest.approx(expected.accuracy)
    loss = pixels.binary_cross_entropy(red / 255, truth)
    assert report["patches"]["loss"] == pytest.approx(loss, rel=1e-5)


def test_patches_can_be_left_out(report, samples):
    short = evaluation.evaluate(Red(), samples, progress=False, whole_only=True)
    assert short.keys() == report.keys() - {"patches"}
    assert (short["mean"], short["pooled"]) == (report["mean"], report["pooled"])
    rows = [line.split("|")[1].strip() for line in evaluation.table(short).splitlines()]
    assert rows[2:] == [
        "Mean of 3 images",
        "95% interval",
        "Pooled pixels",
        "brain (1)",
        "lung (2)",
    ]


def test_one_image_has_no_interval(samples):
    report = evaluation.evaluate(Red(), samples[:1], progress=False)
    differences = evaluation.compare(report, report)
    assert "95% interval" not in evaluation.table(report)
    assert len(evaluation.comparison_table(differences, 1).splitlines()) == 3
    of_several = evaluation.comparison_table(differences, 6)
    assert "95% interval" in of_several and "p (Wilcoxon)" in of_several


def test_threshold_is_where_nuclei_begin():
    truth = chequered(50, 50)  # all of it could be one nucleus
    small = [sample("small", "lung", truth, truth)]
    report = evaluation.evaluate(Red(), small, threshold=0.9, progress=False)
    assert report["threshold"] == 0.9
    assert report["pooled"]["recall"] == report["patches"]["recall"] == 0
    for begin in (0.1, np.float32(204) / 255):  # that of the nuclei itself
        report = evaluation.evaluate(Red(), small, threshold=begin, progress=False)
        assert report["pooled"]["recall"] == report["patches"]["recall"] == 1
    report = evaluation.evaluate(Red(), small, threshold=0.1, progress=False)
    assert report["pooled"]["precision"] == pytest.approx(0.5)


def test_report_survives_json(report):
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["model"] == "red"
    assert report["seconds_per_image"] > 0


def test_table_is_aligned_markdown_with_every_row(report):
    lines = evaluation.table(report).splitlines()
    assert len({len(line) for line in lines}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [row[0] for row in cells] == [
        "",
        "---" + "-" * (len(cells[1][0]) - 3),
        "Mean of 3 images",
        "95% interval",
        "Pooled pixels",
        "5 patches, pooled",
        "brain (1)",
        "lung (2)",
    ]
    assert cells[0][1] == "Dice (= F1)"
    assert cells[2][1] == f"{report['mean']['dice']['mean']:.3f}" == "0.556"
    assert cells[3][1].endswith("to 1.000")
    assert cells[7][1] == "0.833"


def test_no_images_get_a_sentence():
    with pytest.raises(InputError, match="no images to evaluate"):
        evaluation.evaluate(Red(), [], progress=False)


class DarkOrRed(Red):
    """Black is a nucleus, as to a network, and so is the red of the test below."""

    def predict_on_batch(self, batch):
        return np.float32((batch[..., 1:2] < 50) | (batch[..., :1] == 204))


def test_what_is_too_large_for_a_nucleus_is_none_as_with_predict():
    truth = np.zeros((300, 300), bool)
    truth[50:100, 50:100] = True
    found = truth.copy()
    found[150:] = True
    (scores,) = evaluation.evaluate(Red(), [sample("a", "", found, truth)], progress=False)[
        "images"
    ]
    assert scores["dice"] == 1


def test_black_borders_are_no_nuclei_as_with_predict():
    truth = np.zeros((300, 300), bool)
    truth[50:100, 50:100] = True
    image = np.full((*truth.shape, 3), (150, 90, 150), np.uint8)
    image[truth, 0] = 204
    image[:, 150:] = 0
    assert windows.predict(DarkOrRed(), image)[:, 150:].all()
    framed = Sample("framed", "framed", "", image, truth, None)
    (scores,) = evaluation.evaluate(DarkOrRed(), [framed], progress=False)["images"]
    assert scores["dice"] == 1


def test_images_of_any_size_are_scored(samples, monkeypatch):
    monkeypatch.setattr(resolution, "LARGE", 40_000)
    evaluation.evaluate(Red(), samples, progress=False)


class TestNuclei:
    @pytest.fixture
    def labelled(self):
        """Two images of two nuclei each; in the second one of them is missed."""
        labels = np.zeros((100, 120), np.int32)
        labels[20:40, 20:40] = 1
        labels[60:80, 60:90] = 2
        predicted = np.stack([labels > 0, labels == 2])
        samples = [
            sample(name, "lung", mask, labels > 0)
            for name, mask in zip("ab", predicted, strict=True)
        ]
        return [replace(one, labels=labels) for one in samples]

    def test_nuclei_are_scored_where_images_have_labels(self, labelled):
        report = evaluation.evaluate(Red(), labelled, progress=False)
        whole, missed = report["images"]
        assert whole["aji"] == whole["pq"] == 1
        assert (missed["predicted"], missed["true"]) == (1, 2)
        assert missed["aji"] == pytest.approx(600 / 1000)
        assert missed["pq"] == missed["dq"] == pytest.approx(2 / 3)
        assert report["mean"]["aji"]["mean"] == pytest.approx(0.8)
        assert report["organs"]["lung"]["aji"] == pytest.approx(0.8)
        heading, _, mean, *_ = evaluation.table(report).splitlines()
        assert [cell.strip() for cell in heading.split("|")[-4:-1]] == ["AJI", "AJI, shared", "PQ"]
        assert "0.800" in mean.split("|")[-3]

    def test_one_image_without_labels_leaves_the_nuclei_out(self, labelled, samples):
        report = evaluation.evaluate(Red(), [labelled[0], samples[0]], progress=False)
        assert "aji" not in report["mean"] and "AJI" not in evaluation.table(report)


def test_augmentation_reaches_the_prediction_of_whole_images(samples, monkeypatch):
    asked, original = [], windows.predict_maps

    def watched(model, image, augment, **options):
        asked.append(augment)
        return original(model, image, augment=augment, **options)

    monkeypatch.setattr(windows, "predict_maps", watched)
    for augment in (False, True):
        evaluation.evaluate(Red(), samples[:1], augment=augment, progress=False)
    assert asked == [False, True]
