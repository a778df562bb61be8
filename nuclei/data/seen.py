"""What a model was trained on, so that another one that starts from it is not scored on that."""

import hashlib

from ..errors import InputError
from ..modelfiles import find, read_metrics
from . import monuseg, signatures
from .overlap import Reduced


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
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()[:16]


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
        As for `modelfiles.find`.

    Returns
    -------
    set of str
        Empty if there is no such model, or no record of its training.
    """
    try:
        metrics = read_metrics(find(name))
        kinds = "train_patients", "train_pixels", "start_seen"
        return {one for kind in kinds for one in metrics.get(kind, ())}
    except (InputError, TypeError, AttributeError):
        return set()


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
        if seen & {sample.patient, shown, digest(sample.image)}:
            yield sample.name
