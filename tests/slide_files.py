"""Slides for the tests: of synthetic tissue, and of the kind that OpenSlide reads."""

import numpy as np
import tifffile

from nuclei.data import synthetic

GLASS = 243


def aperio(path, image, resolution=0.25):
    """Write what OpenSlide takes for an SVS of Aperio: levels as pages, told by a description."""
    options = {"tile": (256, 256), "compression": "jpeg", "photometric": "rgb", "metadata": None}
    height, width = image.shape[:2]
    text = f"Aperio Image Library v11\n{width}x{height} (256x256)|AppMag = 40|MPP = {resolution}"
    with tifffile.TiffWriter(path) as writer:
        writer.write(image, description=text, compressionargs={"level": 95}, **options)
        thumbnail = {**options, "tile": None, "rowsperstrip": 64}
        writer.write(image[::8, ::8], description="Aperio\nthumbnail", **thumbnail)
        writer.write(image[::4, ::4], description=text, **options)
    return path


def tissue(shape=(1300, 2300), seed=3):
    """Synthetic tissue on the left, crossing borders of tiles, and glass on the right and below.

    Returns
    -------
    image : ndarray of uint8, shape (H, W, 3)
    labels : ndarray of int32, shape (H, W)
    """
    image = np.full((*shape, 3), GLASS, np.uint8)
    labels = np.zeros(shape, np.int32)
    piece = tuple(min(length, limit) for length, limit in zip(shape, (1200, 1200), strict=True))
    image[: piece[0], : piece[1]], labels[: piece[0], : piece[1]] = synthetic.tissue(seed, piece)
    return image, labels


def painted(labels):
    """A picture whose red is 255 in nuclei and 60 in the tissue around them; glass is grey."""
    image = np.full((*labels.shape, 3), 120, np.uint8)
    rows, columns = (np.flatnonzero(labels.any(axis=axis)) for axis in (1, 0))
    here = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    image[here] = (60, 60, 120)
    image[labels > 0] = (255, 60, 120)
    return image
