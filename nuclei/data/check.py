"""Check a data set before anything is trained on it: what is there, and what looks wrong."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import cv2
import numpy as np
from tqdm import tqdm

from ..errors import InputError
from ..images import resolution
from ..images.decode import decode
from . import folder, loading, monuseg, splits
from .alignment import FIT, Alignment, align, better_view
from .check_set import compare
from .overlap import Reduced

COARSE = 0.6
"""From this resolution on, in um per pixel, nuclei are too small to be outlined well: a scan at
20x has 0.5."""

FEW = 5
"""Up to so many files that are left out are named."""

SHIFT = 3
"""From this shift on, in pixels, an annotation is called shifted; it is 1.9 at most in MoNuSeg."""


@dataclass
class Row:
    """What was found in one image.

    Attributes
    ----------
    name, split, patient : str
    kind : str
        "mask", "labels", "outlines", or "mask, labels".
    mpp : float or None
        Micrometres per pixel, if known.
    size : tuple of int
        Height and width, after the image was scaled to 0.25 um per pixel.
    nuclei : int
        Their number; of a mask that of its pieces.
    share : float
        The share of pixels in nuclei.
    area : float
        Median area of a nucleus, in pixels; 0 without nuclei.
    alignment : Alignment or None
    reduced : Reduced or None
    warnings : list of str
        What looks wrong in it.
    problem : str or None
        Why it cannot be read. All that is read from the files is then empty.
    """

    name: str
    split: str
    patient: str
    kind: str = "labels"
    mpp: float | None = None
    size: tuple = (0, 0)
    nuclei: int = 0
    share: float = 0.0
    area: float = 0.0
    alignment: Alignment | None = None
    reduced: Reduced | None = None
    warnings: list = field(default_factory=list)
    problem: str | None = None


@dataclass
class Report:
    """What was found in a data set.

    Attributes
    ----------
    rows : list of Row
        One for each image that has an annotation.
    problems : list of str
        What stops a training.
    warnings : list of str
        What looks wrong.
    notes : list of str
        What is good to know.
    """

    rows: list
    problems: list
    warnings: list
    notes: list


def check(data=None, look=None, progress=True):
    """Check every image of a data set, and what they have to do with each other.

    Parameters
    ----------
    data : str, Path or None
        As for `loading.load`.
    look : callable, optional
        Called with the Sample and the Row of each image that can be read, from several threads.
    progress : bool
        Show progress bars.

    Returns
    -------
    Report

    Raises
    ------
    InputError
        If there are no images, or `samples.csv` cannot be read.
    """
    jobs, problems, notes = (_monuseg if loading.is_monuseg(data) else _folder)(data)

    def examine(job):
        row, source = job
        _examine(row, source, look)
        return row

    with ThreadPoolExecutor(2) as pool:
        bar = tqdm(
            pool.map(examine, jobs), "Checking", len(jobs), unit="image", disable=not progress
        )
        rows = list(bar)
    problems += [row.problem for row in rows if row.problem]
    warnings = [sentence for row in rows for sentence in row.warnings]
    for kind, sentences in compare([row for row in rows if not row.problem], progress).items():
        {"problems": problems, "warnings": warnings, "notes": notes}[kind].extend(sentences)
    return Report(rows, problems, warnings, notes)


def _monuseg(data):
    """The rows and samples of MoNuSeg, of all splits that are there."""
    jobs, missing = [], []
    for split in splits.NAMES:
        try:
            samples = monuseg.load(split, data)
        except InputError as error:
            missing.append(str(error))
            continue
        for sample in samples:
            kind = "mask" if sample.labels is None else "labels"
            jobs.append((Row(sample.name, split, sample.patient, kind), sample))
    if not jobs:
        raise InputError(missing[0])
    return jobs, [], missing


def _folder(data):
    """The rows and entries of a folder, and what is wrong with its files."""
    found = folder.index(data)
    entries, sentences = splits.complete(found.entries)
    if any(entry.part for entry in entries):  # the image is checked as a whole
        entries = found.entries
    notes = ["\n".join(sentences)] if sentences else []
    notes += [f"{path} belongs to no image, so it is left out." for path in found.left_out[:FEW]]
    if len(found.left_out) > FEW:
        notes.append(f"So are {len(found.left_out) - FEW} more files.")
    scaled = [entry for entry in entries if loading.is_scaled(entry)]
    if scaled:
        notes.append(
            f"{len(scaled)} of {len(entries)} images are scaled to {resolution.MPP} um per pixel, "
            "with their annotations, whenever they are read."
        )
    jobs = []
    for entry in entries:
        kinds = [kind for kind in ("mask", "labels", "outlines") if getattr(entry, kind)]
        patient = entry.patient or entry.name
        mpp = loading.resolution(entry)
        row = Row(entry.name, entry.split or "", patient, ", ".join(kinds), mpp)
        jobs += [(row, entry)] if kinds else []
    return jobs, found.problems, notes


def _examine(row, source, look):
    """Fill in the row of one image."""
    files = (row.name, row.name)
    if isinstance(source, folder.Entry):
        files = source.annotation, source.image
        try:
            sample = loading.read_entry(source, row.warnings.append)
        except InputError as error:
            row.problem = str(error)
            return
        if row.kind == "mask" and sample.labels is not None:
            row.kind = "labels"
    else:
        sample = source
    mask = sample.mask
    row.size, row.share = mask.shape, float(mask.mean())
    areas = _areas(sample)
    row.nuclei, row.area = len(areas), float(np.median(areas)) if len(areas) else 0.0
    row.reduced, row.alignment = Reduced(sample.image), align(sample.image, mask)
    row.warnings += _of_mask(row, source, mask) + _of_alignment(row, *files, sample)
    row.warnings += _of_resolution(row, files[1])
    if look:
        look(sample, row)


def _areas(sample):
    """Pixels of each nucleus, or of each piece of a mask."""
    labels = sample.labels
    if labels is None:
        labels = cv2.connectedComponents(sample.mask.astype(np.uint8))[1]
    areas = np.bincount(labels.ravel())[1:]
    return areas[areas > 0]


def _of_mask(row, source, mask):
    """What looks wrong with a mask alone."""
    if not mask.any():
        return [
            f"{row.name} has no nucleus: annotate those that it has; if it has none, it may stay."
        ]
    if mask.all():
        return [f"{row.name} is all nucleus: check its annotation."]
    if row.kind != "mask" or not getattr(source, "mask", None):
        return []
    values = np.unique(decode(source.mask).pixels.reshape(-1)).size
    if values <= 2:
        return []
    return [
        f"{source.mask} has {values} greys or colours and not two, so nuclei were told from the "
        "rest by a rule (docs/formats.md): look at the overlay, or save it as a PNG of 0 and 255."
    ]


def _of_alignment(row, annotation, image, sample):
    """What looks wrong with where an annotation lies."""
    found = row.alignment
    if found is None or row.warnings:  # an inverted mask fits nowhere
        return []
    if found.fit < FIT:
        view = better_view(sample.image, sample.mask)
        cure = f"It fits when {view}." if view else "Check that it belongs to this image."
        return [
            f"{annotation} does not fit {image}: nuclei are not where the image is dark with "
            f"haematoxylin (correlation {found.fit:.2f}). {cure}"
        ]
    if np.hypot(found.down, found.right) < SHIFT:
        return []
    return [
        f"{annotation} lies {_place(found)} the nuclei of {image}: move it back, or export it "
        "again from the same image."
    ]


def _place(found):
    """A shift in words, as in "3.0 pixels below and 1.2 pixels left of"."""
    words = [
        f"{abs(size):.1f} pixels {word}"
        for size, word in (
            (found.down, "below" if found.down > 0 else "above"),
            (found.right, "right of" if found.right > 0 else "left of"),
        )
        if abs(size) >= 0.5
    ]
    return " and ".join(words)


def _of_resolution(row, image):
    """What looks wrong with a resolution that is known."""
    if row.mpp is None or row.mpp <= COARSE:
        return []
    return [
        f"{image} has {row.mpp:g} um per pixel, where a nucleus is a few pixels wide: use a scan "
        f"of {COARSE} um or less, best {resolution.MPP}."
    ]
