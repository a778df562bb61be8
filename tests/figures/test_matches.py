"""Nuclei are found, false or missed, and drawn so."""

import numpy as np
from red import Red

from nuclei.data.dataset import Sample
from nuclei.figures import matches


def square(number, top, left, side):
    labels = np.zeros((60, 60), np.int32)
    labels[top : top + side, left : left + side] = number
    return labels


def test_nuclei_are_sorted_by_their_overlap():
    prediction = square(7, 0, 0, 10) + square(2, 20, 20, 10) + square(9, 40, 40, 10)
    # The first fits but for a row; of the second less than half; the third is not there.
    truth = square(3, 1, 0, 10) + square(8, 24, 24, 10) + square(5, 40, 0, 10)
    found, false, missed = matches.compare(prediction, truth)
    np.testing.assert_array_equal(found, square(7, 0, 0, 10))
    np.testing.assert_array_equal(false, square(2, 20, 20, 10) + square(9, 40, 40, 10))
    np.testing.assert_array_equal(missed, square(8, 24, 24, 10) + square(5, 40, 0, 10))


def test_nothing_is_found_where_nothing_is_predicted():
    empty, truth = np.zeros((60, 60), np.int32), square(3, 1, 0, 10)
    found, false, missed = matches.compare(empty, truth)
    assert not found.any() and not false.any()
    np.testing.assert_array_equal(missed, truth)


def test_best_median_and_worst_are_shown_with_their_numbers_of_nuclei():
    truth = square(1, 10, 10, 20) + square(2, 40, 40, 15)
    predicted = square(1, 10, 10, 20) + square(2, 5, 45, 12)
    image = np.full((*truth.shape, 3), (60, 60, 120), np.uint8)
    image[predicted > 0, 0] = 230
    samples = [Sample(name, name, name, image, truth > 0, truth) for name in ("a", "b", "c", "d")]
    images = [{"pq": pq} for pq in (0.5, 0.9, 0.2, 0.6)]
    figure = matches.best_median_worst(
        Red(), samples, {"images": images, "threshold": 0.5}, "Title", crop=60
    )
    titles = [axis.get_title() for axis in figure.axes]
    counts = "1 found, 1 false, 1 missed"
    assert titles == [f"{organ}, PQ {pq}\n{counts}" for organ, pq in
                      (("b", "0.900"), ("a", "0.500"), ("c", "0.200"))]  # fmt: skip
    assert figure.get_suptitle() == "Title: best, median and worst PQ"
    shown = {tuple(color) for color in figure.axes[0].images[0].get_array().reshape(-1, 3)}
    assert {matches.FOUND, matches.FALSE, matches.MISSED} <= shown
