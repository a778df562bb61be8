"""Nuclei of a whole slide: its blocks as tasks of Dask, on one machine or on a cluster."""

import hashlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import blocks, cluster, files, ngff, shapefiles
from .blocks import Job
from .files import InputError
from .ngff import CHUNK
from .slides import Slide, find_tissue

CHANNELS = "probability of nucleus", "relative distance to its border"


@dataclass(frozen=True)
class Report:
    """What a run has brought.

    Attributes
    ----------
    blocks : int
        With tissue on them.
    nuclei : int
    problems : dict of str to str
        By place in the slide's finest level, what is wrong with it.
    seconds : float
        That this run took: less than the whole if it went on with an earlier one.
    """

    blocks: int
    nuclei: int
    problems: dict
    seconds: float


def predict(
    model,
    slide,
    out,
    *,
    micrometres_per_pixel=None,
    threshold=0.5,
    augment=False,
    workers=1,
    scheduler=None,
):
    """Find the nuclei of a whole slide.

    Writes `<stem>.zarr`, maps and labels as OME-NGFF; `<stem>.geojson` and `<stem>.parquet`, the
    nuclei as shapes with measures; and, last, `<stem>.json`, the report. Killed at any moment, the
    same call goes on where it was.

    Parameters
    ----------
    model : str
        Name or path, as for `modelzoo.load`.
    slide : str or Path
        As for `slides.Slide`.
    out : str or Path
        Folder of the results; all workers must see it, and the slide, under the same path.
    micrometres_per_pixel : float, optional
        Of the slide's finest level, where the file does not say or is wrong.
    threshold : float
        Nuclei begin at this probability.
    augment : bool
        Average over the 8 flips and quarter turns.
    workers : int
        1 works in this process, on all cores; more are processes that share the cores.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers are then used instead.

    Returns
    -------
    Report

    Raises
    ------
    InputError
        If the slide or the model cannot be read, a result not be written, another run writes to
        the same files, or they are of other settings.
    """
    slide, out = Path(slide).resolve(), Path(out).resolve()
    stem = out / slide.stem
    opened = Slide(slide, micrometres_per_pixel)
    weights = _fingerprint(model)
    settings = {
        "slide": str(slide),
        "bytes": slide.stat().st_size,
        "micrometres_per_pixel": opened.micrometres_per_pixel,
        "shape": list(opened.shape),
        "model": str(model),
        "weights": weights,
        "threshold": threshold,
        "augment": augment,
    }
    with files.locked(_beside(stem, ".lock"), f"{slide.name} into {out}"):
        if report := _finished(_beside(stem, ".json"), settings):
            return report
        work, store = _beside(stem, ".work"), _beside(stem, ".zarr")
        job = Job(
            slide=str(slide),
            resolution=micrometres_per_pixel,
            modified=slide.stat().st_mtime_ns,
            model=str(model),
            weights=weights,
            threshold=threshold,
            augment=augment,
            zarr=str(store),
            work=str(work),
        )
        return _run(job, settings, stem, workers, scheduler)


