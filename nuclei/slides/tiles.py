"""The grid of square tiles in which a slide is processed."""

from dataclasses import dataclass
from itertools import product

SIDE = 1024
"""Side of a tile in pixels."""

HALO = 64
"""Pixels around a tile that the network sees too. The network's zero padding affects fewer pixels:
with a halo of 64, at least 99% of the nuclei are the same as when the slide is predicted at once.
The halo (16 um) is wider than most nuclei, so those with their centre in the tile end within it."""


@dataclass(frozen=True)
class TileGrid:
    """The position of each tile of a slide. A tile is identified by its row and column.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the slide in pixels.
    """

    shape: tuple

    def __iter__(self):
        """Iterate over all tiles, row by row."""
        height, width = self.shape
        return product(range(-(-height // SIDE)), range(-(-width // SIDE)))

    def core(self, tile):
        """Top, left, height and width of a tile. Cores do not overlap, and cover the slide."""
        top, left = (index * SIDE for index in tile)
        return top, left, min(SIDE, self.shape[0] - top), min(SIDE, self.shape[1] - left)

    def window(self, tile):
        """Top, left, height and width of a tile with its halo, clipped to the slide."""
        top, left, height, width = self.core(tile)
        rows = max(0, top - HALO), min(self.shape[0], top + height + HALO)
        columns = max(0, left - HALO), min(self.shape[1], left + width + HALO)
        return rows[0], columns[0], rows[1] - rows[0], columns[1] - columns[0]

    @staticmethod
    def view(tile):
        """Top, left, height and width of a tile with its halo, not clipped to the slide."""
        top, left = (index * SIDE - HALO for index in tile)
        return top, left, SIDE + 2 * HALO, SIDE + 2 * HALO

    @staticmethod
    def neighbours(tile):
        """The eight tiles around one; some may lie beyond the slide."""
        row, column = tile
        around = product((row - 1, row, row + 1), (column - 1, column, column + 1))
        return [other for other in around if other != tile]
