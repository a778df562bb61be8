"""Load any data set by split: MoNuSeg, or a folder of your own annotated images."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import NamedTuple
from zipfile import is_zipfile

from tqdm import tqdm

from .. import ROOT
from ..atomic import expand
from ..errors import InputError
from ..images import read_labels, read_mpp
from ..images.resolution import predicted_at
from . import folder, monuseg, monuseg_files, overlap, samples_csv, seen, splits
from .dataset import Sample, crop, read_sample, refuse_shared_patients, scale


class Read(NamedTuple):
    """An image of a folder that was read: its files, its pixels, and a small copy of all of it."""

    entry: folder.Entry
    sample: Sample
    reduced: overlap.Reduced


def load(data, split):
    """Load one split of a data set.

    Parameters
    ----------
    data : str, Path or None
        None: MoNuSeg, as `monuseg.load` finds it. A folder or archive that holds MoNuSeg, see
        `is_monuseg`. Else a folder in a layout of `folder.index`.
    split : {"train", "val", "test", "all"}
        "all": every image, of a folder that is not MoNuSeg.

    Returns
    -------
    list of Sample
        The organ of each is its group in `samples.csv`, or "".

    Raises
    ------
    InputError
        If there is no such data set, an image lacks its annotation or has two, `samples.csv` does
        not fit, there is no image of the split, or a file cannot be read; as in `load_splits`.
    """
    return load_splits(data, [split])[split]


def load_splits(data=None, names=splits.NAMES):
    """Load all splits of a data set; if it has none, they are drawn and sentences say how.

    Parameters
    ----------
    data : str, Path or None
        As for `load`.
    names : sequence of str

    Returns
    -------
    dict of str to list of Sample

    Raises
    ------
    InputError
        As in `load`. If a patient or a piece of tissue is in two splits, or an image would be
        trained on that MoNuSeg holds out, by its name or by what it shows.
    """
    if is_monuseg(data):
        found = {name: monuseg.load(name, data) for name in names}
    else:
        found = _read(data, names)
    refuse_shared_patients(found)
    return found


def locate(data):
    """The path of a data set that a notebook names: relative to the repository; None: MoNuSeg."""
    return None if data is None else ROOT / expand(data)


def is_monuseg(data):
    """Whether a data set is MoNuSeg: None, an archive, or a folder of its files and nothing else.

    `samples.csv`, an image of another name or GeoJSON beside them make it a folder of one's own, so
    that none of them is left out without a word.
    """
    if data is None:
        return True
    path = Path(data)
    if samples_csv.find(path):
        return False
    if path.is_file() and path.suffix.lower() != ".zip" and not is_zipfile(path):
        return False
    known = {**monuseg.patients("trainval", extra=True), **monuseg.patients("test")}
    try:
        names = {name for kind, name in monuseg_files.index(path) if kind == "image"}
    except InputError:
        # In a folder of one's own an image and its mask may have one name, also one of MoNuSeg.
        if path.is_dir() and not folder.index(path).problems:
            return False
        raise
    if path.is_file():
        return True
    return bool(names) and all(name[:12] in known for name in names) and not _adds(path, names)


def _adds(path, names):
    """Whether a folder has more than the images of these names, in the formats of MoNuSeg."""
    try:
        entries = folder.index(path).entries
    except InputError:  # no images but in archives, or in folders as the challenge calls them
        return False
    return any(
        entry.image.stem not in names
        or (entry.outlines and entry.outlines.suffix.lower() != ".xml")
        for entry in entries
    )


def source(data):
    """What a data set is called: "MoNuSeg", "synthetic tissue", or the name of its folder."""
    if not is_monuseg(data):
        return Path(data).resolve().name
    return "synthetic tissue" if data is None and monuseg.find() is None else "MoNuSeg"


def _read(data, names):
    """Read some splits of a folder."""
    if unknown := set(names) - {*splits.NAMES, "all"}:
        raise InputError(f"There is no split {unknown.pop()!r}: choose train, val, test or all.")
    found = folder.index(data)
    if found.problems:
        raise InputError(_first(found.problems))
    entries, sentences = found.entries, []
    if list(names) != ["all"]:
        entries, sentences = splits.complete(entries)
    if found.left_out:
        sentences = [*sentences, _first(found.left_out)]
    print(*sentences, sep="\n", end="\n" * bool(sentences))
    chosen = {name: [entry for entry in entries if name in (entry.split, "all")] for name in names}
    if missing := [name for name, some in chosen.items() if not some]:
        raise InputError(
            f"{data} has no {missing[0]} images: add a folder {missing[0]}/, or say in "
            f"{samples_csv.NAME} which images they are."
        )
    every = [entry for some in chosen.values() for entry in some]
    with ThreadPoolExecutor() as pool:
        found = pool.map(_read_with_copy, every)
        read = list(tqdm(found, "Loading", len(every), unit="image", delay=5))
    if list(names) != ["all"]:
        _refuse_leaks(read)
    samples = {(one.entry.split, one.entry.name): one.sample for one in read}
    return {
        name: [samples[entry.split, entry.name] for entry in some] for name, some in chosen.items()
    }


def _first(sentences):
    more = f" ({len(sentences) - 1} more: run `python -m nuclei check`)"
    return sentences[0] + more * (len(sentences) > 1)


def _read_with_copy(entry):
    whole = _read_whole(entry)
    return Read(entry, _part(whole, entry), overlap.Reduced(whole.image))


def _refuse_leaks(read):
    """Raise an InputError if something is trained on, or chosen on, that is for later splits."""
    for one in read:
        entry = one.entry
        if said := splits.misplaced(entry.image, entry.split, entry.patient, one.reduced):
            raise InputError(said)
    pairs = [
        (one, two)
        for one, two in combinations(read, 2)
        if one.entry.split != two.entry.split and one.entry.image != two.entry.image
    ]
    for one, two, what in overlap.search(pairs):
        raise InputError(
            f"{one.entry.image} ({one.entry.split}) and {two.entry.image} ({two.entry.split}) "
            f"{what}: remove one, or give both one split in samples.csv."
        )


def read_entry(entry, say=tqdm.write):
    """Read one annotated image, scaled if its resolution is known and not that of the networks.

    Parameters
    ----------
    entry : folder.Entry
    say : callable
        Takes a sentence of what looks wrong.

    Returns
    -------
    Sample

    Raises
    ------
    InputError
        As in `read_sample`.
    """
    return _part(_read_whole(entry, say), entry)


def _read_whole(entry, say=tqdm.write):
    files = {"mask": entry.mask, "labels": entry.labels, "annotation": entry.outlines}
    files["classes"] = entry.classes
    if entry.mask and not entry.labels and numbers_nuclei(entry.mask):
        files |= {"mask": None, "labels": entry.mask}
    patient, group = entry.patient or entry.name, entry.group or ""
    sample = read_sample(entry.name, patient, group, entry.image, **files, say=say)
    sample = replace(sample, digest=seen.digest(sample.image))  # the same at any mpp
    mpp = resolution(entry)
    if mpp and mpp != predicted_at(mpp):
        sample = scale(sample, mpp / predicted_at(mpp))
    return sample


def _part(sample, entry):
    return replace(crop(sample, *entry.part), part=entry.part) if entry.part else sample


def resolution(entry):
    """Micrometres per pixel of an image, from `samples.csv` or its file; None if unknown."""
    return entry.mpp or read_mpp(entry.image)


def numbers_nuclei(path):
    """Whether a mask tells nuclei apart: as a label image of several, or because there are none."""
    try:
        labels = read_labels(path)
    except InputError:
        return False
    return bool(((labels > 0) & (labels < labels.max())).any() or not labels.any())
