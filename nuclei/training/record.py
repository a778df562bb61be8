"""Collect the record of a training for `metrics.json`: settings, data, hardware and software."""

import platform
import subprocess
from importlib.metadata import version

import keras

from .. import ROOT
from ..data import loading, seen


def training_record(model, history, train, val, reports, device, data=None, **settings):
    """Collect the content of `metrics.json` after a training.

    Parameters
    ----------
    model : keras.Model
    history : list of dict
        One row per epoch.
    train, val : list of Sample
        The images used for training, and those used to choose the best epoch.
    reports : dict of str to dict
        Reports of `evaluation.evaluate`, by split.
    device : dict
        What `devices.prepare` returned.
    data : str, Path or None
        As for `loading.load`. Of a folder of your own, only its name, numbers of images and digests
        of their pixels are kept: names of images and patients may be nobody else's business.
    **settings
        Parameters of the notebook, such as `seed`, `epochs` and `start`.

    Returns
    -------
    dict
        JSON-serialisable.
    """
    if loading.is_monuseg(data):
        kept = {
            "train_patients": [sample.patient for sample in train],
            "val_patients": [sample.patient for sample in val],
        }
    else:
        kept = {"train_images": len(train), "val_images": len(val)}
        reports = {split: _without_names(report) for split, report in reports.items()}
    return {
        **provenance(),
        "data": loading.source(data),
        "parameters": model.count_params(),
        **settings,
        "hardware": device,
        "minutes": round(sum(row["seconds"] for row in history) / 60, 1),
        **kept,
        "train_pixels": [mark for sample in train for mark in seen.marks(sample)],
        **reports,
    }


def _without_names(report):
    images = [
        {key: value for key, value in image.items() if key not in ("name", "patient")}
        for image in report["images"]
    ]
    return report | {"images": images}


def provenance():
    """Return the versions of the code and software that a model comes from.

    Returns
    -------
    dict
        `commit`: the commit of this repository, with "+" if the code has changed since, or None
        outside git; `versions`: those of Python, Keras, its backend and NumPy.
    """
    packages = ("keras", keras.backend.backend(), "numpy")
    versions = {"python": platform.python_version(), **{p: version(p) for p in packages}}
    return {"commit": _commit(), "versions": versions}


def _commit():
    def git(*arguments):
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        # Only code counts: by the time this runs, the training has rewritten its own figures.
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "nuclei", "notebooks")
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + "+" * bool(changed)
