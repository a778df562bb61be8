"""Numbers on a whole slide: what two tiles have found is one nucleus."""

import numpy as np
import pytest

from nuclei.slides import rle, tile_nuclei
from nuclei.slides.merge import Numbering, duplicates
from nuclei.slides.tiles import TileGrid


class Job:
    """Two tiles side by side; `found` are the runs of each, in the place of files."""

    grid = TileGrid((1024, 2048))

    def __init__(self, *found):
        self.found = found

    def nuclei_file(self, tile):
        return self.found[tile[1]]


@pytest.fixture
def numbering(monkeypatch):
    def load(own, *names):
        return [own, np.full(own[:, 0].max(), 4)]

    monkeypatch.setattr(tile_nuclei, "load", load)
    return lambda *found: Numbering(Job(*found))


def squares(*corners, side=20):
    """Runs of squares, numbered from 1, by the top and left of each."""
    labels = np.zeros((1024, 2048), np.int32)
    for label, (top, left) in enumerate(corners, start=1):
        labels[top : top + side, left : left + side] = label
    return rle.encode(labels)


def test_what_two_tiles_have_found_has_one_number(numbering):
    left = squares((100, 500), (200, 1012), (300, 1016))
    right = squares((200, 1014), (500, 1016), (600, 1500))  # the first is the left one's second
    both = numbering(left, right)
    np.testing.assert_array_equal(both.add((0, 0)), [0, 1, 2, 3])
    numbers = both.add((0, 1))
    np.testing.assert_array_equal(numbers, [0, 0, 4, 5])
    assert numbers.dtype == np.uint32 and both.count == 5


def test_neighbours_that_touch_are_two(numbering):
    both = numbering(squares((200, 1010)), squares((200, 1022)))  # 8 of 20 columns are common
    both.add((0, 0))
    np.testing.assert_array_equal(both.add((0, 1)), [0, 2])


def test_more_than_half_must_be_covered():
    window = 0, 0, 1024, 2048
    own = squares((100, 100), (200, 100))
    others = [squares((109, 100)), squares((211, 100))]  # 11 and 9 of 20 rows
    np.testing.assert_array_equal(duplicates(own, others, window), [1])
    assert not len(duplicates(own, [], window))
