"""How much do the scores of a UNet depend on its seed?

    python experiments/seeds.py [--seeds 0 1 2] [--epochs 10] [--precision auto]

For each seed a UNet of width 16 is trained from random weights on the 24 training patients, with
the augmentation `STRONGER`. The last epoch counts, so that nothing is chosen. Prints the mean
scores of the whole validation and test images for each seed, then their mean over the seeds and
the standard deviation between seeds. After an interruption, the same command continues after the
last epoch.
"""

import argparse

import numpy as np
from augmentations import train

from nuclei import ROOT, evaluation
from nuclei.commands.predict import whole
from nuclei.data import monuseg
from nuclei.data.augmentation import STRONGER
from nuclei.errors import run_script
from nuclei.scores import KEY_SCORES


def main():
    """Train one UNet for each seed and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=whole, default=10)
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    samples = {split: monuseg.load(split) for split in ("train", "val", "test")}
    results = {"val": [], "test": []}
    for seed in options.seeds:
        folder = ROOT / "checkpoints" / "experiments" / f"unet_seed{seed}_epochs{options.epochs}"
        model = train(samples["train"], options.epochs, folder, STRONGER, options.precision, seed)
        for split, rows in results.items():
            mean = evaluation.evaluate(model, samples[split], whole_only=True)["mean"]
            rows.append([mean[score]["mean"] for score in KEY_SCORES])
            print(f"seed {seed}, {split}: {_text(rows[-1])}", flush=True)
    for split, rows in results.items():
        print(f"mean, {split}: {_text(np.mean(rows, axis=0))}")
        if len(rows) > 1:
            print(f"standard deviation, {split}: {_text(np.std(rows, axis=0, ddof=1))}")


def _text(scores):
    """Return the scores as text: `dice 0.811, aji 0.640, pq 0.600`."""
    return ", ".join(f"{name} {score:.4f}" for name, score in zip(KEY_SCORES, scores, strict=True))


if __name__ == "__main__":
    run_script(main)
