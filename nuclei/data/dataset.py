"""One annotated tissue image, read from its files and checked."""

from dataclasses import dataclass, replace

import numpy as np
from skimage.segmentation import relabel_sequential
from tqdm import tqdm

from ..errors import InputError, counted
from ..images import read_labels, read_mask, read_rgb
from ..images.scaling import nearest, resize
from . import annotations
from .stains import without_black

LIGHTER = 10
"""By how much nuclei may be lighter than the rest, of 255, before it is said. In all images of
MoNuSeg they are at least 28 darker."""


@dataclass(frozen=True)
class Sample:
    """One annotated tissue image.

    Attributes
    ----------
    name : str
        Name of the image, e.g. "TCGA-18-5592-01Z-00-DX1" in MoNuSeg.
    patient : str
        The patient, e.g. "TCGA-18-5592"; all images of a patient belong to one split.
    organ : str
        The organ, e.g. "kidney", or another group of images; "" if it is not known.
    image : ndarray of uint8, shape (H, W, 3)
        RGB at 40x, about 0.25 um per pixel.
    mask : ndarray of bool, shape (H, W)
        True inside nuclei.
    labels : ndarray of int32, shape (H, W), or None
        0 = background, 1..N = one nucleus each; None where only a binary mask is known.
    digest : str or None
        Of the pixels of its file, as from `seen.digest`; None where they are those of `image`.
    part : tuple of float or None
        The part of the longer side of the file that is here, from 0 to 1; None for all of it.
    """

    name: str
    patient: str
    organ: str
    image: np.ndarray
    mask: np.ndarray
    labels: np.ndarray | None
    digest: str | None = None
    part: tuple | None = None


def describe(splits):
    """Summarise the splits of a data set, and check that no patient is in two of them.

    Parameters
    ----------
    splits : dict of str to list of Sample
        The samples of each split.

    Returns
    -------
    str
        One line per split: number of images, percentage of pixels in nuclei, and organs.

    Raises
    ------
    InputError
        If a patient is in two splits: scores would then say nothing about new patients.

    Examples
    --------
    >>> image, mask = np.zeros((2, 2, 3), np.uint8), np.eye(2, dtype=bool)
    >>> print(describe({"train": [Sample("a", "a", "colon", image, mask, None)]}))
    train: 1 image, 50.0% nuclei; colon
    """
    refuse_shared_patients(splits)
    lines = []
    for split, samples in splits.items():
        number = counted(len(samples), "image")
        share = np.mean([sample.mask.mean() for sample in samples])
        organs = ", ".join(sorted({sample.organ for sample in samples} - {""}))
        lines.append(f"{split}: {number}, {share:.1%} nuclei" + f"; {organs}" * bool(organs))
    return "\n".join(lines)


def refuse_shared_patients(splits):
    """Raise an InputError if a patient is in two splits, of those that `describe` takes."""
    split_of = {}
    for split, samples in splits.items():
        for sample in samples:
            if (other := split_of.setdefault(sample.patient, split)) != split:
                raise InputError(
                    f"Patient {sample.patient} is in {other} and in {split}: keep all images of a "
                    "patient in one split."
                )


def read_sample(
    name,
    patient,
    organ,
    image,
    mask=None,
    labels=None,
    annotation=None,
    classes=None,
    say=tqdm.write,
):
    """Read one annotated image from its files.

    Parameters
    ----------
    name, patient, organ : str
        As in `Sample`.
    image : str, Path or binary file object
        RGB. Error messages name a file object by its `str()`.
    mask, labels, annotation : str, Path or binary file object, optional
        A mask, see `images.read_mask`; a label image, see `images.read_labels`; outlines, see
        `annotations.read`. At least one is needed. Labels are read from the label image if there
        is one, else drawn from the outlines. The mask is read from its file if there is one, else
        made from the labels. All must lie as viewers show the image.
    classes : collection of str, optional
        Of outlines, as for `annotations.read`.
    say : callable
        Takes a sentence if the nuclei are lighter than the rest, as they are if the mask is
        inverted. By default it is printed, also within a progress bar.

    Returns
    -------
    Sample

    Raises
    ------
    InputError
        If there is no mask, no label image and no annotation, if one of them differs in size from
        the image, or if a file cannot be read.
    """
    if not (mask or labels or annotation):
        raise InputError(
            f"{image} has no mask: add {name}_bin_mask.png, {name}_labels.png or {name}.xml."
        )
    pixels = read_rgb(image)
    shape = pixels.shape[:2]
    nuclei = None
    if labels:
        nuclei = _numbered(_checked(read_labels(labels), labels, shape))
    elif annotation:
        nuclei = annotations.read(annotation, shape, classes)
    inside = _checked(read_mask(mask), mask, shape) if mask else nuclei > 0
    if _is_lighter(inside, pixels):
        say(
            f"{mask or labels or annotation} marks what is lighter than the rest of {image}: check "
            "that it is not inverted and belongs to this image."
        )
    return Sample(name, patient, organ, pixels, inside, nuclei)


def scale(sample, factor):
    """Enlarge or reduce a sample.

    Parameters
    ----------
    sample : Sample
    factor : float
        2 gives twice as many pixels on each side.

    Returns
    -------
    Sample
        The image is averaged or interpolated; the mask and labels are those of the nearest pixels,
        and labels are numbered anew.
    """
    shape = tuple(max(1, round(side * factor)) for side in sample.mask.shape)
    labels = None if sample.labels is None else _numbered(nearest(sample.labels, shape))
    image, mask = resize(sample.image, shape), nearest(sample.mask, shape)
    return replace(sample, image=image, mask=mask, labels=labels)


def crop(sample, start, stop):
    """Cut a part of the longer side of a sample.

    Parameters
    ----------
    sample : Sample
    start, stop : float
        Ends of the part, from 0 to 1.

    Returns
    -------
    Sample
        With at least one row or column; labels are numbered anew.
    """
    axis = int(sample.mask.shape[1] > sample.mask.shape[0])
    length = sample.mask.shape[axis]
    first = min(round(start * length), length - 1)
    window = [slice(None), slice(None)]
    window[axis] = slice(first, max(first + 1, round(stop * length)))
    image, mask = (np.ascontiguousarray(x[*window]) for x in (sample.image, sample.mask))
    labels = sample.labels
    if labels is not None:
        labels = _numbered(labels[*window])
    return replace(sample, image=image, mask=mask, labels=labels)


def _checked(found, path, shape):
    """A mask or label image, if it has the size of its image."""
    if found.shape != shape:
        raise InputError(
            f"{path} is {found.shape[1]} x {found.shape[0]} pixels, but its image is "
            f"{shape[1]} x {shape[0]}: use the mask of this image."
        )
    return found


def _numbered(labels):
    """The same nuclei, numbered from 1 without gaps."""
    return relabel_sequential(labels)[0].astype(np.int32)


def _is_lighter(inside, pixels):
    """Whether an image is lighter inside than outside, on average over every fourth line."""
    inside, brightness = inside[::4, ::4], without_black(pixels[::4, ::4]).mean(axis=-1)
    if inside.all() or not inside.any():
        return False
    return brightness[inside].mean() > brightness[~inside].mean() + LIGHTER
