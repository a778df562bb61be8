"""Find the nuclei of an image of any resolution, stain and scanner: `predict_image`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..images import read_mpp, read_rgb, resolution
from ..images.scaling import nearest, resize
from . import artefacts, confidence, instances, stain_strength, windows


@dataclass(frozen=True)
class Prediction:
    """The nuclei of an image, in its own pixels.

    Attributes
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    mpp : float
        Micrometres per pixel of the image.
    probability : ndarray of float32, shape (H, W)
        In [0, 1]; 0 where there can be no nuclei.
    mask : ndarray of bool, shape (H, W)
        True inside nuclei.
    labels : ndarray of int32, shape (H, W)
        0 = background, 1..N = one nucleus each, connected.
    scores : ndarray of float64, shape (N,)
        How likely each of them is a nucleus, 0 to 1; see `confidence`.
    excluded : ndarray of bool, shape (H, W)
        True in ink, black areas and objects that are too large, where there can be no nuclei.
    stain : float
        By how much the optical densities were multiplied for the network, see `stain_strength`.
    """

    image: np.ndarray
    mpp: float
    probability: np.ndarray
    mask: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    excluded: np.ndarray
    stain: float

    def notices(self, name):
        """Say what of the image `name` was left out, and whether it was predicted in another stain.

        Returns
        -------
        list of str
            Sentences.
        """
        left_out = artefacts.notice(name, self.excluded.mean())
        return [said for said in (left_out, stain_strength.notice(name, self.stain)) if said]


@dataclass(frozen=True)
class Maps:
    """What a network says of an image, before nuclei are separated.

    Attributes
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB, with its own pixels.
    mpp : float
        Micrometres per pixel of the image.
    covered : ndarray of uint8, shape (h, w, 3)
        The image, scaled to `mpp_used`, with ink covered.
    ink : ndarray of bool, shape (h, w)
        True in ink.
    mpp_used : float
        Micrometres per pixel at which it was predicted.
    stain : float
        By how much its optical densities were multiplied for the network.
    values : ndarray of float32, shape (h, w, C)
        From `windows.predict_maps`.
    """

    image: np.ndarray
    mpp: float
    covered: np.ndarray
    ink: np.ndarray
    mpp_used: float
    stain: float
    values: np.ndarray


def predict_image(
    model,
    image,
    mpp=None,
    *,
    threshold=0.5,
    min_score=confidence.MIN_SCORE,
    augment=False,
    progress=False,
):
    """Find the nuclei of an image.

    The networks were trained at 0.25 um per pixel. An image of another resolution is scaled to it
    for the prediction, and the result is scaled back, unless the two differ by less than 5%.

    Parameters
    ----------
    model : keras.Model
        As for `windows.predict_maps`.
    image : str, Path or ndarray of uint8, shape (H, W, 3)
        A file, as for `images.read_rgb`, or RGB.
    mpp : float, optional
        Micrometres per pixel of the image. By default those in its file, see `images.read_mpp`, or
        0.25 if they are unknown.
    threshold : float
        A pixel belongs to a nucleus from this probability up.
    min_score : float
        Nuclei with a lower score are left out; 0 keeps all.
    augment, progress
        As for `windows.predict_maps`.

    Returns
    -------
    Prediction

    Raises
    ------
    InputError
        If the file cannot be read, the image is not 8-bit RGB or has more than `resolution.LARGE`
        pixels where it is predicted, its pixels are not square, or `mpp` is implausible. RGB in
        memory may have more, if it is not enlarged.

    Examples
    --------
    >>> found = predict_image(model, "my_tissue.png", mpp=0.5)  # doctest: +SKIP
    >>> found.labels.max()  # number of nuclei  # doctest: +SKIP
    """
    return find_nuclei(predict_maps(model, image, mpp, augment, progress), threshold, min_score)


def predict_maps(model, image, mpp=None, augment=False, progress=False):
    """Run the network on an image: the slow half of `predict_image`.

    Parameters
    ----------
    model, image, mpp, augment, progress
        As for `predict_image`.

    Returns
    -------
    Maps
        For `find_nuclei`, as often as one likes.

    Raises
    ------
    InputError
        As for `predict_image`.
    """
    # Annotated images are in memory whatever their size, and are scored.
    name, most = "The image", max(resolution.LARGE, np.size(image) // 3)
    if isinstance(image, (str, Path)):
        name, image = image, read_rgb(image)
        mpp = read_mpp(name) if mpp is None else mpp
    mpp = resolution.MPP if mpp is None else resolution.check(name, mpp)
    image = windows.checked(image)
    scaled, used = _scaled(image, mpp, name, most)
    covered, ink = artefacts.cover_ink(scaled, used)
    stain = stain_strength.factor(artefacts.shrunk(covered, used, artefacts.GLASS_MPP))
    seen = stain_strength.multiplied(covered, stain)
    values = windows.predict_maps(model, seen, augment=augment, progress=progress)
    return Maps(image, mpp, covered, ink, used, stain, values)


def find_nuclei(maps, threshold=0.5, min_score=confidence.MIN_SCORE):
    """Find the nuclei in maps of a network: the fast half of `predict_image`.

    Parameters
    ----------
    maps : Maps
        From `predict_maps`; they are not changed.
    threshold, min_score : float
        As for `predict_image`.

    Returns
    -------
    Prediction
    """
    image, shape = maps.image, maps.image.shape[:2]
    values = maps.values.copy()  # `nuclei_in_tissue` clears what is too large at this threshold
    labels, scores, excluded = artefacts.nuclei_in_tissue(
        values, maps.covered, maps.ink, maps.mpp_used, threshold, min_score
    )
    probability = np.ascontiguousarray(values[..., 0])
    if maps.mpp_used != maps.mpp:
        probability = resize(probability, shape)
        labels, excluded = (nearest(one, shape) for one in (labels, excluded))
        labels, kept = _connected(labels)
        scores = scores[kept - 1]
    mask = probability >= threshold
    return Prediction(image, maps.mpp, probability, mask, labels, scores, excluded, maps.stain)


def _scaled(image, mpp, name, most):
    """The image at the resolution at which it is predicted, and that resolution."""
    used = resolution.predicted_at(mpp)
    shape = [max(1, round(length * mpp / used)) for length in image.shape[:2]]
    if shape[0] * shape[1] > most:
        raise InputError(
            f"{name} has {shape[1]} x {shape[0]} pixels at {used:g} um per pixel, which is too "
            "large: cut it into smaller images, or save it as a pyramidal TIFF."
        )
    return image if used == mpp else resize(image, shape), used


def _connected(labels):
    """Keep the largest piece of each nucleus, and number the nuclei anew from 1.

    A nucleus that was thin somewhere can fall into pieces when it is scaled. Returns the labels
    and, for each new number, the old one.
    """
    from skimage.measure import label  # not at the top: few images need it, and it loads SciPy

    pieces = label(labels, connectivity=1)
    areas = np.bincount(pieces.ravel())
    owners = np.zeros(len(areas), np.int32)
    owners[pieces] = labels
    largest = np.zeros(labels.max() + 1, np.int64)
    by_area = np.argsort(areas, kind="stable")
    largest[owners[by_area]] = by_area  # the last one counts
    kept = largest[owners] == np.arange(len(owners))
    kept[0] = False
    return instances.renumber(pieces, kept), owners[kept]
