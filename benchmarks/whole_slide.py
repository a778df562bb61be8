"""Whole slides: throughput compared with the bare network, memory, and two processes with one.

    python benchmarks/whole_slide.py [--side 6144] [--tissue 0.4] [--model unet_instances]
                                     [--engine auto] [--processes]

The slide is a disc of tissue on glass in three levels, with JPEG tiles of 256 pixels. The tissue is
made of mirrored MoNuSeg training images if they are available, else of synthetic tissue.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import load
import numpy as np
import tifffile

from nuclei import ROOT
from nuclei.commands.predict import whole
from nuclei.data import monuseg
from nuclei.errors import InputError, run_script
from nuclei.prediction import engines

GLASS, TILE = 243, 256


def make_slide(path, side, share):
    """Write the slide, tile by tile; `share` is the fraction of its area that is tissue."""
    pictures = [sample.image for sample in monuseg.load("trainval", None)[:4]]
    rows = np.concatenate([np.concatenate(pictures[:2], 1), np.concatenate(pictures[-2:], 1)])
    period = np.pad(rows[:1024, :2048], ((0, 1024), (0, 0), (0, 0)), mode="symmetric")
    radius = side * np.sqrt(share / np.pi)

    def tiles(level):
        pattern, length = period[:: 2**level, :: 2**level], -(-side // 2**level)
        glass = np.full((TILE, TILE, 3), GLASS, np.uint8)
        for top in range(0, length, TILE):
            for left in range(0, length, TILE):
                place = (np.array([top, left]) + TILE / 2) * 2**level - side / 2
                rows, columns = top % len(pattern), left % len(pattern)
                part = pattern[rows : rows + TILE, columns : columns + TILE]
                yield part if np.hypot(*place) < radius else glass

    options = {"tile": (TILE, TILE), "compression": "jpeg", "photometric": "rgb", "dtype": np.uint8}
    options["compressionargs"] = {"level": 85}
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        known = {"resolution": (40000, 40000), "resolutionunit": "CENTIMETER", "subifds": 2}
        writer.write(tiles(0), shape=(side, side, 3), **known, **options)
        for level in (1, 2):
            shape = (-(-side // 2**level),) * 2 + (3,)
            writer.write(tiles(level), shape=shape, subfiletype=1, **options)


def predict(model, path, engine, out, *more):
    """Predict the slide; return its report, the peak memory in GB and the CPU seconds."""
    spent = os.times()
    words = (model, str(path), "--engine", engine, "--out", str(out), *more)
    code, _, samples = load.run(words, Path(f"{out}.json"), stderr=None)
    if code:
        sys.exit(code)  # `nuclei predict` has said why
    report = json.loads((out / f"{path.stem}.json").read_text())
    work = sum(os.times()[2:4]) - sum(spent[2:4])
    return report, max(used for _, used in samples) / 1e9, work


@contextmanager
def workers(count):
    """Start a Dask scheduler and single-threaded worker processes; yield the address."""
    threads = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **dict.fromkeys(threads, "1")}
    address, dask = "tcp://127.0.0.1:8799", [sys.executable, "-m", "dask"]
    quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = [*dask, "scheduler", "--host", "127.0.0.1", "--port", "8799", "--no-dashboard"]
    worker = [*dask, "worker", address, "--nthreads", "1", "--no-dashboard"]
    processes = [subprocess.Popen(words, **quiet) for words in (scheduler, *[worker] * count)]
    try:
        yield address
    finally:
        for process in processes[::-1]:
            process.terminate()
        for process in processes:
            process.wait()


def bare_seconds(model, path, engine):
    """Seconds of one forward pass over a tile with its halo, measured in a new process."""
    code = f"""
import time, numpy as np
from nuclei.prediction import engines
from nuclei.slides.slide import Slide
from nuclei.slides.tiles import HALO, SIDE
slide, engine = Slide({str(path)!r}), engines.load({model!r}, {engine!r})
side = SIDE + 2 * HALO
first = (slide.shape[0] - side) // 2
views = [slide.read(first + 30 * i, first, side, side) for i in range(6)]
engine.forward(views[0][None])
times = []
for _ in range(5):
    for view in views:
        start = time.perf_counter()
        engine.forward(view[None])
        times.append(time.perf_counter() - start)
print(np.mean(times))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise InputError(done.stderr.strip().rpartition("Error: ")[2])
    return float(done.stdout.split()[-1])


def main():
    """Measure one run, and with --processes also one and two processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=whole, default=6144, help="pixels (default: %(default)s)")
    parser.add_argument("--tissue", type=float, default=0.4, help="fraction (default: %(default)s)")
    parser.add_argument("--model", default="unet_instances", help="default: %(default)s")
    choices = engines.AUTO, *engines.ENGINES
    parser.add_argument("--engine", choices=choices, default="auto", help="default: %(default)s")
    parser.add_argument("--processes", action="store_true", help="also time two processes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide.tif"
        make_slide(path, options.side, options.tissue)
        print(f"slide of {options.side} pixels a side, {path.stat().st_size / 1e6:.0f} MB")
        network = options.model, path, options.engine
        bare = bare_seconds(*network)
        report, memory, work = predict(*network, Path(folder, "one"))
        count, seconds = report["tiles"], report["seconds"]
        if not count:
            raise InputError("No tissue was found on the slide: choose a larger --side.")
        bare = (bare + bare_seconds(*network)) / 2  # before and after: clocks drift
        print(
            f"{count} tiles and {report['nuclei']:,} nuclei in {seconds:.0f} s, "
            f"{seconds / count:.3f} s and {work / count:.3f} CPU s per tile; bare network "
            f"{bare:.3f} s: {bare * count / seconds:.0%} of its throughput; memory {memory:.2f} GB"
        )
        if options.processes:
            seconds = []
            for count in (1, 2):
                with workers(count) as address:
                    where = Path(folder, str(count)), "--scheduler", address
                    seconds.append(predict(*network, *where)[0]["seconds"])
            print(
                f"one single-threaded process {seconds[0]:.0f} s, two {seconds[1]:.0f} s: "
                f"{seconds[0] / seconds[1]:.2f} times"
            )


if __name__ == "__main__":
    run_script(main)
