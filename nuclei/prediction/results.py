"""Write the nuclei of an image to files, and know them again."""

import hashlib
import json
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from PIL import Image

from ..atomic import atomic_write, expand, explain_write_errors
from ..images.files import save_png
from ..images.tiff import is_cut_short
from . import h5ad, measures, outlines
from .overlay import outline

RECORD = "nuclei"
"""Keyword of the text in a mask that says what it and the other files were made from."""

ENDS = {".geojson": (b"}", b"]"), ".parquet": b"PAR1", ".png": b"IEND\xaeB`\x82"}
"""How files end by their suffix, whichever program has written them."""


class Record(NamedTuple):
    """What a mask says of itself and of the other files of its image.

    Attributes
    ----------
    made_from : dict or None
        What the nuclei were found in and how; None if there is no record.
    files, earlier : dict of str to str
        The hash of each file by its name, as the run of the mask wrote it, and as a run before did:
        a run that is killed while it renames its files leaves some of those.
    """

    made_from: dict | None = None
    files: dict = {}
    earlier: dict = {}


def paths(out, stem, *, probability=False, overlay=False, instances=False, anndata=False):
    """List the files that `write` writes with these arguments, the mask last.

    Returns
    -------
    list of Path
    """
    endings = ["_probability.tif"] * probability
    endings += ["_labels.tif", ".geojson", ".csv"] * instances + [".h5ad"] * anndata
    endings += ["_overlay.png"] * overlay + ["_mask.png"]
    return [expand(out) / f"{stem}{ending}" for ending in endings]


def in_the_way(image, files):
    """Say which file `write` must not replace: no run has written it, or it was changed since.

    Parameters
    ----------
    image : Path
        For the sentence.
    files : list of Path
        From `paths`.

    Returns
    -------
    str or None
        A sentence, or None if all of them may be replaced. A file that is empty or cut off is
        damaged, and does not count as changed.
    """
    cure = "move it away, or choose another folder for --out."
    _, known, earlier = _read_record(files[-1])
    now = _hashes(files)
    for path in files:
        if path.name not in known | earlier and path.exists():
            return (
                f"A result of {image} would replace {path}, which no earlier run is known to have "
                f"written: {cure}"
            )
        ours = None, known.get(path.name), earlier.get(path.name)
        if now[path.name] not in ours and not is_cut(path):
            return f"{path} was changed since it was written: {cure}"
    return None


def is_cut(path):
    """Return whether a file is empty or ends too early, whichever program has written it.

    A table does if its last row is short, and has no line feed; a TIFF if a part of it is missing;
    others have their `ENDS`.
    """
    if path.suffix == ".csv":
        rows = path.read_bytes().split(b"\n")  # after the last line feed comes an empty one
        return not rows[0] or bool(rows[-1]) and rows[-1].count(b",") < rows[0].count(b",")
    if path.suffix == ".tif":
        try:
            with tifffile.TiffFile(path) as file:
                return any(map(is_cut_short, file.pages))
        except (OSError, ValueError):
            return True
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 64))
        end = file.read().rstrip()
    return not end or not end.endswith(ENDS.get(path.suffix, b""))


def _read_record(mask):
    """Read the record in a mask; an empty one if there is none."""
    try:
        with Image.open(mask) as image:
            made_from = json.loads(image.info[RECORD])
        return Record(
            files=dict(made_from.pop("files")),
            earlier=dict(made_from.pop("earlier")),
            made_from=made_from,
        )
    except Exception:  # whatever is wrong with it, it is none of these masks
        return Record()


def written_to(folder):
    """Name the files in a folder that `write` wrote, as the records in its masks list them.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    set of str
    """
    masks = folder.glob("*_mask.png")
    return {name for mask in masks for name in _read_record(mask).files}


def are_written(files, record):
    """Return whether files are as `write` wrote them, from the same image in the same way.

    The record of it lies in the mask. It has a hash of each file, because a run may have been
    killed before it renamed all of them.

    Parameters
    ----------
    files : list of Path
        From `paths`.
    record : dict
        As for `write`.

    Returns
    -------
    bool
        False also if a file is missing or damaged.
    """
    written = _read_record(files[-1])
    if written.made_from != _as_read(record):
        return False
    now = _hashes(files)
    return None not in now.values() and now.items() <= written.files.items()


