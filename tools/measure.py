"""Evaluate the models in `models/` on MoNuSeg again: `make measure`.

It replaces the reports of the validation and test images in each `metrics.json`, the scores of the
other engines and those of altered validation images, and keeps the record of the training. A model
that `make refit` has trained on the validation images keeps what was measured on them before.
"""

import argparse
import os
import platform
import sys
import time

from nuclei import evaluation, modelfiles, modelzoo, outputs
from nuclei.data import monuseg
from nuclei.data.alterations import ALTERATIONS, altered
from nuclei.errors import InputError, run_script
from nuclei.prediction import engines
from nuclei.scores import KEY_SCORES
from nuclei.training import devices

REFERENCE = engines.ENGINES[0]
"""The whole report is that of this engine, Keras."""

INSTRUCTIONS = {"avx512_vnni": "AVX-512 VNNI", "avx512f": "AVX-512", "avx2": "AVX2"}
"""What decides the seconds of a CPU most, as Linux names it and as people do; the best first."""


def measure(root=modelzoo.MODELS, names=()):
    """Evaluate the models of MoNuSeg with every engine and rewrite their `metrics.json`.

    Parameters
    ----------
    root : Path
        The folder with one subfolder per model.
    names : sequence of str
        Names of subfolders; by default all that were trained on MoNuSeg.

    Raises
    ------
    InputError
        If MoNuSeg was not found, a model was trained on other data, or it cannot be read.
    """
    monuseg.require()
    for name in names:  # before minutes of work
        outputs.check_monuseg(modelfiles.find(root / name))
    images = {split: monuseg.load(split) for split in ("val", "test")}
    for name in names or outputs.models_of(root=root):
        folder, start = root / name, time.perf_counter()
        metrics = modelzoo.read_metrics(folder)
        unseen = {"test": images["test"]} if "refit" in metrics else images
        before = metrics.get("engines", {}) if "refit" in metrics else {}
        metrics["processor"], metrics["engines"] = processor(), {}
        for engine in engines.ENGINES:
            try:
                loaded = engines.load(folder, engine)
            except InputError as error:
                if engine == REFERENCE:
                    raise
                print(error, file=sys.stderr)  # no int8 file, or one of other weights
                continue
            reports = {
                split: evaluation.evaluate(loaded, unseen[split], whole_only=engine != REFERENCE)
                for split in unseen
            }
            if engine == REFERENCE:
                metrics |= reports
            measured = {split: _summary(report) for split, report in reports.items()}
            metrics["engines"][engine] = before.get(engine, {}) | measured
        if "val" in unseen:
            loaded = engines.load(folder, "openvino")  # as Keras to 0.0001, and faster
            metrics["altered"] = {
                way: _summary(
                    evaluation.evaluate(loaded, altered(unseen["val"], way), whole_only=True)
                )
                for way in ALTERATIONS
            }
        modelzoo.write_metrics(folder, metrics)
        mean, seconds = metrics["test"]["mean"], time.perf_counter() - start
        dice, aji = (mean[score]["mean"] for score in ("dice", "aji"))
        print(f"{folder.name}: test Dice {dice:.3f}, AJI {aji:.3f}; {seconds:.0f} s")


def processor():
    """Describe the processor, in words such as "2 CPU cores with AVX2"."""
    flags = devices.cpu_flags()
    kind = next((name for flag, name in INSTRUCTIONS.items() if flag in flags), platform.machine())
    return f"{os.cpu_count()} CPU cores with {kind}"


def _summary(report):
    """The means of three scores, the seconds for a whole image, and the backend of Keras."""
    import keras  # not before nuclei, which says what is wrong with it

    means = {score: report["mean"][score]["mean"] for score in KEY_SCORES}
    backend = {"backend": keras.backend.backend()} if report["engine"] == REFERENCE else {}
    return {**means, "seconds_per_image": report["seconds_per_image"], **backend}


def main():
    """Measure the models that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help="default: all that were trained on MoNuSeg")
    measure(names=parser.parse_args().models)


if __name__ == "__main__":
    run_script(main)
