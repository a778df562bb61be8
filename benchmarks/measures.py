"""Measures of nuclei: what `--measures all` adds to the work on an image and on a tile of a slide.

    python benchmarks/measures.py [--model unet_instances] [--nuclei 1000000]

The image is the first of the validation split: MoNuSeg's if it is available, else synthetic tissue.
Times are seconds of one core, which other programs on the machine hardly change.
"""

import argparse
import json
import resource
import time
from functools import partial

import numpy as np

from nuclei import modelzoo
from nuclei.commands.predict import whole
from nuclei.data import monuseg
from nuclei.errors import run_script
from nuclei.prediction import instances, measures, neighbours, outlines, windows
from nuclei.slides import tile_nuclei
from nuclei.slides.tiles import HALO, SIDE


def seconds(function, times=3):
    """The least CPU seconds of some calls, and what the last one returned."""
    least = np.inf
    for _ in range(times):
        start = time.process_time()
        result = function()
        least = min(least, time.process_time() - start)
    return least, result


def main():
    """Time one image, one tile, and the neighbours of many nuclei."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="unet_instances", help="default: %(default)s")
    parser.add_argument("--nuclei", type=whole, default=1_000_000, help="default: %(default)s")
    options = parser.parse_args()
    model, sample = modelzoo.load(options.model), monuseg.load("val", None)[0]
    image = np.pad(sample.image, ((0, 1024), (0, 1024), (0, 0)), mode="symmetric")
    core, window = (HALO, HALO, SIDE, SIDE), (0, 0, SIDE + 2 * HALO, SIDE + 2 * HALO)

    def of_image(choice):
        maps = windows.predict_maps(model, sample.image)
        labels, scores = instances.separate(maps)
        rows = measures.measure(labels, sample.image, choice=choice, scores=scores)
        return labels, json.loads(outlines.geojson(labels, rows))

    def of_tile(choice):
        view = image[: window[2], : window[3]]
        labels, scores = instances.separate(windows.forward(model, view[None])[0])
        place = window, core, choice
        return labels, tile_nuclei.describe(labels, scores, view, measures.MPP, *place)

    def measured(labels, choice):
        area = image[: labels.shape[0], : labels.shape[1]]
        return measures.measure_each(labels, area, choice=choice)

    for name, work in ("image", of_image), ("tile of a slide", of_tile):
        work("all")  # compiles
        basic, (labels, _) = seconds(partial(work, "basic"))
        every, _ = seconds(partial(work, "all"))
        few, _ = seconds(partial(measured, labels, "basic"), 9)
        many, _ = seconds(partial(measured, labels, "all"), 9)
        print(
            f"{name}, {labels.max()} nuclei: all work takes {basic:.2f} s with basic measures, "
            f"{every:.2f} s with all; the measures alone {few:.3f} s and {many:.3f} s, which adds "
            f"{(many - few) / basic:.1%}"
        )
    side = np.sqrt(options.nuclei / 3000) * 1000  # at 3000 nuclei per mm2
    x, y = np.random.default_rng(0).uniform(0, side, (2, options.nuclei))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    spent, _ = seconds(lambda: neighbours.measure(x, y, side, side), 1)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"neighbours of {options.nuclei:,} nuclei: {spent:.1f} s, {more:.0f} MB more memory")


if __name__ == "__main__":
    run_script(main)
