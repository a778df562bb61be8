"""Read and write trained models: the folder `models/<name>/` contains all files of one model."""

import os
from pathlib import Path

import numpy as np

from .atomic import atomic_write, expand, write_json
from .data import seen
from .errors import InputError, reason
from .keras_backend import explain_backend
from .modelfiles import MODELS, find, identity, read_metrics, weights_file
from .modelfiles.safe import read_json

with explain_backend():
    import keras

    from .networks import NETWORKS
    from .networks.weights import load_weights, save_weights
    from .networks.widening import widened
    from .training.history import write_history

__all__ = [
    "MODELS",
    "build",
    "find",
    "identity",
    "load",
    "read_config",
    "read_metrics",
    "save",
    "start_from",
    "trained",
    "write_metrics",
]

LARGE = 6_000_000
"""Above this number of parameters, weights are saved as float16: in float32 they take 24 MB."""


def load(name):
    """Load a trained model.

    Parameters
    ----------
    name : str or Path
        As for `find`.

    Returns
    -------
    keras.Model
        The model in float32, whatever precision it was trained in, so that predictions depend on
        the hardware as little as possible.

    Raises
    ------
    InputError
        If there is no such model, or its weights are missing, damaged, not HDF5, or belong to
        another architecture.
    """
    folder = find(name)
    model = _unset(read_config(folder))
    load_weights(model, weights_file(folder), "restore the file or train the model again.")
    return model


def trained(config, path):
    """Build a network with the weights from a training, rounded as `save` rounds them.

    The scores are then those of the published model: weights of a large network become float16.

    Parameters
    ----------
    config : dict
        As for `save`.
    path : Path
        A `.weights.h5` file.

    Returns
    -------
    keras.Model
        The model in float32.

    Raises
    ------
    InputError
        If the configuration or the weights do not fit.
    """
    model = _unset(config)
    load_weights(model, path, "train again.")
    model.set_weights(as_saved(model, config).get_weights())
    return model


def start_from(network, name, splits=None):
    """Copy the weights of a trained model into a network; new output channels stay random.

    A UNet or SegNet may be a whole number of times as wide as the trained one: see
    `networks.widening`.

    Parameters
    ----------
    network : keras.Model
        A network of the same architecture; its number of output channels may differ.
    name : str or Path
        As for `load`.
    splits : dict of str to list of Sample, optional
        The data of the new training, to make sure that the model has not seen its "val" or "test".

    Raises
    ------
    InputError
        If there is no such model, its layers do not fit those of the network, or it was trained on
        an image, or a patient of MoNuSeg, that is held out now.
    """
    if splits:
        seen.refuse(name, seen.read(name), splits)
    trained = load(name)
    try:
        if [_kind(layer) for layer in network.layers] != [_kind(layer) for layer in trained.layers]:
            raise ValueError("other layers")
        pairs = [
            (layer, trained_layer)
            for layer, trained_layer in zip(network.layers, trained.layers, strict=True)
            if layer.weights
        ]
        first, trained_first = (layer.weights[0] for layer in pairs[0])
        times = first.shape[-1] // trained_first.shape[-1]
        both = min(network.output_shape[-1], trained.output_shape[-1])
        for layer, trained_layer in pairs:
            # The last layer makes the output: it gets the channels that both have.
            part = ..., slice(both if layer is pairs[-1][0] else None)
            weights = layer.get_weights()
            for new, old in zip(weights, trained_layer.get_weights(), strict=True):
                new[part] = widened(type(layer), old[part], new[part], times)
            layer.set_weights(weights)
    except ValueError as error:
        raise InputError(
            f"{name} does not fit this {network.name}: start from a model of the same network and "
            "WIDTH, or for a UNet or SegNet from one that is 2, 3, ... times narrower."
        ) from error


def _kind(layer):
    """What a layer does, which its weights do not tell."""
    return type(layer).__name__, getattr(layer, "dilation_rate", None)


def as_saved(model, config):
    """Copy a network as it is saved: without an optimizer, and in float16 if it is `LARGE`.

    It stays in float32 if a number is beyond the range of float16, as a variance of activations can
    be.

    Parameters
    ----------
    model : keras.Model
    config : dict
        As for `save`.

    Returns
    -------
    keras.Model
    """
    weights, largest = model.get_weights(), np.finfo(np.float16).max
    half = model.count_params() > LARGE and all(np.abs(w).max() < largest for w in weights)
    kept = _unset(config, "float16" if half else "float32")
    kept.set_weights(weights)
    return kept


def build(config, precision="float32"):
    """Build the untrained network of a `config.json`; an InputError if its arguments do not fit."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        return NETWORKS[config["network"]](**config["arguments"])
    except (TypeError, ValueError) as error:
        raise InputError(
            f"No {config['network']} can be built with the arguments {config['arguments']} "
            f"({reason(error)}): correct them, or restore config.json."
        ) from error
    finally:
        keras.config.set_dtype_policy(policy)


def _unset(config, precision="float32"):
    """Build a network whose weights are set next: under JAX with zeros in place of random numbers.

    JAX compiles a program for each shape of random numbers, which took most of the time of `load`.
    """
    zeros = dict.fromkeys(("glorot_uniform", "he_normal"), keras.initializers.Zeros)
    with keras.saving.custom_object_scope(zeros if keras.backend.backend() == "jax" else {}):
        return build(config, precision)


def save(folder, model, config, history, metrics):
    """Write a trained model, each file completely or not at all.

    Parameters
    ----------
    folder : str or Path
        `models/<name>`, for `<name>.weights.h5`, `config.json`, `history.csv` and `metrics.json`;
        see `atomic.expand`.
    model : keras.Model
        Its weights are saved without the state of the optimizer, in float16 if it is `LARGE`.
    config : dict
        `network`: a key of `networks.NETWORKS`; `arguments`: keyword arguments of that function.
    history : list of dict
        One row per epoch, as in `training.Checkpoint`.
    metrics : dict
        The record of training and evaluation, as from `training_record`; JSON-serialisable.

    Raises
    ------
    InputError
        If a file cannot be written.
    """
    folder = Path(os.path.abspath(expand(folder)))
    with atomic_write(folder / f"{folder.name}.weights.h5") as path:
        save_weights(as_saved(model, config), path)
    write_history(folder, history)
    write_json(folder / "config.json", config)
    write_metrics(folder, metrics)


def write_metrics(folder, metrics):
    """Write `metrics.json`, the record of training and evaluation."""
    write_json(expand(folder) / "metrics.json", metrics)


def read_config(folder):
    """Read `config.json`; an InputError if it is not a known network without further files."""
    path = expand(folder) / "config.json"
    try:
        config = read_json(path)
        known = config["network"] in NETWORKS and isinstance(config["arguments"], dict)
        # Weights of an encoder would be another file, which need not be in this folder.
        if known and not any(name.endswith("_weights") for name in config["arguments"]):
            return config
    except InputError:
        raise
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the file.") from None
    raise InputError(
        f"{path} does not describe a known network ({', '.join(NETWORKS)}): restore the file."
    )
