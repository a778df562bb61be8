"""What cannot be a nucleus: ink of pens, black borders, glass, and objects that are too large.

Colours are judged as optical densities, smoothed over a few micrometres, so that a single pixel
decides nothing. `experiments/artefacts.py` measures how far MoNuSeg is from each limit.
"""

import cv2
import numpy as np

from ..data.sizes import LARGEST
from ..data.stains import optical_density
from . import confidence, instances

INK_MPP, GLASS_MPP = 2.0, 8.0
"""Micrometres per pixel at which ink and glass are looked for."""

BLACK, BLUE, GREEN, RED = 1.8, 0.9, 0.3, 1.2
"""Limits of `ink`. In trainval of MoNuSeg, nuclei reach 1.47, 0.51, 0.00 and 0.82."""

ALIKE = 0.7
"""What absorbs all colours is black only if the lowest optical density is at least this share of
the highest. Dark tissue absorbs green far more, however strong its stain or dark its scan."""

WORN = 0.8
"""Share of a limit from which colour belongs to the ink that it touches, as in uneven strokes."""

STAINED = 0.04
"""Stained tissue is where the optical densities of two channels differ by more; glass is grey."""

PALE = 0.1
"""Optical density up to which an image without colour shows glass: that of a grey of 231."""

FAINT, EVEN, WIDE = 0.3, 0.01, 0.3
"""The brightest colour of an image is that of its glass if its optical densities are up to `FAINT`,
and those of a share of `WIDE` of the image differ by up to `EVEN`. Tissue is not so even."""

SAMPLED = 256
"""Rows or columns of an overview that are enough to know its glass; more cost memory."""

WHITE = np.uint8(243)
"""Grey of the glass that covers ink."""

NOTABLE = 0.05
"""Share of an image that is left out, above which it is said."""


def smooth_density(image):
    """Optical density of an image, smoothed over a pixel.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB, at `INK_MPP` or `GLASS_MPP`.

    Returns
    -------
    ndarray of float32, shape (H, W, 3)
    """
    return optical_density(cv2.GaussianBlur(image, (0, 0), 1))


def ink(density):
    """Compare the colours of an image with those of ink.

    Haematoxylin and eosin absorb green most. Ink of pens absorbs other colours more: blue ink
    absorbs red far more than blue, green ink red more than green, red ink blue far more than red.
    Black ink, and black areas, absorb all alike.

    Parameters
    ----------
    density : ndarray of float32, shape (H, W, 3)
        From `smooth_density`.

    Returns
    -------
    ndarray of float32, shape (H, W)
        How far the limit of one of the four colours is reached: from 1 up it is ink.
    """
    red, green, blue = cv2.split(density)
    lowest, highest = _extremes(density)
    shares = (
        np.where(lowest >= ALIKE * highest, lowest, 0) / BLACK,
        (red - blue) / BLUE,
        (red - green) / GREEN,
        (blue - red) / RED,
    )
    return np.maximum.reduce(shares)


def near_ink(density):
    """Find ink and black areas in an overview, and 16 um around them, where they mix with glass.

    Parameters
    ----------
    density : ndarray of float32, shape (H, W, 3)
        From `smooth_density`, at `GLASS_MPP`.

    Returns
    -------
    ndarray of bool, shape (H, W)
    """
    return cv2.dilate((ink(density) >= 1).astype(np.uint8), np.ones((5, 5))) > 0


