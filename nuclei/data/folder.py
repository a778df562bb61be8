"""Find annotated images in a folder: which file is an image, and which is its annotation."""

from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError
from ..images import IMAGE_SUFFIXES, OTHER_SUFFIXES, SLIDE_SUFFIXES, read_grey, walk
from . import monuseg, samples_csv

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Folders that name a split, in small letters; also the words for splits in `samples.csv`."""

KINDS = {
    "images": "image",
    "tissueimages": "image",
    "masks": "mask",
    "groundtruth": "mask",
    "labels": "labels",
    "annotations": "outlines",
}
"""Folders that say what is in them, in small letters and without spaces, - and _."""

ENDINGS = {
    "bin_mask": "mask",
    "mask": "mask",
    "labels": "labels",
    "labelled": "labels",
    "overlay": None,
    "probability": None,
}
"""What stands after the name of the image, with _ or -, in files beside it. What `predict` draws is
no annotation: None."""

OUTLINES = (".geojson", ".json", ".xml", ".gz", ".zip")


@dataclass(frozen=True)
class Entry:
    """The files of one annotated image, and what is known of it.

    Attributes
    ----------
    name : str
        Name of the image: that of its file without the suffix.
    image : Path
    mask, labels, outlines : Path or None
        Its annotation: a mask, a label image or both, or a file of outlines.
    split : {"train", "val", "test"} or None
    patient, group : str or None
        From `samples.csv`; the patient also from a name of TCGA.
    mpp : float or None
        Micrometres per pixel, from `samples.csv`.
    classes : tuple of str or None
        Of outlines of QuPath: the classes that are nuclei, from `samples.csv`; None for all.
    part : tuple of float or None
        The part of the longer side that is used, from 0 to 1; None for the whole image.
    """

    name: str
    image: Path
    mask: Path | None = None
    labels: Path | None = None
    outlines: Path | None = None
    split: str | None = None
    patient: str | None = None
    group: str | None = None
    mpp: float | None = None
    classes: tuple | None = None
    part: tuple | None = None

    @property
    def annotation(self):
        """The file that the nuclei are read from."""
        return self.outlines or self.labels or self.mask


@dataclass(frozen=True)
class Index:
    """What was found in a folder.

    Attributes
    ----------
    entries : list of Entry
        The annotated images, sorted by name.
    problems : list of str
        A sentence for each thing that stops a training.
    left_out : list of str
        A sentence for each folder that cannot be read, each file in a format that is not read, each
        annotation that belongs to no image, and each file in a folder of another name.
    """

    entries: list
    problems: list
    left_out: list


def index(folder):
    """Find the images of a folder, their annotations and what `samples.csv` says of them.

    These layouts are read, and mixtures of them:

    - `images/` with `masks/`, `labels/` or `annotations/` beside it, by the same name
    - `TissueImages/` with `GroundTruth/`, and `Labels/` if there are any
    - all side by side: `a.png` with `a_mask.png`, `a_labels.tif`, `a.geojson` or `a.xml`
    - any of these in `train/`, `val/` and `test/`, or these folders within any of them

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    Index

    Raises
    ------
    InputError
        If the folder does not exist or has no images, or `samples.csv` cannot be read or is there
        in another format.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: give the folder of your annotated images.")
    images, annotations, problems, unread, left_out = [], [], [], [], []
    for path, split, kind in _files(folder):
        if path.suffix.lower() in SLIDE_SUFFIXES:
            problems.append(
                f"{path} is a whole slide: save the annotated regions as images, and remove it."
            )
        elif split is _ELSEWHERE:
            left_out.append(f"{path} is in a folder of another name")
        elif kind == "table":
            problems.append(
                f"{path} is not read: move its lines to {folder / samples_csv.NAME}, or rename it "
                "if it is something else."
            )
        elif kind == "unread":
            unread.append(f"{path} is in a format that is not read")
        elif kind == "closed":
            unread.append(f"{path} cannot be read")
        else:
            (images if kind == "image" else annotations).append((path, split, kind))
    if not (images or problems):
        hidden = "".join(f" (but {words})" for words in (unread + left_out)[:1])
        raise InputError(
            f"{folder} contains no images{hidden}: put PNG, TIFF or JPEG files in it or in its "
            f"folder images/."
        )
    entries = _named(_without_twins(images, annotations, problems), problems)
    alone = _annotate(entries, annotations, problems)
    left_out = unread + [f"{path} belongs to no image" for path in alone] + left_out
    entries = sorted(entries.values(), key=lambda entry: entry.name)
    if table := samples_csv.find(folder):
        entries, told = samples_csv.apply(table, entries, SPLITS)
        problems += told
    return Index(entries, problems, [f"{words}, so it is left out." for words in left_out])


