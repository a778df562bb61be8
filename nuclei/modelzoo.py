"""Read and write trained models: `models/<name>/` holds all that is known of one."""

import csv
import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import keras

from . import ROOT
from .files import InputError, load_weights, whole
from .networks import NETWORKS

MODELS = ROOT / "models"

LARGE = 12_500_000
"""Parameters above which weights are kept in half precision: in float32 they take 50 MB."""


def load(name):
    """Rebuild a trained model.

    Parameters
    ----------
    name : str or Path
        A folder of `models/`, e.g. "unet", or the path of such a folder elsewhere.

    Returns
    -------
    keras.Model
        In float32, whatever precision it was trained in, so that predictions depend on the
        hardware as little as possible.

    Raises
    ------
    InputError
        If there is no such model, or its weights are missing, cut short, not HDF5, or of
        another architecture.
    """
    folder = find(name)
    model = build(read_config(folder))
    weights = folder / f"{folder.name}.weights.h5"
    load_weights(model, weights, "restore the file or train the model again.")
    return model


def ensemble(names):
    """Join trained models into one that averages their probabilities.

    Parameters
    ----------
    names : sequence of str or Path
        As for `load`; at least one.

    Returns
    -------
    keras.Model
        Maps raw RGB (B, H, W, 3) to the mean probability (B, H, W, 1), with the mean distance as a
        second channel where some of the models have one.
    """
    image = keras.Input((None, None, 3), name="image")
    members = [load(name) for name in names]
    # Names of their own: two may be of one network.
    members = [
        keras.Model(model.input, model.output, name=f"member{number}")
        for number, model in enumerate(members, start=1)
    ]
    outputs = [model(image) for model in members]
    channels = []
    for channel in range(max(x.shape[-1] for x in outputs)):
        maps = [x[..., channel : channel + 1] for x in outputs if x.shape[-1] > channel]
        channels.append(sum(maps) / len(maps))
    return keras.Model(image, keras.layers.Concatenate()(channels), name="ensemble")


def trained(config, path):
    """Build a network with the weights that a training left, as `save` will keep them.

    So what is measured is what is shipped: the weights of a large network are rounded to float16.

    Parameters
    ----------
    config : dict
        As for `save`.
    path : Path
        A `.weights.h5`.

    Returns
    -------
    keras.Model
        In float32.
    """
    model = build(config)
    load_weights(model, path, "train again.")
    model.set_weights(_kept(model, config).get_weights())
    return model


def _kept(model, config):
    """The network as its file keeps it: without an optimizer, and in float16 if it is large."""
    kept = build(config, "float16" if model.count_params() > LARGE else "float32")
    kept.set_weights(model.get_weights())
    return kept


def build(config, precision="float32"):
    """Build the untrained network that a `config.json` describes."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        return NETWORKS[config["network"]](**config["arguments"])
    except (TypeError, ValueError) as error:
        raise InputError(
            f"No {config['network']} can be built with the arguments {config['arguments']}: "
            "restore config.json or give those of its builder."
        ) from error
    finally:
        keras.config.set_dtype_policy(policy)


def save(folder, model, config, history, metrics):
    """Write a trained model, each of its files whole.

    Parameters
    ----------
    folder : str or Path
        `models/<name>`: `<name>.weights.h5`, `config.json`, `history.csv` and `metrics.json`
        go there.
    model : keras.Model
        Its weights are saved, without the state of the optimizer; in float16 if it is `LARGE`.
    config : dict
        `network`: a key of `networks.NETWORKS`; `arguments`: those of its builder.
    history : list of dict
        A row an epoch, as `training.Checkpoint` keeps it.
    metrics : dict
        What is known of training and evaluation; JSON-serialisable.

    Raises
    ------
    InputError
        If a file cannot be written.
    """
    folder = Path(folder)
    with whole(folder / f"{folder.name}.weights.h5") as path:
        _kept(model, config).save_weights(path)
    write_history(folder, history)
    _write_json(folder / "config.json", config)
    write_metrics(folder, metrics)


def write_metrics(folder, metrics):
    """Write `metrics.json`: what is known of training and evaluation."""
    _write_json(Path(folder) / "metrics.json", metrics)


def _write_json(path, content):
    with whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def write_history(folder, history):
    """Write `history.csv`: a row an epoch."""
    with whole(Path(folder) / "history.csv") as path, open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=history[0])
        writer.writeheader()
        writer.writerows(history)


def read_history(folder):
    """Read `history.csv`.

    Returns
    -------
    list of dict of str to float or int
        A row an epoch.
    """
    with open(Path(folder) / "history.csv", newline="") as file:
        return [
            {name: int(x) if x.isdigit() else float(x) for name, x in row.items()}
            for row in csv.DictReader(file)
        ]


def provenance():
    """Say which code and software a model comes from.

    Returns
    -------
    dict
        `commit`: of this repository, with "+" where its code differs from that, or None outside
        git; `versions` of Python, Keras, its backend and NumPy.
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
        # Figures do not count: by the time a training asks, it has drawn its own anew.
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "nuclei", "notebooks")
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + "+" * bool(changed)


def find(name):
    """Find the folder of a model by its name or path."""
    for folder in (MODELS / name, Path(name)):
        if (folder / "config.json").is_file():
            return folder.absolute()  # its name is that of the weights, also for "."
    known = ", ".join(sorted(path.parent.name for path in MODELS.glob("*/config.json")))
    raise InputError(f"There is no model {name}: choose one of {known or '(none here)'}.")


def read_metrics(folder):
    """Read `metrics.json`: what is known of training and evaluation."""
    path = Path(folder) / "metrics.json"
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        raise InputError(f"{path} is missing or damaged: restore it or train again.") from None


def read_config(folder):
    """Read `config.json` and check that it names a network."""
    path = Path(folder) / "config.json"
    try:
        config = json.loads(path.read_text())
        if config["network"] in NETWORKS and isinstance(config["arguments"], dict):
            return config
    except (ValueError, KeyError, TypeError):
        pass
    raise InputError(
        f"{path} does not describe a known network ({', '.join(NETWORKS)}): restore the file."
    )