def _hashes(files):
    """Hash each file by name, None if it cannot be read; the mask, with the record, by pixels."""
    *others, mask = files
    try:
        with Image.open(mask) as image:
            pixels = _digest_pixels(np.asarray(image))
    except Exception:  # each codec raises other kinds
        pixels = None
    return {**{path.name: digest(path) for path in others}, mask.name: pixels}


def _digest_pixels(pixels):
    return hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest()


def _as_read(record):
    """Return a record as it is read from a mask: JSON knows no tuples."""
    return json.loads(json.dumps(record or {}))


def digest(path):
    """Hash a file: 64 hexadecimal digits, or None if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def write(
    found,
    out,
    stem,
    *,
    probability=False,
    overlay=False,
    instances=False,
    choice="basic",
    settings=None,
    record=None,
):
    """Write the nuclei of an image, all files or none.

    Files of an earlier run that are not written again are removed if it had other settings, because
    they would contradict the new ones. A file that was changed since is kept.

    Parameters
    ----------
    found : image.Prediction
    out : str or Path
        Folder of the results, see `atomic.expand`.
    stem : str
        How the names of the files begin.
    probability : bool
        Also write `<stem>_probability.tif`.
    overlay : bool
        Also write `<stem>_overlay.png`, with single nuclei if they are asked for.
    instances : bool
        Also write `<stem>_labels.tif`, `<stem>.geojson` and `<stem>.csv`.
    choice : {"basic", "all"}
        Which measures of each nucleus.
    settings : dict, optional
        If given, `<stem>.h5ad` is written too, see `h5ad.write`; it needs `instances`.
    record : dict, optional
        What the nuclei were found in and how, JSON-serialisable: the mask keeps it for
        `are_written` and `in_the_way`.

    Raises
    ------
    InputError
        If a file cannot be written, or anndata is asked for and not installed.
    """
    *every, mask = paths(out, stem, probability=True, overlay=True, instances=True, anndata=True)
    stem, drafts = expand(out) / stem, {}
    before, known, earlier = _read_record(mask)
    with ExitStack() as stack:

        def draft(ending):
            path = Path(f"{stem}{ending}")
            drafts[path.name] = stack.enter_context(atomic_write(path))
            return drafts[path.name]

        if probability:
            tifffile.imwrite(draft("_probability.tif"), found.probability, compression="zlib")
        if instances:
            _write_nuclei(found, draft, choice, settings)
        if overlay:
            nuclei = found.labels if instances else found.mask
            save_png(draft("_overlay.png"), outline(found.image, nuclei))
        pixels = found.mask.astype(np.uint8) * 255
        files = {name: digest(path) for name, path in drafts.items()}
        ours = {
            path.name: now
            for path in every
            if (now := digest(path)) and now in (known.get(path.name), earlier.get(path.name))
        }
        if before == _as_read(record):  # then they are as true as the new ones
            files = {name: ours[name] for name in ours if ours[name] == known.get(name)} | files
        stale = [mask.with_name(name) for name in ours if name not in files]
        files[mask.name] = _digest_pixels(pixels)
        text = json.dumps({**(record or {}), "files": files, "earlier": ours})
        # All files are renamed at the end, in reverse order. The mask is the first, because its
        # record says whose the others are, if this run is killed between two of them.
        finished = stack.enter_context(atomic_write(mask))
        with explain_write_errors(mask):
            save_png(finished, pixels, {RECORD: text})
    for path in stale:
        path.unlink(missing_ok=True)


def _write_nuclei(found, draft, choice, settings):
    """Write the labels, outlines and measures; `draft` gives the path for an ending."""
    rows = measures.measure(
        found.labels, found.image, found.mpp, choice, found.scores, found.excluded
    )
    kind = "uint16" if found.labels.max() < 2**16 else "uint32"
    tifffile.imwrite(draft("_labels.tif"), found.labels.astype(kind), compression="zlib")
    draft(".geojson").write_text(outlines.geojson(found.labels, rows), encoding="utf-8")
    measures.write_table(draft(".csv"), rows, choice)
    if settings is not None:
        columns = {name: [row[name] for row in rows] for name in measures.COLUMNS[choice]}
        h5ad.write(draft(".h5ad"), columns, {**settings, "mpp": found.mpp})
