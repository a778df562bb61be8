"""Predict a whole slide: its tiles are Dask tasks, on one machine or on a cluster."""

import json
import os
import shutil
import sys
import time
from collections import deque
from dataclasses import replace
from functools import partial
from pathlib import Path

from .. import modelfiles
from ..atomic import expand, explain_write_errors, locked, write_json
from ..errors import SlideError
from ..images import name_of
from ..prediction import engines, stain_strength
from ..prediction.confidence import MIN_SCORE
from . import dask_cluster, export, ome_zarr
from .find import find, paint
from .job import Job, load_engine
from .merge import Numbering
from .report import (
    Report,
    changed_result,
    check_settings,
    content,
    hashes,
    lost_result,
    read_report,
)
from .slide import Slide
from .tiles import TileGrid
from .tissue import tissue_tiles

CHANNELS = "probability of nucleus", "relative distance to its border"


def predict(
    model,
    slide,
    out,
    *,
    mpp=None,
    threshold=0.5,
    min_score=MIN_SCORE,
    augment=False,
    measures="basic",
    engine=engines.AUTO,
    workers=1,
    scheduler=None,
):
    """Find the nuclei of a whole slide.

    Writes `<stem>.zarr`, maps and labels as OME-NGFF; `<stem>.geojson` and `<stem>.parquet`,
    outlines and measures of the nuclei; and at the end `<stem>.json`, the report. After an
    interruption, the same call continues with the remaining tiles.

    Parameters
    ----------
    model : str
        Name or path, as for `modelfiles.members`.
    slide : str or Path
        As for `slide.Slide`. Results of a link are named after the link.
    out : str or Path
        Folder of the results, see `atomic.expand`. All workers need access to it, and to the
        slide, under the same path.
    mpp : float, optional
        Micrometres per pixel of the slide's finest level, if the file lacks them or is wrong.
    threshold : float
        A pixel belongs to a nucleus from this probability up.
    min_score : float
        Nuclei with a lower score are left out; see `instances.separate`.
    augment : bool
        Test-time augmentation: average over the 8 flips and quarter turns.
    measures : {"basic", "all"}
        Which measures of each nucleus, see `prediction.measures`.
    engine : str
        As for `engines.choose`. The report has the engine that was chosen.
    workers : int
        With 1 the work is done in this process, on all cores. More workers are processes that
        share the cores.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers are then used instead.

    Returns
    -------
    Report

    Raises
    ------
    SlideError
        If the slide cannot be read, another run is writing the same files, files in the way come
        from a run with other settings or from none, or workers crash at one of its tiles.
    InputError
        If the model cannot be read, a result cannot be written, or other workers fail.
    """
    named, out = expand(slide), expand(out).resolve()
    slide, stem = named.resolve(), out / name_of(named)  # a link gives its own name to the results
    opened = Slide(slide, mpp)
    engine = engines.choose(model, engine)
    chosen = {
        "slide": str(slide),
        "model": modelfiles.identity(model),
        "engine": engine,  # first, because another one also has other weights
        "weights": engines.fingerprint(model, engine),
        "threshold": threshold,
        "min_score": min_score,
        "augment": augment,
        "measures": measures,
    }
    settings = {
        **chosen,
        "bytes": slide.stat().st_size,
        "content": content(slide),
        "mpp": opened.mpp,
        "shape": list(opened.shape),
    }
    with locked(Path(f"{stem}.lock"), f"predicting {named.name} into {out}", SlideError):
        _refuse_foreign(stem)
        if report := _finished(stem, settings, opened):
            return report
        work, store = Path(f"{stem}.work"), Path(f"{stem}.zarr")
        job = Job(
            **chosen,
            mpp=mpp,
            modified=slide.stat().st_mtime_ns,
            grid=TileGrid(opened.shape),
            zarr=str(store),
            work=str(work),
        )
        return _run(job, opened, settings, stem, workers, scheduler)


def _run(job, slide, settings, stem, workers, scheduler):
    started = time.perf_counter()
    overview = slide.overview()
    job = replace(job, stain=stain_strength.factor(overview[0]))
    # Rounded, because the last digits may differ on another machine.
    settings = settings | {"stain": round(job.stain, 2)}
    _begin(job, slide, settings)
    if notice := stain_strength.notice(job.slide, job.stain):
        print(notice, file=sys.stderr)
    todo = tissue_tiles(slide, overview)
    # Drafts lie in the work folder, so that a killed run leaves no incomplete results.
    kinds = ".geojson", ".parquet", ".json"
    drafts = {suffix: Path(job.work) / f"draft{suffix}" for suffix in kinds}
    with (
        explain_write_errors(job.work),
        export.writer(job, slide, drafts[".geojson"], drafts[".parquet"]) as write,
        dask_cluster.connect(workers, scheduler, (job.slide, job.work)) as client,
    ):
        nuclei, problems = _work(client, job, todo, write)
    report = Report(
        tiles=len(todo),
        nuclei=nuclei,
        problems={_place(job, slide, tile): problem for tile, problem in problems.items()},
        seconds=round(time.perf_counter() - started, 1),
        offset=slide.offset,
        hashes=hashes(drafts),
    )
    text = json.dumps({"settings": settings, **vars(report)}, indent=1) + "\n"
    with explain_write_errors(stem.parent):
        drafts[".json"].write_text(text, encoding="utf-8")
        Path(f"{stem}.json").unlink(missing_ok=True)  # its hashes are of what is now replaced
        for suffix, draft in drafts.items():  # the report last: it says that all is there
            os.replace(draft, f"{stem}{suffix}")
    if not problems:
        shutil.rmtree(job.work, ignore_errors=True)
    return report