def tint(density):
    """Measure the colour that light which is not white gives to glass.

    Parameters
    ----------
    density : ndarray of float32, shape (H, W, 3)
        From `smooth_density`.

    Returns
    -------
    ndarray of float32, shape (3,)
        Optical densities of the glass; 0 if there is too little of it to know.
    """
    step = max(1, min(density.shape[:2]) // SAMPLED)
    sample = density[::step, ::step].reshape(-1, 3)
    highest = sample.max(axis=1)
    brightest = np.median(sample[highest <= np.percentile(highest, 5)], axis=0)
    alike = np.abs(sample - brightest).max(axis=1) <= EVEN
    is_glass = brightest.max() <= FAINT and alike.mean() >= WIDE
    return brightest * np.float32(is_glass)


def find_stain(image, density):
    """Find stained tissue by its colour; glass, dust and the dark rim of a scan are grey.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB, at `GLASS_MPP`.
    density : ndarray of float32, shape (H, W, 3)
        From `smooth_density`.

    Returns
    -------
    ndarray of bool, shape (H, W), or None
        True also for coloured ink. None if the image says nothing about stain: greys, also those
        with a slight tint or noise if most of them are too dark for glass. Those that are bright
        are taken for glass with dust.
    """
    density = density - tint(density)
    lowest, highest = _extremes(density)
    stained = highest - lowest > STAINED
    if stained.any() or (np.ptp(image, axis=-1).any() and np.median(density) <= PALE):
        return stained
    return None


def find_ink(image, mpp):
    """Find strokes of pens, black borders and other black areas.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    mpp : float
        Micrometres per pixel.

    Returns
    -------
    ndarray of bool, shape (H, W)
        True in ink and 4 um around it. Spots that are no larger than a nucleus can be, `LARGEST`,
        are left out, unless they fill a quarter of the image.
    """
    strength = ink(smooth_density(shrunk(image, mpp, INK_MPP)))
    certain = strength >= 1
    if not certain.any():
        return np.zeros(image.shape[:2], bool)
    count, pieces = cv2.connectedComponents((strength >= WORN).astype(np.uint8))
    sizes = np.bincount(pieces[certain], minlength=count)
    large = sizes >= min(LARGEST / INK_MPP**2, certain.size / 4)
    return _enlarged(cv2.dilate(large[pieces].astype(np.uint8), np.ones((5, 5))), image)


def cover_ink(image, mpp):
    """Replace ink and black areas by white, because networks also err beside them.

    Parameters
    ----------
    image, mpp
        As for `find_ink`.

    Returns
    -------
    covered : ndarray of uint8, shape (H, W, 3)
        A copy; the image itself if it has no ink.
    ink : ndarray of bool, shape (H, W)
        From `find_ink`.
    """
    ink = find_ink(image, mpp)
    return np.where(ink[..., None], WHITE, image) if ink.any() else image, ink


def find_glass(image, mpp):
    """Find areas without stain, in which dust can look like nuclei.

    Parameters
    ----------
    image, mpp
        As for `find_ink`.

    Returns
    -------
    ndarray of bool, shape (H, W)
        True where nothing within about 16 um is stained; False everywhere if the image says nothing
        about stain.
    """
    small = shrunk(image, mpp, GLASS_MPP)
    stained = find_stain(small, smooth_density(small))
    if stained is None:
        return np.zeros(image.shape[:2], bool)
    return ~_enlarged(cv2.dilate(stained.astype(np.uint8), np.ones((3, 3))), image)


def nuclei_in_tissue(
    maps, covered, ink, mpp, threshold=0.5, min_score=confidence.MIN_SCORE, cut=()
):
    """Separate the nuclei of an image, without what cannot be one.

    Parameters
    ----------
    maps : ndarray of float32, shape (H, W, C)
        From `windows.predict_maps` of `covered`; set to 0 where there can be no nuclei.
    covered, ink : ndarray
        From `cover_ink`, at about 0.25 um per pixel.
    mpp : float
        Micrometres per pixel.
    threshold : float
        A pixel belongs to a nucleus from this probability up.
    min_score : float
        Nuclei with a lower score are left out; 0 keeps all.
    cut : sequence of index expressions
        Rows and columns at which objects may go on outside the image. Those that touch them are too
        large from half the size on: the other half may lie outside.

    Returns
    -------
    labels : ndarray of int32, shape (H, W)
    scores : ndarray of float64, shape (N,)
        Both as from `instances.separate`.
    excluded : ndarray of bool, shape (H, W)
        True in ink, and in objects that are too large.
    """
    maps[ink | find_glass(covered, mpp)] = 0
    labels, scores = instances.separate(maps, threshold, min_score=min_score)
    sizes = np.bincount(labels.ravel())
    limits = np.full(len(sizes), LARGEST / mpp**2)
    for side in cut:
        limits[labels[side]] = LARGEST / mpp**2 / 2
    large = sizes > limits
    large[0] = False  # the background
    if not large.any():
        return labels, scores, ink
    excluded = large[labels]
    maps[excluded] = 0
    return instances.renumber(labels, ~large), scores[~large[1:]], ink | excluded


def notice(name, share):
    """Say that a considerable part of an image was left out.

    Parameters
    ----------
    name : str or Path
    share : float
        0 to 1.

    Returns
    -------
    str or None
        None if the share is small.
    """
    if share <= NOTABLE:
        return None
    return f"{name}: {share:.0%} was left out, as ink, black or too large for nuclei."


def _extremes(density):
    """The lowest and the highest of the three optical densities of each pixel."""
    red, green, blue = cv2.split(density)
    return np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)


def shrunk(image, mpp, wanted):
    """Reduce an image to a resolution; finer than its own it is left as it is."""
    factor = min(1, mpp / wanted)
    size = [max(1, round(length * factor)) for length in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _enlarged(mask, image):
    return cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
