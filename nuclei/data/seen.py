"""What a model was trained on, so that another one that starts from it is not scored on that."""

import hashlib
from contextlib import suppress

import numpy as np

from ..errors import InputError
from ..modelfiles import find, members, read_metrics
from . import monuseg, signatures, splits
from .overlap import Reduced

PIECES = round(1 / splits.SHARE)
"""Pieces of the longer side of an image, of which `splits` makes the parts."""


def digest(image):
    """A number for the pixels of an image, which tells nothing else about them.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        Or any other array.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    found = hashlib.sha256(repr(image.shape).encode())
    found.update(np.ascontiguousarray(image))  # without a copy: images are read in many threads
    return found.hexdigest()[:16]


def marks(sample):
    """What a record keeps of a sample, to know its pixels again at another scale or in other parts.

    Parameters
    ----------
    sample : Sample

    Returns
    -------
    list of str
        The digest of its file. Of a part of the file, one text for each of its `PIECES` instead.
    """
    whole = sample.digest or digest(sample.image)
    return _pieces(whole, sample.part) if sample.part else [whole]


def _pieces(whole, part=(0, 1)):
    first, stop = (round(end * PIECES) for end in part)
    return [f"{whole} {number}/{PIECES}" for number in range(first + 1, stop + 1)]


def fingerprint(samples):
    """A number for images and their annotations, in this order, which tells nothing else of them.

    Parameters
    ----------
    samples : sequence of Sample

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    parts = [(sample.image, sample.mask, sample.labels) for sample in samples]
    digests = [digest(part) for one in parts for part in one if part is not None]
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:16]


def read(name):
    """Patients and digests of images that a model, or one that it started from, was trained on.

    Parameters
    ----------
    name : str or Path
        As for `modelfiles.members`.

    Returns
    -------
    set of str
        Those of all models that predict together. A model that is not there, or has no record of
        its training, adds none.
    """
    found, kinds = set(), ("train_patients", "train_pixels", "start_seen")
    for member in members(name):
        with suppress(InputError, TypeError, AttributeError):
            metrics = read_metrics(find(member))
            found.update(one for kind in kinds for one in metrics.get(kind, ()))
    return found


def refuse(name, seen, splits):
    """Raise an InputError if a model was trained on what is held out now.

    Parameters
    ----------
    name : str
        The model.
    seen : set of str
        As from `read`.
    splits : dict of str to list of Sample
        All but "train" are held out.
    """
    for split, samples in splits.items():
        for known in among(seen, samples) if split != "train" else ():
            raise InputError(
                f"{name} was trained on {known}, which is in {split} here: start from another "
                "model, or move it to train."
            )


def among(seen, samples):
    """Names of the samples that a model was trained on, one after the other.

    Parameters
    ----------
    seen : set of str
        As from `read`.
    samples : sequence of Sample

    Yields
    ------
    str
    """
    for sample in samples:
        shown = monuseg.patient_in(signatures.identify(Reduced(sample.image)) or sample.name)
        whole = sample.digest or digest(sample.image)
        # Records before that of pieces have the digest of pixels that were scaled and cropped.
        pixels = {whole, digest(sample.image), *_pieces(whole, sample.part or (0, 1))}
        if seen & {sample.patient, shown, *pixels}:
            yield sample.name
