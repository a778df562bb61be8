"""One image and its nuclei: predicted once, separated again at each setting."""

from functools import cached_property

import numpy as np

from ..data import synthetic
from ..errors import InputError, counted
from ..images import read_mpp, read_rgb
from ..images.resolution import MPP, predicted_at
from ..memory import NamedBytes
from ..prediction import measures
from ..prediction.confidence import MIN_SCORE
from ..prediction.image import find_nuclei

LARGEST_SIDE = 4000
"""Pixels of the longest side of an image on the page, also once it is scaled to be predicted: more
is slow to send to a browser, and takes more memory than docs/try_it.md says."""

EXAMPLES = {"Synthetic tissue 1": 1, "Synthetic tissue 2": 2, "Synthetic tissue 3": 3}
"""Names of the images that come with the code, and the seeds that they are drawn from."""

EXAMPLE_SHAPE = (600, 600)
"""Pixels of an example: drawn in about a second."""


def read(name, content):
    """Read an uploaded image, which is never written to a disk.

    Parameters
    ----------
    name : str
        Of the file, for messages.
    content : bytes-like
        PNG, TIFF or JPEG.

    Returns
    -------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    mpp : float
        Micrometres per pixel, as the file says, or 0.25.

    Raises
    ------
    InputError
        With the sentence of the command line if the file cannot be read, or as `check_size`.
    """
    file = NamedBytes(name, content)
    image, mpp = read_rgb(file), read_mpp(file) or MPP
    check_size(name, image, mpp)
    return image, mpp


def check_size(name, image, mpp):
    """Make sure that an image is not too large for the page, before it is predicted.

    Parameters
    ----------
    name : str
    image : ndarray of uint8, shape (H, W, 3)
    mpp : float
        Micrometres per pixel.

    Raises
    ------
    InputError
        If a side is longer than `LARGEST_SIDE`, or is once the image is scaled.
    """
    height, width = image.shape[:2]
    enlarged = mpp / predicted_at(mpp)
    if max(height, width) * max(1, enlarged) > LARGEST_SIDE:
        scaled = f", {width * enlarged:.0f} x {height * enlarged:.0f} at {MPP} um per pixel,"
        raise InputError(
            f"{name} has {width} x {height} pixels{scaled * (enlarged > 1)} and this page takes up "
            f"to {LARGEST_SIDE} x {LARGEST_SIDE}: cut it, or use `python -m nuclei predict`."
        )


def example(name):
    """Draw one of the `EXAMPLES`.

    Parameters
    ----------
    name : str

    Returns
    -------
    image : ndarray of uint8, shape (600, 600, 3)
        RGB.
    mpp : float
    """
    return synthetic.tissue(EXAMPLES[name], EXAMPLE_SHAPE)[0], MPP


class Work:
    """The nuclei of one image at one setting.

    Parameters
    ----------
    name : str
        Of the image.
    maps : prediction.image.Maps
    threshold, min_score : float
        As for `prediction.image.predict_image`.
    """

    def __init__(self, name, maps, threshold=0.5, min_score=MIN_SCORE):
        self.name, self.maps = name, maps
        self.threshold, self.min_score = threshold, min_score
        self.found = find_nuclei(maps, threshold, min_score)

    def at(self, threshold, min_score):
        """Separate the nuclei again, at another setting, without the network."""
        return Work(self.name, self.maps, threshold, min_score)

    @cached_property
    def rows(self):
        """One dict of measures per nucleus, as from `measures.measure`."""
        found = self.found
        return measures.measure(found.labels, found.image, found.mpp, "basic", found.scores)

    @cached_property
    def summary(self):
        """What the nuclei are like as a whole.

        Returns
        -------
        dict
            `nuclei`; `density_per_mm2`, without the area of ink and black borders; `area_um2`, the
            quartiles of the area as three numbers, or None without nuclei.
        """
        found = self.found
        areas = np.bincount(found.labels.ravel())[1:] * found.mpp**2
        tissue = max(1, np.count_nonzero(~found.excluded)) * found.mpp**2 / 1e6
        return {
            "nuclei": len(areas),
            "density_per_mm2": len(areas) / tissue,
            "area_um2": np.percentile(areas, [25, 50, 75]).tolist() if len(areas) else None,
        }

    def sentence(self):
        """The summary in words."""
        summary = self.summary
        text = f"{self.name}: {counted(summary['nuclei'], 'nucleus', 'nuclei')}"
        if summary["area_um2"]:
            low, median, high = summary["area_um2"]
            text += f", {summary['density_per_mm2']:,.0f} per mm\u00b2"
            text += (
                f", median area {median:.1f} \u00b5m\u00b2 (half of them {low:.1f} to {high:.1f})"
            )
        return text + "."

    def nucleus_at(self, x, y):
        """The number of the nucleus at a place in pixels; 0 if there is none."""
        height, width = self.found.labels.shape
        inside = 0 <= x < width and 0 <= y < height
        return int(self.found.labels[int(y), int(x)]) if inside else 0
