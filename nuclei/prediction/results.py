"""Write the nuclei of an image to files, and know them again."""

import hashlib
import json

import numpy as np
import tifffile
from PIL import Image

from ..atomic import atomic_write, expand
from ..images import write_png
from . import h5ad, measures, outlines

RECORD = "nuclei"
"""Keyword of the text in a mask that says what it and the other files were made from."""


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


def foreign(files):
    """Find a file that `write` would replace, although no earlier run has written it.

    Parameters
    ----------
    files : list of Path
        From `paths`.

    Returns
    -------
    Path or None
        None if none of them is there, or if the mask has a record: then they are earlier results.
    """
    try:
        with Image.open(files[-1]) as image:
            if RECORD in image.info:
                return None
    except Exception:  # there is no mask, or it is damaged
        pass
    return next((path for path in files if path.exists()), None)


def are_written(files, record):
    """Return whether files are as `write` wrote them, from the same image in the same way.

    The record of it lies in the mask, which is renamed into place last. It has a hash of each other
    file, because a run with other settings may have been killed after it replaced some of them.

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
    *others, mask = files
    try:
        with Image.open(mask) as image:
            image.load()  # fails if it is damaged
            before = json.loads(image.info[RECORD])
        written = before.pop("files")
        # Through JSON, too, which knows no tuples.
        return before == json.loads(json.dumps(record)) and all(
            written[path.name] == digest(path) for path in others
        )
    except Exception:  # whatever is wrong with it, it is none of these masks
        return False


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
    """Write the nuclei of an image, each file completely or not at all.

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
        `are_written` and `foreign`.

    Raises
    ------
    InputError
        If a file cannot be written.
    """
    kinds = {"probability": probability, "overlay": overlay, "instances": instances}
    *others, mask = paths(out, stem, anndata=settings is not None, **kinds)
    stem = expand(out) / stem
    if probability:
        with atomic_write(f"{stem}_probability.tif") as temporary:
            tifffile.imwrite(temporary, found.probability, compression="zlib")
    if instances:
        _write_nuclei(found, stem, choice, settings)
    if overlay:
        from .overlay import outline  # not at the top: it loads scikit-image

        nuclei = found.labels if instances else found.mask
        write_png(f"{stem}_overlay.png", outline(found.image, nuclei))
    record = {**(record or {}), "files": {path.name: digest(path) for path in others}}
    # The mask is written last: if it exists, the other files of the image do too.
    write_png(mask, found.mask.astype(np.uint8) * 255, {RECORD: json.dumps(record)})


def _write_nuclei(found, stem, choice, settings):
    """Write the labels, outlines and measures; they are renamed together, for runs that end."""
    rows = measures.measure(found.labels, found.image, found.mpp, choice, found.scores)
    kind = "uint16" if found.labels.max() < 2**16 else "uint32"
    with (
        atomic_write(f"{stem}_labels.tif") as labels,
        atomic_write(f"{stem}.geojson") as objects,
        atomic_write(f"{stem}.csv") as table,
    ):
        tifffile.imwrite(labels, found.labels.astype(kind), compression="zlib")
        objects.write_text(outlines.geojson(found.labels, rows), encoding="utf-8")
        measures.write_table(table, rows, choice)
    if settings is not None:
        columns = {name: [row[name] for row in rows] for name in measures.COLUMNS[choice]}
        h5ad.write(f"{stem}.h5ad", columns, {**settings, "mpp": found.mpp})
