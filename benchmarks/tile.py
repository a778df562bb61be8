"""The CPU time of one tile of a slide, step by step, for each engine.

    python benchmarks/tile.py [--model unet_instances] [--tiles 6] [--engine ENGINE ...]

CPU time and not wall time, because it changes little when other programs run.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from whole_slide import make_slide

from nuclei.commands.predict import whole
from nuclei.errors import run_script
from nuclei.prediction import engines, instances
from nuclei.prediction.confidence import MIN_SCORE
from nuclei.slides import find, ome_zarr, tile_nuclei
from nuclei.slides import job as jobs
from nuclei.slides.merge import Numbering
from nuclei.slides.predict import CHANNELS
from nuclei.slides.slide import Slide
from nuclei.slides.tiles import TileGrid
from nuclei.slides.tissue import tissue_tiles

STEPS = {
    "read": (Slide, "read"),
    "separate": (instances, "separate"),
    "measure and trace": (tile_nuclei, "describe"),
    "write maps": (find, "_write_maps"),
}
"""Functions that `find` calls, in the order of the table; the network comes after the first."""


def main():
    """Print a table: a row for each step, in CPU seconds per tile."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="unet_instances", help="default: %(default)s")
    parser.add_argument("--tiles", type=whole, default=6, help="default: %(default)s")
    parser.add_argument(
        "--engine", nargs="+", choices=engines.ENGINES, default=["keras", "openvino-int8"]
    )
    options = parser.parse_args()
    spent = defaultdict(list)

    def timed(name, function):
        def call(*arguments, **keywords):
            began = time.process_time()
            result = function(*arguments, **keywords)
            spent[name].append(time.process_time() - began)
            return result

        return call

    for name, (place, function) in STEPS.items():
        setattr(place, function, timed(name, getattr(place, function)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide.tif"
        make_slide(path, 4096, 0.4)
        for engine in options.engine:
            spent.clear()
            measure(path, Path(folder) / engine, options.model, engine, options.tiles, timed)
            print(f"{options.model}, {engine}, CPU seconds per tile, median of {options.tiles}:")
            for name in ("read", "network", *list(STEPS)[1:], "find, in all", "number and paint"):
                print(f"  {name:18} {np.median(spent[name]):.4f}")


def measure(path, folder, model, engine, count, timed):
    """Find, number and paint some tiles of a slide with one engine."""
    slide = Slide(path, None)
    (folder / "work" / "nuclei").mkdir(parents=True)
    job = jobs.Job(
        slide=str(path),
        mpp=None,
        modified=0,
        grid=TileGrid(slide.shape),
        model=model,
        weights=engines.fingerprint(model, engine),
        threshold=0.5,
        min_score=MIN_SCORE,
        engine=engine,
        augment=False,
        measures="basic",
        zarr=str(folder / "slide.zarr"),
        work=str(folder / "work"),
    )
    loaded = jobs.load_engine(job)
    loaded.forward(np.zeros((1, *job.grid.view((0, 0))[2:], 3), np.uint8))  # compiles
    loaded.forward = timed("network", loaded.forward)
    channels = CHANNELS[: loaded.channels]
    ome_zarr.create(Path(job.zarr), slide.shape, channels, slide.mpp, "slide", (0, 0))
    tiles = tissue_tiles(slide)[:count]
    for tile in tiles:
        timed("find, in all", find.find)(job, tile)
    numbering, numbers = Numbering(job), {}

    def number_and_paint(tile):
        numbers[tile] = numbering.add(tile)
        around = {other: numbers[other] for other in job.grid.neighbours(tile) if other in numbers}
        find.paint(job, tile, {tile: numbers[tile], **around})

    for tile in tiles:
        timed("number and paint", number_and_paint)(tile)


if __name__ == "__main__":
    run_script(main)
