"""What looks wrong with a data set as a whole: patients, tissue and sizes of its images."""

from collections import Counter
from itertools import combinations

import numpy as np

from ..images.resolution import MPP
from . import overlap, splits
from .sizes import AREA

AREA_TOLERANCE = 3
"""Up to this factor of `AREA`, nuclei are of a usual size. Medians of images of MoNuSeg go from 94
to 832, those of its splits from 388 to 453."""

DRIFT = 0.5
"""From this common shift on, in pixels, it is said."""


def compare(rows, progress=True):
    """Compare the images of a data set.

    Parameters
    ----------
    rows : list of check.Row
        The images that could be read.
    progress : bool
        Show a progress bar over pairs of images.

    Returns
    -------
    dict of str to list of str
        Sentences: `problems`, `warnings` and `notes`.
    """
    shared, left_out = _shared(rows, progress)
    held = [splits.misplaced(row.name, row.split, row.patient, row.reduced) for row in rows]
    return {
        "problems": _patients(rows) + list(filter(None, held)) + shared,
        "warnings": _sizes(rows),
        "notes": left_out + _drift(rows) + _without_labels(rows) + _of_other_classes(rows),
    }


def _patients(rows):
    """Patients on both sides of a split."""
    places = {}
    for row in rows:
        places.setdefault(row.patient, []).append(row.split)
    return [
        f"Patient {patient} is in {' and in '.join(dict.fromkeys(found))}: keep all images of a "
        "patient in one split."
        for patient, found in places.items()
        if len(set(found)) > 1
    ]


def _shared(rows, progress):
    """Tissue on both sides of a split, and a word if not all pairs were searched."""
    pairs = [(one, two) for one, two in combinations(rows, 2) if one.split != two.split]
    problems = [
        f"{one.name} ({one.split}) and {two.name} ({two.split}) {what}, so that scores would be "
        "too high: remove one, or give both one split in samples.csv."
        for one, two, what in overlap.search(pairs, progress)
    ]
    if len(pairs) <= overlap.MOST_PAIRS:
        return problems, []
    return problems, [
        f"{len(pairs):,} pairs of images are too many to search for shared parts: only copies of "
        "whole images were looked for."
    ]


def _sizes(rows):
    """Nuclei of another size than those of MoNuSeg, if the resolution is not known."""
    areas = [row.area for row in rows if row.area and row.mpp is None]
    if not areas:
        return []
    area = float(np.median(areas))
    if 1 / AREA_TOLERANCE <= area / AREA <= AREA_TOLERANCE:
        return []
    mpp = MPP * np.sqrt(AREA / area)
    return [
        f"Nuclei have {area:.0f} pixels (median), and {AREA} in MoNuSeg, as if the images had "
        f"about {mpp:.2f} um per pixel: if so, scale images and annotations to {MPP}, and if not, "
        "say in samples.csv which resolution (mpp) they have."
    ]


def _drift(rows):
    """A shift that most images share, if it is too small to be called wrong."""
    usual = [row for row in rows if row.alignment and not row.warnings]
    shifts = {row.name: row.alignment[:2] for row in usual}
    if not shifts:
        return []
    down, right = np.median(list(shifts.values()), axis=0)
    name, most = max(shifts.items(), key=lambda one: np.hypot(*one[1]))
    if np.hypot(down, right) < DRIFT:
        return []
    return [
        f"Annotations lie {abs(down):.1f} pixels {'below' if down > 0 else 'above'} and "
        f"{abs(right):.1f} pixels {'right' if right > 0 else 'left'} of where haematoxylin is "
        f"(median over images; at most {np.hypot(*most):.1f} pixels, in {name})."
    ]


def _of_other_classes(rows):
    """Outlines that are left out because samples.csv chooses other classes."""
    counts = sum((row.left_out for row in rows), Counter())
    if not counts:
        return []
    classes = ", ".join(f"{name} ({number})" for name, number in counts.most_common())
    return [
        f"Outlines of classes that samples.csv does not choose are left out, and what they outline "
        f"counts as background: {classes}."
    ]


def _without_labels(rows):
    """Masks, in which touching nuclei are one piece."""
    number = sum(row.kind == "mask" for row in rows)
    if not number:
        return []
    return [
        f"Images with a mask only: {number} of {len(rows)}. It does not tell touching nuclei "
        "apart: AJI and PQ are left out, and DISTANCE = True cannot be trained."
    ]
