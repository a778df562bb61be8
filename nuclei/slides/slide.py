"""Read any part of a slide at the resolution that the networks were trained at."""

import math

import cv2
import numpy as np
from PIL import Image

from ..atomic import expand
from ..errors import SlideError
from ..images.resolution import MPP, predicted_at
from . import resolution
from .readers import open_levels

OVERVIEW = 8.0
"""Micrometres per pixel of the overview: a nucleus is about one pixel, a tile 32 x 32 pixels."""


class Slide:
    """A slide at the resolution that the networks were trained at, 0.25 um per pixel.

    The pyramid level with the nearest resolution is read, and scaled if it differs.

    Parameters
    ----------
    path : str or Path
        A slide that OpenSlide opens, or a plain or pyramidal TIFF of 8-bit RGB. If a file says
        which part of it was scanned, that part is the slide.
    mpp : float, optional
        Micrometres per pixel of the slide's finest level; by default those in the file.

    Attributes
    ----------
    shape : tuple of int
        Height and width in pixels, at the resolution that is read.
    mpp : float
        Micrometres per pixel that are read: 0.25, or within 5% of it.
    scale : float
        Side of such a pixel in pixels of the finest level.
    offset : tuple of int
        The x and y of the corner of the slide in the file, in pixels of the finest level; (0, 0)
        unless only a part of the file was scanned.

    Raises
    ------
    SlideError
        If the file is missing, damaged, not a slide or not 8-bit RGB, or its resolution is unknown
        or implausible.
    """

    def __init__(self, path, mpp=None):
        self.path = expand(path)
        self._levels = open_levels(self.path)
        self.offset = self._levels.offset
        finest = resolution.choose(self.path, mpp, self._levels.stated, self._levels.sizes[0])
        self._resolutions = [finest * factor for factor in self._levels.downsamples]
        self._level = _nearest(self._resolutions, MPP)
        level = self._resolutions[self._level]
        self.mpp = predicted_at(level)
        self.scale = self.mpp / finest
        self._step = self.mpp / level
        self.shape = tuple(max(1, int(n / self._step)) for n in self._levels.sizes[self._level])

    def read(self, top, left, height, width):
        """Read a part of the slide.

        Parameters
        ----------
        top, left, height, width : int
            In pixels, as for `shape`. Pixels beyond the border of the slide are mirrored, as in
            `windows.predict_maps`.

        Returns
        -------
        ndarray of uint8, shape (height, width, 3)
            RGB. What was not scanned is white.

        Raises
        ------
        SlideError
            If a tile of the file is damaged.
        """
        rows, columns = _within(top, height, self.shape[0]), _within(left, width, self.shape[1])
        image = self._read(rows[0], columns[0], rows[1] - rows[0], columns[1] - columns[0])
        before = rows[0] - top, columns[0] - left
        after = top + height - rows[1], left + width - columns[1]
        beyond = *zip(before, after, strict=True), (0, 0)
        return np.pad(image, beyond, mode="reflect") if np.any(beyond) else image

    def overview(self, mpp=OVERVIEW):
        """Read the whole slide at a low resolution, piece by piece to save memory.

        Parameters
        ----------
        mpp : float
            Micrometres per pixel of the overview.

        Returns
        -------
        image : ndarray of uint8, shape (H, W, 3)
            RGB; white where the file could not be read.
        readable : ndarray of bool, shape (H, W)
            True where the file could be read.
        """
        finer = [i for i, r in enumerate(self._resolutions) if r <= mpp]
        level = finer[-1] if finer else 0
        step = max(1.0, mpp / self._resolutions[level])
        size = self._levels.sizes[level]
        shape = [max(1, int(length / step)) for length in size]
        image = np.full((*shape, 3), 255, np.uint8)
        readable = np.zeros(shape, bool)
        piece = max(1, int(2048 / step))
        for top in range(0, shape[0], piece):
            for left in range(0, shape[1], piece):
                here = np.s_[top : top + piece, left : left + piece]
                height, width = readable[here].shape
                corner = int(top * step), int(left * step)
                extent = max(1, int(height * step)), max(1, int(width * step))
                try:
                    region = self._levels.read(level, *corner, *extent)
                except SlideError:
                    continue
                image[here] = cv2.resize(region, (width, height), interpolation=cv2.INTER_AREA)
                readable[here] = True
        return image, readable

    def _read(self, top, left, height, width):
        """Read a part within the slide."""
        if self._step == 1:
            return self._levels.read(self._level, top, left, height, width)
        # Find the corners in the level, and add a rim as wide as the scaling filter.
        size, rim = self._levels.sizes[self._level], 2 + math.ceil(self._step)
        y0, x0, y1, x1 = (n * self._step for n in (top, left, top + height, left + width))
        rows = _within(int(y0) - rim, math.ceil(y1 - int(y0)) + 2 * rim, size[0])
        columns = _within(int(x0) - rim, math.ceil(x1 - int(x0)) + 2 * rim, size[1])
        extent = rows[1] - rows[0], columns[1] - columns[0]
        region = self._levels.read(self._level, rows[0], columns[0], *extent)
        box = x0 - columns[0], y0 - rows[0], x1 - columns[0], y1 - rows[0]
        box = *box[:2], min(box[2], extent[1]), min(box[3], extent[0])
        scaled = Image.fromarray(region).resize((width, height), Image.Resampling.BILINEAR, box)
        return np.asarray(scaled)


def _nearest(resolutions, wanted):
    return min(range(len(resolutions)), key=lambda i: abs(math.log(resolutions[i] / wanted)))


def _within(start, length, limit):
    """First and last + 1 of a range of pixels, clipped to the axis; at least one pixel."""
    first = min(max(0, start), limit - 1)
    return first, max(first + 1, min(limit, start + length))