def tissue_blocks(slide):
    """List the blocks with tissue on them.

    Parameters
    ----------
    slide : slides.Slide

    Returns
    -------
    list of tuple of int
        Row and column, row by row. What could not be read counts as tissue: it is reported then,
        rather than passed over.
    """
    image, readable = slide.overview()
    tissue = find_tissue(image) | ~readable
    height, width = slide.shape
    steps = height / tissue.shape[0], width / tissue.shape[1]

    def covers(block):
        top, left, rows, columns = blocks.core(block, slide.shape)
        here = slice(int(top / steps[0]), int((top + rows) / steps[0]) + 1)
        return tissue[here, int(left / steps[1]) : int((left + columns) / steps[1]) + 1].any()

    grid = product(range(-(-height // CHUNK)), range(-(-width // CHUNK)))
    return [block for block in grid if covers(block)]


def _run(job, settings, stem, workers, scheduler):
    started = time.perf_counter()
    _begin(job, settings)
    todo = tissue_blocks(job.source)
    with cluster.connect(workers, scheduler) as client:
        problems = cluster.collect(client, blocks.find, job, todo)
        identities = _number(job, [block for block in todo if block not in problems])
        around = {b: [b, *blocks.neighbours(b)] for b in todo}
        paintings = [
            (job, block, {b: identities[b] for b in around[block] if b in identities})
            for block in identities
        ]
        cluster.wait(client, blocks.paint, paintings, "Labels")
        _fill_pyramids(client, job, todo)
    numbers = [_place(job, block) for block in problems]
    with (
        files.whole(_beside(stem, ".geojson")) as geojson,
        files.whole(_beside(stem, ".parquet")) as parquet,
    ):
        shapefiles.write(job, identities, geojson, parquet)
    report = Report(
        blocks=len(todo),
        nuclei=max((int(ids.max()) for ids in identities.values()), default=0),
        problems=dict(zip(numbers, problems.values(), strict=True)),
        seconds=round(time.perf_counter() - started, 1),
    )
    with files.whole(_beside(stem, ".json")) as temporary:
        content = {"settings": settings, **vars(report)}
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if not problems:
        shutil.rmtree(job.work, ignore_errors=True)
    return report


def _begin(job, settings):
    """Lay out what is written to, or check that it is of the same run."""
    begun = Path(job.work) / "settings.json"
    if begun.exists():
        _check_settings(begun, json.loads(begun.read_text(encoding="utf-8")), settings)
        return
    model = blocks.load_model(job.model, job.weights)
    with files.writing(job.zarr):
        shutil.rmtree(job.zarr, ignore_errors=True)  # what was here was not finished
        shutil.rmtree(job.work, ignore_errors=True)
        (Path(job.work) / "nuclei").mkdir(parents=True)
        channels = CHANNELS[: model.output_shape[-1]]
        name = Path(job.slide).stem
        resolution = job.source.micrometres_per_pixel
        ngff.create(Path(job.zarr), job.source.shape, channels, resolution, name)
    with files.whole(begun) as temporary:
        temporary.write_text(json.dumps(settings), encoding="utf-8")


def _number(job, todo):
    """Number all nuclei of the slide, each once.

    Returns
    -------
    dict of tuple of int to ndarray of uint32, shape (N + 1,)
        By block, the number on the slide of its nuclei 0..N; 0 where there is none.
    """
    identities, kept, count = {}, {}, 0
    for block in tqdm(todo, desc="Numbering", unit="block", leave=False, delay=1):
        own, points = blocks.load(job, block, "runs", "points")
        earlier = [kept[other] for other in blocks.neighbours(block) if other in kept]
        stays = np.ones(len(points) + 1, bool)
        stays[0] = False
        stays[blocks.duplicates(job, block, own, earlier)] = False
        identities[block] = np.where(stays, count + np.cumsum(stays), 0).astype(np.uint32)
        count += int(stays.sum())
        kept[block] = own[stays[own[:, 0]]]
        kept = {other: runs for other, runs in kept.items() if other[0] >= block[0] - 1}
    return identities


def _fill_pyramids(client, job, todo):
    for group in ("", "labels/nuclei"):
        for level in range(1, len(ngff.levels(Path(job.zarr), group))):
            chunks = sorted({(row >> level, column >> level) for row, column in todo})
            tasks = [(Path(job.zarr), group, level, *chunk) for chunk in chunks]
            cluster.wait(client, ngff.shrink, tasks, "Pyramid")


def _place(job, block):
    """Say where a block is, in the pixels that a viewer shows."""
    top, left, height, width = (round(n * job.source.scale) for n in job.core(block))
    return f"x {left} to {left + width}, y {top} to {top + height}"


def _finished(path, settings):
    """The report of a run that was finished before, without problems."""
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        before = content.pop("settings")
    except (ValueError, KeyError):
        raise InputError(f"{path} is no report of a slide: remove it.") from None
    _check_settings(path, before, settings)
    return None if content["problems"] else Report(**content)


def _check_settings(path, before, settings):
    for name, value in settings.items():
        if before.get(name) != value:
            raise InputError(
                f"{path} is of a run with another {name} ({before.get(name)}, not {value}): choose "
                "another folder for --out, or remove the results of that run."
            )


def _fingerprint(model):
    """Tell one training of a model from another."""
    from . import modelzoo

    digest = hashlib.sha256()
    for path in sorted(modelzoo.find(model).glob("*")):
        if path.suffix == ".h5" or path.name == "config.json":
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _beside(stem, suffix):
    return Path(os.fspath(stem) + suffix)