def _refuse_foreign(stem):
    """Raise a SlideError if results would replace files that no run is known to have written."""
    if Path(f"{stem}.json").exists() or Path(f"{stem}.work").exists():
        return
    for kind in (".zarr", ".geojson", ".parquet", ".h5ad"):
        if (other := Path(f"{stem}{kind}")).exists():
            raise SlideError(
                f"{other} would be replaced, but no earlier run is known to have written it: move "
                "it away, or choose another folder for --out."
            )


def _work(client, job, todo, write):
    """Find, number, write and paint all nuclei; return their number and the tiles with problems."""
    numbering, numbers, problems = Numbering(job), {}, {}
    unpainted, paintings = deque(), []

    def paint_next():
        tile = unpainted.popleft()
        around = {b: numbers[b] for b in [tile, *job.grid.neighbours(tile)] if b in numbers}
        # A higher priority than tiles that wait to be predicted.
        future = client.submit(paint, job, tile, around, pure=False, priority=1)
        paintings.append(future)

    for tile, problem in dask_cluster.in_order(client, find, job, todo):
        if problem:
            problems[tile] = problem
            continue
        numbers[tile] = numbering.add(tile)
        write(tile, numbers[tile])
        unpainted.append(tile)
        # Paint a tile once its last neighbour, below and to the right, is numbered.
        while (unpainted[0][0] + 1, unpainted[0][1] + 1) <= tile:
            paint_next()
    while unpainted:
        paint_next()
    dask_cluster.wait(paintings, "Labels")
    _fill_pyramids(client, job, todo)
    return numbering.count, problems


def _begin(job, slide, settings):
    """Create the output folders, or check that they belong to a run with the same settings."""
    begun = Path(job.work) / "settings.json"
    if begun.exists():
        before = {"stain": 1.0}  # in versions that did not change it
        before |= json.loads(begun.read_text(encoding="utf-8"))
        check_settings(begun, before, settings)
        if ome_zarr.is_whole(Path(job.zarr), slide.shape):
            with explain_write_errors(job.zarr):
                ome_zarr.remove_drafts(Path(job.zarr))
            return
        print(f"{job.zarr} is missing or damaged: the slide is begun again.", file=sys.stderr)
    channels = CHANNELS[: load_engine(job).channels]
    with explain_write_errors(job.zarr):
        shutil.rmtree(job.zarr, ignore_errors=True)  # left by an unfinished run
        shutil.rmtree(job.work, ignore_errors=True)
        (Path(job.work) / "nuclei").mkdir(parents=True)
        name = Path(job.zarr).stem
        finest = slide.mpp / slide.scale
        corner = tuple(n * finest for n in slide.offset[::-1])
        ome_zarr.create(Path(job.zarr), slide.shape, channels, slide.mpp, name, corner)
    write_json(begun, settings)


def _fill_pyramids(client, job, todo):
    for group in ("", "labels/nuclei"):
        for level in range(ome_zarr.OWN, ome_zarr.levels(job.grid.shape)):
            chunks = sorted({(row >> level, column >> level) for row, column in todo})
            shrink = partial(client.submit, ome_zarr.shrink, job.zarr, group, level, pure=False)
            dask_cluster.wait([shrink(*chunk) for chunk in chunks], "Pyramid")


def _place(job, slide, tile):
    """Position of a tile in pixels of the finest level, as viewers show it."""
    top, left, height, width = (round(n * slide.scale) for n in job.grid.core(tile))
    return f"x {left} to {left + width}, y {top} to {top + height}"


def _finished(stem, settings, slide):
    """The report of an earlier run that finished without problems, or None.

    If a result of that run is lost, the slide is predicted again from the start, but not if it
    would replace outlines that were changed since.
    """
    path = Path(f"{stem}.json")
    report = read_report(path, settings)
    if report is None:
        return None
    lost = lost_result(stem, slide.shape, report)
    if (lost or report.problems) and (changed := changed_result(stem, report)):
        raise SlideError(
            f"{changed} was changed since it was written: move it away, or choose another folder "
            "for --out."
        )
    if report.problems:
        return None
    if lost:
        print(f"{lost} is missing or damaged: the slide is predicted again.", file=sys.stderr)
        work = Path(f"{stem}.work")
        shutil.rmtree(work, ignore_errors=True)
        with explain_write_errors(path):
            work.mkdir(exist_ok=True)  # it says that what is left is of a run
            path.unlink()
        return None
    shutil.rmtree(f"{stem}.work", ignore_errors=True)  # a run may have ended before
    return report
