"""Maps of a network become nuclei, as often as one likes, in the pixels of the image."""

import numpy as np
import pytest

from nuclei.prediction.image import Maps, _connected, find_nuclei


def maps(mpp):
    """A nucleus with a long thin end and a round one, less certain, whose top lies lower."""
    y, x = np.mgrid[:80, :80]
    thin = (np.abs(x - 16) < 3) & (y >= 4) & (y < 50) | (np.hypot(y - 54, x - 16) < 12)
    values = np.where(thin, 0.9, 0).astype(np.float32)
    values[np.hypot(y - 20, x - 56) < 12] = 0.75
    image, covered = (
        np.full((side, side, 3), (235, 180, 220), np.uint8) for side in (round(20 / mpp), 80)
    )
    return Maps(image, mpp, covered, y >= 76, 0.25, 1.0, values[..., None])


@pytest.mark.parametrize("mpp", [0.25, 0.5, 0.125])
def test_a_score_stays_with_its_nucleus(mpp):
    found = find_nuclei(maps(mpp))
    thin, round_one = (found.labels[int(y / mpp), int(x / mpp)] for y, x in ((13, 4), (5, 14)))
    assert {thin, round_one} == {1, 2} and len(found.scores) == 2
    assert found.scores[thin - 1] > found.scores[round_one - 1]


def test_maps_stay_as_they_are_for_another_threshold():
    same = maps(0.25)
    same.values[70:] = 0.9  # partly in ink
    before = same.values.copy()
    first = find_nuclei(same)
    np.testing.assert_array_equal(same.values, before)
    assert first.excluded.any() and not first.mask[76:].any()


def test_a_pixel_belongs_to_a_nucleus_from_the_threshold_up():
    found = find_nuclei(maps(0.25), threshold=0.75)
    assert found.mask[20, 56] and found.labels[20, 56]


def test_of_the_pieces_of_a_nucleus_the_largest_stays():
    labels, old = _connected(np.array([[1, 0, 2, 2], [0, 1, 1, 0]], np.int32))
    assert labels.tolist() == [[0, 0, 1, 1], [0, 2, 2, 0]] and old.tolist() == [2, 1]
    labels, old = _connected(np.array([[3, 3, 0, 3]], np.int32))
    assert labels.tolist() == [[1, 1, 0, 0]] and old.tolist() == [3]
