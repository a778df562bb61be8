"""The grid of tiles: cores cover the slide once, windows and views reach beyond them."""

import numpy as np
import pytest

from nuclei.slides.tiles import HALO, SIDE, TileGrid


@pytest.mark.parametrize("shape", [(1, 1), (SIDE, SIDE), (SIDE + 1, 3 * SIDE - 1), (700, 2500)])
def test_cores_cover_every_pixel_once(shape):
    covered = np.zeros(shape, int)
    grid = TileGrid(shape)
    for tile in grid:
        top, left, height, width = grid.core(tile)
        assert height > 0 and width > 0
        covered[top : top + height, left : left + width] += 1
    assert (covered == 1).all()
    assert list(grid) == sorted(grid)


def test_a_window_is_the_core_and_its_halo_within_the_slide():
    grid = TileGrid((2 * SIDE + 100, 3 * SIDE))
    assert grid.window((1, 1)) == (SIDE - HALO, SIDE - HALO, SIDE + 2 * HALO, SIDE + 2 * HALO)
    assert grid.window((0, 2)) == (0, 2 * SIDE - HALO, SIDE + HALO, SIDE + HALO)
    assert grid.window((2, 0)) == (2 * SIDE - HALO, 0, 100 + HALO, SIDE + HALO)


def test_all_views_have_one_size_so_that_the_network_is_compiled_once():
    grid = TileGrid((SIDE + 5, 700))
    assert grid.view((0, 0)) == (-HALO, -HALO, SIDE + 2 * HALO, SIDE + 2 * HALO)
    assert {grid.view(tile)[2:] for tile in grid} == {(SIDE + 2 * HALO,) * 2}


def test_neighbours_are_the_eight_around():
    around = TileGrid((1, 1)).neighbours((3, 5))
    assert len(set(around)) == 8 and (3, 5) not in around
    assert all(abs(row - 3) <= 1 and abs(column - 5) <= 1 for row, column in around)
