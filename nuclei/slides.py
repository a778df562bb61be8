"""Whole slides: any part at one resolution, and where on them the tissue lies."""

import math
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from .files import SlideError
from .shapes import MICROMETRES_PER_PIXEL
from .slide_formats import open_levels

SIMILAR = 0.05
"""Resolutions that differ by less are taken as they are: interpolation would blur for nothing."""

OVERVIEW = 8.0
"""Micrometres per pixel of the overview: a nucleus is one pixel, a block of 1024 is 32."""

TISSUE = 0.04
"""Optical density by which one colour of stained tissue exceeds another; glass is grey."""


class Slide:
    """A slide at the resolution that networks were trained at.

    The level of its pyramid nearest to it is read, and scaled where it differs.

    Parameters
    ----------
    path : str or Path
        What OpenSlide opens, or a plain or pyramidal TIFF of 8-bit RGB.
    micrometres_per_pixel : float, optional
        Of the slide's finest level; by default as the file says.

    Attributes
    ----------
    shape : tuple of int
        Height and width, in pixels of the resolution that is read.
    micrometres_per_pixel : float
        That resolution: 0.25, or within 5% of it.
    scale : float
        Pixels of the finest level in one of these.

    Raises
    ------
    SlideError
        If the file is missing, damaged, no slide, not 8-bit RGB, or does not tell its resolution.
    """

    def __init__(self, path, micrometres_per_pixel=None):
        self.path = Path(path)
        self._levels = open_levels(self.path)
        finest = micrometres_per_pixel or self._levels.micrometres_per_pixel
        if finest is None:
            raise SlideError(
                f"{path} does not say its resolution: give it in micrometres per pixel, "
                "as in --mpp 0.25 for a scan at 40x."
            )
        self._resolutions = [finest * factor for factor in self._levels.downsamples]
        self._level = _nearest(self._resolutions, MICROMETRES_PER_PIXEL)
        level = self._resolutions[self._level]
        similar = abs(level / MICROMETRES_PER_PIXEL - 1) < SIMILAR
        self.micrometres_per_pixel = level if similar else MICROMETRES_PER_PIXEL
        self.scale = self.micrometres_per_pixel / finest
        self._step = self.micrometres_per_pixel / level
        self.shape = tuple(max(1, int(n / self._step)) for n in self._levels.sizes[self._level])

    def read(self, top, left, height, width):
        """Read a part of the slide.

        Parameters
        ----------
        top, left, height, width : int
            In pixels of `shape`. What lies beyond the slide is its mirror image, as in
            `inference.predict_maps`.

        Returns
        -------
        ndarray of uint8, shape (height, width, 3)
            RGB.

        Raises
        ------
        SlideError
            If a tile of the file is damaged or missing.
        """
        rows, columns = _within(top, height, self.shape[0]), _within(left, width, self.shape[1])
        image = self._read(rows[0], columns[0], rows[1] - rows[0], columns[1] - columns[0])
        before = rows[0] - top, columns[0] - left
        after = top + height - rows[1], left + width - columns[1]
        beyond = *zip(before, after, strict=True), (0, 0)
        return np.pad(image, beyond, mode="reflect") if np.any(beyond) else image

    def overview(self, micrometres_per_pixel=OVERVIEW):
        """See the whole slide at a low resolution, read piece by piece in little memory.

        Returns
        -------
        image : ndarray of uint8, shape (H, W, 3)
            RGB; white where the file could not be read.
        readable : ndarray of bool, shape (H, W)
            Where it could.
        """
        finer = [i for i, r in enumerate(self._resolutions) if r <= micrometres_per_pixel]
        level = finer[-1] if finer else 0
        step = max(1.0, micrometres_per_pixel / self._resolutions[level])
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
        """Read what lies on the slide."""
        if self._step == 1:
            return self._levels.read(self._level, top, left, height, width)
        # Where the corners lie in the level, and with a rim as wide as the filter that scales.
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


def find_tissue(image):
    """Tell tissue from glass.

    Stains colour tissue, while glass, dust and the dark rim of a scan are grey; this needs no
    threshold that depends on how much of the slide is tissue, as that of Otsu does.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        An overview of a slide, RGB, about 8 um per pixel.

    Returns
    -------
    ndarray of bool, shape (H, W)
        Generous at its borders, and without specks of fewer than 12 pixels.
    """
    density = -np.log((cv2.GaussianBlur(image, (0, 0), 1).astype(np.float32) + 1) / 256)
    coloured = density.max(axis=-1) - density.min(axis=-1) > TISSUE
    count, pieces, statistics, _ = cv2.connectedComponentsWithStats(coloured.astype(np.uint8))
    large = statistics[:, cv2.CC_STAT_AREA] >= min(12, image.shape[0] * image.shape[1] / 4)
    large[0] = False
    return cv2.dilate(large[pieces].astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


def _nearest(resolutions, wanted):
    return min(range(len(resolutions)), key=lambda i: abs(math.log(resolutions[i] / wanted)))


def _within(start, length, limit):
    """Clip a stretch of an axis to what there is, at least one pixel of it."""
    first = min(max(0, start), limit - 1)
    return first, max(first + 1, min(limit, start + length))
