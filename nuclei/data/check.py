"""Check a data set before anything is trained on it: what is there, and what looks wrong."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tqdm import tqdm

from ..errors import InputError, counted
from ..images import resolution
from . import folder, loading, monuseg, splits
from .alignment import Alignment
from .check_image import examine_entry, examine_sample
from .check_set import compare
from .overlap import Reduced

FEW = 5
"""Up to so many files that are left out are named."""


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
    left_out : collections.Counter
        Number of outlines of each class that samples.csv does not choose.
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
    left_out: Counter = field(default_factory=Counter)
    size: tuple = (0, 0)
    nuclei: int = 0
    share: float = 0.0
    area: float = 0.0
    alignment: Alignment | None = None
    reduced: Reduced | None = None
    warnings: list = field(default_factory=list)
    problem: str | None = None

    @property
    def enlarged(self):
        """How much longer the sides of the image are once it is scaled."""
        return self.mpp / resolution.predicted_at(self.mpp) if self.mpp else 1


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
        Called with the Sample of each image that can be read, from several threads.
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

    def examined(job):
        row, examine, found = job
        examine(row, found, look)
        return row

    with ThreadPoolExecutor(2) as pool:
        bar = tqdm(
            pool.map(examined, jobs), "Checking", len(jobs), unit="image", disable=not progress
        )
        rows = list(bar)
    problems += [row.problem for row in rows if row.problem]
    warnings = [sentence for row in rows for sentence in row.warnings]
    for kind, sentences in compare([row for row in rows if not row.problem], progress).items():
        {"problems": problems, "warnings": warnings, "notes": notes}[kind].extend(sentences)
    return Report(rows, problems, warnings, notes)


def _monuseg(data):
    """The rows and samples of MoNuSeg, of all splits that are there, and what examines them."""
    jobs, missing = [], []
    for split in splits.NAMES:
        try:
            samples = monuseg.load(split, data)
        except InputError as error:
            missing.append(str(error))
            continue
        for sample in samples:
            kind = "mask" if sample.labels is None else "labels"
            jobs.append((Row(sample.name, split, sample.patient, kind), examine_sample, sample))
    if not jobs:
        raise InputError(missing[0])
    return jobs, [], missing


def _folder(data):
    """The rows and entries of a folder, what examines them, and what is wrong with its files."""
    found = folder.index(data)
    entries, sentences = splits.complete(found.entries)
    if any(entry.part for entry in entries):  # the image is checked as a whole
        entries = found.entries
    notes = ["\n".join(sentences)] if sentences else []
    notes += found.left_out[:FEW]
    if (more := len(found.left_out) - FEW) > 0:
        notes.append(f"So {'is' if more == 1 else 'are'} {counted(more, 'more file')}.")
    jobs = []
    for entry in entries:
        kinds = [kind for kind in ("mask", "labels", "outlines") if getattr(entry, kind)]
        patient = entry.patient or entry.name
        row = Row(entry.name, entry.split or "", patient, ", ".join(kinds))
        try:
            row.mpp = loading.resolution(entry)
        except InputError as error:
            row.problem = str(error)
        jobs += [(row, examine_entry, entry)] if kinds else []
    if scaled := sum(row.enlarged != 1 for row, *_ in jobs):
        notes.append(
            f"Images that are scaled to {resolution.MPP} um per pixel, with their annotations, "
            f"whenever they are read: {scaled} of {len(entries)}."
        )
    return jobs, found.problems, notes