_ELSEWHERE = object()


def _files(folder):
    """Yield the path, split and kind of every file that may belong to a data set."""
    closed = []
    for place, folders, names in walk(folder, closed.append):
        folders[:] = sorted(one for one in folders if not one.startswith((".", "__MACOSX")))
        split = kind = None
        for part in Path(place).relative_to(folder).parts:
            plain = "".join(letter for letter in part.lower() if letter not in " _-")
            if plain in SPLITS:
                split = split or SPLITS[plain]
            elif plain in KINDS:
                kind = KINDS[plain]
            else:
                split = _ELSEWHERE
        for name in sorted(one for one in names if not one.startswith(".")):
            path = Path(place, name)
            suffix = path.suffix.lower()
            if samples_csv.MEANT.fullmatch(name.lower()) and path.parent != folder:
                yield path, split, "table"
            elif suffix in OTHER_SUFFIXES:
                yield path, split, "unread"
            elif suffix not in IMAGE_SUFFIXES + OUTLINES + SLIDE_SUFFIXES:
                continue
            elif suffix in OUTLINES:
                yield path, split, "outlines"
            elif kind and kind != "image":
                yield path, split, "mask" if kind == "outlines" else kind
            else:
                ending = _ending(path)
                if ending is None or ENDINGS[ending[1]]:
                    yield path, split, ENDINGS[ending[1]] if ending else "image"
    yield from ((Path(error.filename), None, "closed") for error in closed)


def _ending(path):
    """The name before an ending of `ENDINGS`, and the ending; None if there is none."""
    stem = path.stem
    for ending in ENDINGS:
        if stem.lower().endswith((f"_{ending}", f"-{ending}")):
            return stem[: -len(ending) - 1], ending
    return None


def _stem(path):
    """Name of a file without its suffixes, as in `a` for `a.ome.tif` and `a.png.geojson`."""
    stem = path.stem
    for suffix in (*OUTLINES, *IMAGE_SUFFIXES, ".ome"):
        if stem.lower().endswith(suffix):
            stem = stem[: -len(suffix)]
    return stem


def _without_twins(images, annotations, problems):
    """Of two images of one name, such as `a.jpg` and `a.png`, make a grey one the annotation."""
    found = {}
    for path, split, _ in images:
        found.setdefault((split, samples_csv.key(_stem(path))), []).append(path)
    for (split, _), paths in found.items():
        if len(paths) == 2:
            grey = [path for path in paths if _is_grey(path)]
            if len(grey) == 1:
                annotations.append((grey[0], split, "mask"))
                paths.remove(grey[0])
        if len(paths) > 1:
            problems.append(f"{paths[0]} and {paths[1]} have one name: rename or remove one.")
    return {key: paths[0] for key, paths in found.items()}


def _is_grey(path):
    try:
        read_grey(path)
    except InputError:
        return False
    return True


def _named(images, problems):
    """Make entries of images, by split and key; equal names in two splits get the split's name."""
    splits = {}
    for split, key in images:
        splits.setdefault(key, []).append(split)
    entries = {}
    for (split, key), path in images.items():
        name = _stem(path)
        if len(splits[key]) > 1:
            if None in splits[key]:
                problems.append(f"{path} is there twice, in a split and in none: keep one.")
            name = f"{split}_{name}"
        entries[split, key] = Entry(name, path, split=split, patient=monuseg.patient_in(name))
    return entries


def _annotate(entries, annotations, problems):
    """Add each annotation to its image; return those without an image."""
    by_key, alone = {}, []
    for split, key in entries:
        by_key.setdefault(key, []).append(split)
    for path, split, kind in annotations:
        ending = _ending(path)
        names = [_stem(path)] + ([_stem(Path(f"{ending[0]}.x"))] if ending else [])
        places = [
            (other, samples_csv.key(name))
            for name in names
            for other in by_key.get(samples_csv.key(name), ())
            if split is None or other in (split, None)
        ]
        if not places:
            alone.append(path)
            continue
        entry = entries[places[0]]
        if given := getattr(entry, kind) or _clash(entry, kind):
            same = given.name == path.name
            one, two = (given, path) if same else (given.name, path.name)
            problems.append(f"{entry.image} has two annotations, {one} and {two}: keep one.")
            continue
        entries[places[0]] = replace(entry, **{kind: path})
    problems.extend(
        f"{entry.image} has no annotation: add a mask, a label image or outlines of the same name, "
        f"such as {entry.name}.geojson, or remove the image."
        for entry in entries.values()
        if entry.annotation is None
    )
    return alone


def _clash(entry, kind):
    """An annotation that excludes one of this kind: outlines go with nothing else."""
    return entry.annotation if kind == "outlines" else entry.outlines
