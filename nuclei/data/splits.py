"""Give images without a split one: by patient where known, else by image, or parts of images."""

from dataclasses import replace

import numpy as np

from ..errors import InputError, counted
from . import monuseg, signatures

NAMES = ("train", "val", "test")
SHARE = 0.2
"""Of patients or images, or of the longer side of an image, for each of `val` and `test`."""

SEED = 0
SHOWN = 8
"""Up to so many images of a split are named."""


def complete(entries, seed=SEED):
    """Draw the splits that are missing.

    If no image has a split, `train`, `val` and `test` are drawn. If `val` or `test` is missing, it
    is drawn from the images that are for training or without a split. If none is missing, those
    without a split are trained on. A data set with nothing to train on, as for a test alone, is
    left as it is. Patients whom MoNuSeg holds out stay in the split that they have there.

    Parameters
    ----------
    entries : list of folder.Entry
    seed : int
        Of the draw.

    Returns
    -------
    entries : list of folder.Entry
        Each with a split. Where there are too few images, parts of images.
    sentences : list of str
        What was done and what it means for the scores; empty if nothing was.

    Raises
    ------
    InputError
        If there are too few patients to keep each of them in one split.
    """
    entries = [replace(entry, split=entry.split or _held_out(entry)) for entry in entries]
    pool = [entry for entry in entries if entry.split in (None, "train")]
    rest = [entry for entry in entries if entry.split not in (None, "train")]
    given = {entry.split for entry in entries}
    names = ["train", *(name for name in NAMES[1:] if name not in given)]
    if not pool or (len(names) == 1 and None not in given):
        return entries, []
    if len(names) == 1:
        drawn = [replace(entry, split="train") for entry in pool]
        sentence = "Images without a split are trained on."
    else:
        drawn, sentence = _draw(pool, names, seed)
    return rest + drawn, [sentence, *(_listed(drawn, name) for name in names)]


def misplaced(image, split, patient, reduced):
    """Say that an image would be trained on, or chosen on, that MoNuSeg holds out for later.

    Parameters
    ----------
    image : str or Path
        Its name or file.
    split : {"train", "val", "test"}
        Where it is.
    patient : str or None
    reduced : overlap.Reduced
        Of the whole image, by which it is known under any name.

    Returns
    -------
    str or None
        A sentence, if the image or another one of its patient is held out.
    """
    name = signatures.identify(reduced) or f"{patient} {image}"
    shown = monuseg.patient_in(name)
    home = monuseg.split_of(shown)
    if home is None or split not in NAMES or NAMES.index(split) >= NAMES.index(home):
        return None
    return (
        f"{image} is of {shown}, a {home} patient of MoNuSeg, and is in {split} here: remove it, "
        f"or move it to {home}."
    )


def _held_out(entry):
    """The split of an image whose patient MoNuSeg holds out, or None."""
    split = monuseg.split_of(entry.patient)
    return split if split in ("val", "test") else None


def _draw(entries, names, seed):
    """Divide entries among splits, the first of which gets what remains; also say how."""
    missing = " and ".join(names[1:])
    units = {entry.patient or entry.name for entry in entries}
    if len(units) >= len(names):
        split_of = _divide(units, names, seed)
        drawn = [replace(one, split=split_of[one.patient or one.name]) for one in entries]
        if all(entry.patient for entry in entries):
            return drawn, (
                f"No {missing} images were named, so they are drawn by patient (seed {seed}): no "
                "patient is on both sides."
            )
        return drawn, (
            f"No {missing} images were named, so they are drawn by image (seed {seed}). Images of "
            "one patient or slide look alike: where they are on both sides, scores are too high. "
            "To keep them apart, name the patients in samples.csv."
        )
    if len(entries) >= len(names):
        raise InputError(
            f"The images are of {counted(len(units), 'patient')}, too few to draw {missing} images "
            "from: add images of other patients, or name no patients to draw by image."
        )
    return [part for entry in entries for part in _parts(entry, names)], (
        f"There are too few images to draw {missing} from, so the longer side of each is divided "
        f"among {', '.join(names)}. Parts of one image look alike: scores say nothing about other "
        "images."
    )


def _divide(units, names, seed):
    """The split of each unit, in a random order."""
    units = sorted(units)
    order = np.random.default_rng(seed).permutation(len(units))
    each = max(1, round(SHARE * len(units)))
    return {
        units[i]: names[1 + place // each] if place < each * (len(names) - 1) else names[0]
        for place, i in enumerate(order)
    }


def _parts(entry, names):
    """The parts of an image: most of it for the first split, then `SHARE` for each other one."""
    first = 1 - SHARE * (len(names) - 1)
    ends = [0, *(round(first + SHARE * i, 6) for i in range(len(names)))]
    for name, start, stop in zip(names, ends[:-1], ends[1:], strict=True):
        title = f"{entry.name} ({name})"
        yield replace(entry, name=title, patient=title, split=name, part=(start, stop))


def _listed(entries, split):
    """Name the images of a split, if they are few."""
    names = [entry.name for entry in entries if entry.split == split]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"  {split}: {', '.join(names[:SHOWN])}{more}"
