"""Nuclei of a whole slide: its blocks as tasks of Dask, on one machine or on a cluster."""

import hashlib
import json
import os
import shutil
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

from . import blocks, cluster, files, ngff, shapefiles
from .blocks import Job
from .files import InputError
from .ngff import CHUNK
from .numbering import Numbering
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
    # Drafts grow all the time, so they lie where a run that is killed leaves nothing behind.
    drafts = {suffix: Path(job.work) / f"draft{suffix}" for suffix in (".geojson", ".parquet")}
    with (
        files.writing(job.work),
        shapefiles.writer(job, *drafts.values()) as write,
        cluster.connect(workers, scheduler) as client,
    ):
        nuclei, problems = _work(client, job, todo, write)
    with files.writing(stem.parent):
        for suffix, draft in drafts.items():
            os.replace(draft, _beside(stem, suffix))
    report = Report(
        blocks=len(todo),
        nuclei=nuclei,
        problems={_place(job, block): problem for block, problem in problems.items()},
        seconds=round(time.perf_counter() - started, 1),
    )
    with files.whole(_beside(stem, ".json")) as temporary:
        content = {"settings": settings, **vars(report)}
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if not problems:
        shutil.rmtree(job.work, ignore_errors=True)
    return report


def _work(client, job, todo, write):
    """Find, number, write and paint all nuclei; their count, and blocks with problems."""
    numbering, numbers, problems = Numbering(job), {}, {}
    unpainted, paintings = deque(), []

    def paint():
        block = unpainted.popleft()
        around = {b: numbers[b] for b in [block, *blocks.neighbours(block)] if b in numbers}
        # Before blocks that wait to be predicted.
        future = client.submit(blocks.paint, job, block, around, pure=False, priority=1)
        paintings.append(future)

    for block, problem in cluster.in_order(client, blocks.find, job, todo):
        if problem:
            problems[block] = problem
            continue
        numbers[block] = numbering.add(block)
        write(block, numbers[block])
        unpainted.append(block)
        # All neighbours are numbered, of which the last is below and to the right.
        while (unpainted[0][0] + 1, unpainted[0][1] + 1) <= block:
            paint()
    while unpainted:
        paint()
    cluster.wait(paintings, "Labels")
    _fill_pyramids(client, job, todo)
    return numbering.count, problems


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


def _fill_pyramids(client, job, todo):
    for group in ("", "labels/nuclei"):
        for level in range(ngff.OWN, ngff.levels(job.source.shape)):
            chunks = sorted({(row >> level, column >> level) for row, column in todo})
            shrink = partial(client.submit, ngff.shrink, job.zarr, group, level, pure=False)
            cluster.wait([shrink(*chunk) for chunk in chunks], "Pyramid")


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
