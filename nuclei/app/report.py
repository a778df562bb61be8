"""The files that a visitor downloads: results as of the command line, and a report of one page."""

import html
import tempfile
from pathlib import Path

from ..errors import InputError, reason
from ..images import IMAGE_SUFFIXES
from ..prediction import results
from . import picture

KINDS = {
    "_mask.png": ("Mask (PNG)", "image/png"),
    "_labels.tif": ("Labels (TIFF)", "image/tiff"),
    ".geojson": ("QuPath (GeoJSON)", "application/geo+json"),
    ".csv": ("Table (CSV)", "text/csv"),
    "_report.html": ("Report (HTML)", "text/html"),
}
"""Endings of the files, the words on their links, and their kinds."""

LONGEST_STEM = 60
"""Letters before these endings: file systems take 255 bytes, and a letter may need four."""


def files(work, model):
    """Make all files of one image.

    Parameters
    ----------
    work : Work
    model : str
        Its name, for the report.

    Returns
    -------
    dict of str to bytes
        The content of each file by its name, in the order of `KINDS`.

    Raises
    ------
    InputError
        If the folder for temporary files cannot be written.
    """
    path = Path(Path(work.name).name)  # a visitor may name an upload ../../file
    # Names of slides may have dots, and need not end with a suffix.
    stem = (path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name) or "image"
    stem = stem[:LONGEST_STEM]
    # The writers of the command line write files; this folder is gone at the end of the block.
    try:
        with tempfile.TemporaryDirectory() as folder:
            results.write(work.found, folder, stem, instances=True)
            made = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    except OSError as error:  # `results.write` explains its own
        raise InputError(
            f"Files of {work.name} could not be made ({reason(error)}): free some space in the "
            "folder for temporary files."
        ) from None
    made[f"{stem}_report.html"] = page(work, model).encode()
    return {f"{stem}{ending}": made[f"{stem}{ending}"] for ending in KINDS}


def links(made):
    """Write links that hold the files themselves, so that no server keeps them.

    Parameters
    ----------
    made : dict of str to bytes
        From `files`.

    Returns
    -------
    str
        HTML.
    """
    texts = []
    for (name, content), (words, kind) in zip(made.items(), KINDS.values(), strict=True):
        address = picture.data_url(content, kind)
        texts.append(f'<a download="{html.escape(name)}" href="{address}">{words}</a>')
    return '<p class="downloads">' + " ".join(texts) + "</p>"


def page(work, model):
    """Write the report: settings, numbers, the image with outlines, and the charts.

    Parameters
    ----------
    work : Work
    model : str
        Its name.

    Returns
    -------
    str
        HTML that needs no other file.
    """
    found, name = work.found, html.escape(work.name)
    charts = picture.data_url(picture.charts(work), "image/png")
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Nuclei of {name}</title>
<style>body {{ font: 15px sans-serif; max-width: 48em; margin: 1em auto; padding: 0 1em;
overflow-wrap: anywhere }}
.image {{ position: relative; max-width: 32em }} img {{ width: 100% }}
.over {{ position: absolute; left: 0; top: 0 }}</style>
<h1>Nuclei of {name}</h1>
<p>{html.escape(work.sentence())}</p>
<p>Model {html.escape(str(model))}, threshold {work.threshold:g}, score of objects from
{work.min_score:g}, {found.mpp:.4g} &micro;m per pixel, {found.image.shape[1]} x
{found.image.shape[0]} pixels. For research, not for diagnosis.</p>
<div class="image"><img alt="The image" src="{picture.photograph(found.image)}">
<img class="over" alt="Outlines of its nuclei" src="{picture.layer(work)}"></div>
<img alt="Histogram of area, and area against haematoxylin" src="{charts}">
</html>
"""
