"""Evaluate the models in `models/` on MoNuSeg again: `make measure`.

It replaces the reports of the validation and test images in each `metrics.json` and keeps the
record of the training.
"""

import sys
import time

from nuclei import evaluation, modelzoo, outputs
from nuclei.data import monuseg
from nuclei.errors import InputError


def measure(root=modelzoo.MODELS):
    """Evaluate every model in a folder that was trained on MoNuSeg, and rewrite its `metrics.json`.

    Parameters
    ----------
    root : Path
        The folder with one subfolder per model.

    Raises
    ------
    InputError
        If MoNuSeg was not found or a model cannot be read.
    """
    if monuseg.find() is None:
        raise InputError("MoNuSeg was not found: run `.venv/bin/python -m nuclei download` first.")
    splits = {split: monuseg.load(split) for split in ("val", "test")}
    for name in outputs.models_of(root=root):
        folder, start = root / name, time.perf_counter()
        model, metrics = modelzoo.load(folder), modelzoo.read_metrics(folder)
        for split, samples in splits.items():
            metrics[split] = evaluation.evaluate(model, samples)
        modelzoo.write_metrics(folder, metrics)
        mean, seconds = metrics["test"]["mean"], time.perf_counter() - start
        dice, aji = (mean[score]["mean"] for score in ("dice", "aji"))
        print(f"{folder.name}: test Dice {dice:.3f}, AJI {aji:.3f}; {seconds:.0f} s")


if __name__ == "__main__":
    try:
        measure()
    except InputError as error:
        sys.exit(str(error))
