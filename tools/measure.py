"""Measure the shipped models again, on MoNuSeg: `make measure`.

Replaces the reports of validation and test images in each `metrics.json`; what is known of the
training stays.
"""

import sys
import time

from nuclei import dataset, evaluation, modelzoo
from nuclei.files import InputError


def measure(root=modelzoo.MODELS):
    """Measure every model in a folder.

    Parameters
    ----------
    root : Path

    Raises
    ------
    InputError
        If there is no MoNuSeg, or a model cannot be read.
    """
    if dataset.find() is None:
        raise InputError("MoNuSeg is not here: run `.venv/bin/python -m nuclei download` first.")
    splits = {split.lower(): dataset.load(split) for split in ("Validation", "Test")}
    for config in sorted(root.glob("*/config.json")):
        folder, start = config.parent, time.perf_counter()
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
