"""The report of a slide, by which a later run knows what is finished."""

import json
import operator
import zlib
from dataclasses import dataclass, field, fields
from pathlib import Path

from ..errors import SlideError
from ..prediction import results
from . import export, ome_zarr


@dataclass(frozen=True)
class Report:
    """The result of a run.

    Attributes
    ----------
    tiles : int
        Number of tiles with tissue.
    nuclei : int
        Number of nuclei.
    problems : dict of str to str
        The parts of the slide that could not be read: position, in pixels of the finest level, and
        reason.
    seconds : float
        Duration of this run; the work of an earlier run that it continued is not included.
    offset : tuple of int
        The x and y of the corner of the slide in its file, in pixels of the finest level, as
        `Slide.offset`. All positions in results are relative to this corner.
    hashes : dict of str to str
        SHA-256 of the outlines, by the ends of their names.
    """

    tiles: int
    nuclei: int
    problems: dict
    seconds: float | int
    offset: tuple
    hashes: dict = field(default_factory=dict)


PARTS, PART = 32, 4096
"""Parts of the file of a slide by which it is known, and the bytes of each."""

REPAIRED = 4
"""Up to so many parts may differ: a damaged slide that was fetched again goes on where it was."""

OUTLINES = ".geojson", ".parquet"
"""Results that people may change, by the ends of their names."""


def read_report(path, settings):
    """Read the report of an earlier run with the same settings.

    Parameters
    ----------
    path : Path
        A JSON file.
    settings : dict
        The settings of this run.

    Returns
    -------
    Report or None
        None if there is no report.

    Raises
    ------
    SlideError
        If the file is no report, or of a run with other settings.
    """
    if not path.exists():
        return None
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        before = dict(said["settings"])
        said["offset"] = tuple(said["offset"])
        report = Report(**{one.name: said[one.name] for one in fields(Report) if one.name in said})
        if not all(isinstance(getattr(report, one.name), one.type) for one in fields(Report)):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError):
        raise SlideError(f"{path} is not the report of a slide: remove it.") from None
    check_settings(path, before, settings)
    return report


def content(slide):
    """Checksums of parts of the file of a slide, from its first to its last byte.

    Parameters
    ----------
    slide : Path

    Returns
    -------
    list of str
        `PARTS` of them. Reading all of a slide would take minutes.
    """
    last = max(0, slide.stat().st_size - PART)
    found = []
    with open(slide, "rb") as file:
        for number in range(PARTS):
            file.seek(last * number // (PARTS - 1))
            found.append(f"{zlib.crc32(file.read(PART)):08x}")
    return found


def check_settings(path, before, settings):
    """Raise a SlideError if a file is from a run with other settings, or of another slide."""
    settings = dict(settings)
    now, parts = settings.pop("content"), before.get("content")
    alike = isinstance(parts, list) and len(parts) == len(now)
    if not alike or sum(map(operator.ne, parts, now)) > REPAIRED:
        raise SlideError(
            f"{path} is from a run with another slide of this name and size: use another folder "
            "for --out, or remove the results of that run."
        )
    for name, value in settings.items():
        if before.get(name) != value:
            raise SlideError(
                f"{path} is from a run with another {name} ({before.get(name)}, not {value}): use "
                "another folder for --out, or remove the results of that run."
            )


def lost_result(stem, shape, report):
    """Find a result that is missing, or not as the run has written it.

    Parameters
    ----------
    stem : Path
        The results without their endings.
    shape : tuple of int
        Height and width of the slide in pixels, as it is read.
    report : Report
        Of a run without problems.

    Returns
    -------
    Path or None
        None if all results are whole.
    """
    paths = {kind: Path(f"{stem}.{kind}") for kind in ("zarr", "geojson", "parquet")}
    whole = {
        "zarr": ome_zarr.is_whole(paths["zarr"], shape, report.tiles),
        "geojson": export.is_whole_geojson(paths["geojson"]),
        "parquet": export.is_whole_parquet(paths["parquet"], report.nuclei),
    }
    return next((paths[kind] for kind in paths if not whole[kind]), None)


def hashes(paths):
    """Hash results by the ends of their names, for the report.

    Parameters
    ----------
    paths : dict of str to Path

    Returns
    -------
    dict of str to str or None
    """
    return {kind: results.digest(paths[kind]) for kind in OUTLINES}


def changed_result(stem, report):
    """Find outlines that were changed since they were written, as when they are corrected by hand.

    Parameters
    ----------
    stem : Path
        The results without their endings.
    report : Report

    Returns
    -------
    Path or None
        A file that is empty or cut off is damaged, and does not count as changed.
    """
    paths = {kind: Path(f"{stem}{kind}") for kind in OUTLINES}
    now = hashes(paths)
    changed = (paths[kind] for kind in paths if now[kind] not in (None, report.hashes.get(kind)))
    return next((path for path in changed if not results.is_cut(path)), None)
