"""Tune all parameters of `instances.separate` together, on the 6 validation images.

    python experiments/separation.py [MODEL ...]

Predicts the images once, then tries every combination of `smoothing`, `depth`, `smallest` and
`min_score` in `GRID`. Prints the defaults and the best combinations by the mean of AJI and PQ. The
threshold of the mask stays at 0.5, because the evaluation protocol fixes it.
"""

import argparse
from itertools import product

import numpy as np
from tqdm import tqdm

from nuclei import modelfiles
from nuclei.data import monuseg
from nuclei.errors import run_script
from nuclei.prediction import confidence, engines, instances, windows
from nuclei.scores.objects import object_scores

GRID = {
    "smoothing": (0.5, 1.0, 1.5, 2.0),
    "depth": (0.5, 0.75, 1.0, 1.5, 2.0),
    "smallest": (30, 60),
    "min_score": (0.4, 0.5, 0.6),
}
"""Values of each parameter; `depth` in multiples of its default."""

SHOWN = 5
"""Combinations to print for each model."""


def score(images, truths, **parameters):
    """Mean AJI, shared AJI and PQ of the images."""
    rows = []
    for maps, truth in zip(images, truths, strict=True):
        nuclei = object_scores(instances.separate(maps, **parameters)[0], truth)
        rows.append((nuclei.aji, nuclei.aji_shared, nuclei.pq))
    return np.mean(rows, axis=0)


def main():
    """Print a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL")
    names = parser.parse_args().models or modelfiles.names()
    samples = monuseg.load("val")
    truths = [sample.labels for sample in samples]
    print(f"{'model':24}" + "".join(f"{name:>11}" for name in (*GRID, "AJI", "shared", "PQ")))
    for name in names:
        engine = engines.load(name, "openvino")
        images = [windows.predict_maps(engine, sample.image) for sample in samples]
        learnt = images[0].shape[-1] > 1
        default = instances.RELATIVE_DEPTH if learnt else instances.DEPTH
        usual = (1.0, 1.0, 30, confidence.MIN_SCORE)
        found = {}
        for values in tqdm([*product(*GRID.values())], desc=name, unit="setting", leave=False):
            parameters = dict(zip(GRID, values, strict=True))
            parameters["depth"] *= default
            found[values] = score(images, truths, **parameters)
        best = sorted(found, key=lambda values: -(found[values][0] + found[values][2]))[:SHOWN]
        for title, values in [(f"{name} (default)", usual), *((name, one) for one in best)]:
            print(
                f"{title:24}"
                + "".join(f"{value:11}" for value in values)
                + "".join(f"{value:11.4f}" for value in found[values]),
                flush=True,
            )


if __name__ == "__main__":
    run_script(main)
