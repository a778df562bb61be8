"""Choose the engine that predicts a model, and load it."""

import hashlib
import importlib.util
import sys

from ... import gpus, keras_backend, modelfiles
from ...errors import InputError
from ...keras_backend import silence_native_stderr
from . import convert, files
from .ensemble import Ensemble
from .keras_engine import KerasEngine
from .openvino_engine import OpenVINOEngine

ENGINES = ("keras", "openvino", "openvino-int8")
AUTO = "auto"

CHANNELS = 1, 2
"""Channels of a model: probability, and perhaps distance. More would only take memory."""


def choose(name, engine=AUTO):
    """Choose the engine that predicts a model, without importing Keras where there is no GPU.

    "auto" is Keras where it sees a GPU. Otherwise it is int8 where the model has an int8 file that
    fits its weights, else float32 where OpenVINO is installed and the model was converted or can be
    (by TensorFlow), else Keras. If a file does not fit, or OpenVINO is missing, a sentence on
    standard error says so. Of several models, all must have what is chosen.

    Parameters
    ----------
    name : str or Path
        As for `modelfiles.members`.
    engine : str
        "auto", or one of `ENGINES`, which is then returned.

    Returns
    -------
    str
        One of `ENGINES`.

    Raises
    ------
    InputError
        If there is no such engine or model, or a file of the model cannot be read.
    """
    if engine not in (AUTO, *ENGINES):
        raise InputError(f"There is no engine {engine}: choose {AUTO}, {', '.join(ENGINES)}.")
    folders = [modelfiles.find(member) for member in modelfiles.members(name)]
    if engine != AUTO:
        return engine
    if gpus.may_be_used() and _keras_sees_gpu():
        return "keras"
    if importlib.util.find_spec("openvino") is None:
        print(
            "OpenVINO is not installed, so Keras predicts, which is slower: run `pip install "
            "openvino`.",
            file=sys.stderr,
        )
        return "keras"
    if all(map(_has_int8, folders)):
        return "openvino-int8"
    cached = (files.cached_file(modelfiles.fingerprint(folder)).exists() for folder in folders)
    return "openvino" if keras_backend.name() == "tensorflow" or all(cached) else "keras"


def _has_int8(folder):
    """Whether a model has an int8 file that fits; a sentence says why not if it has one."""
    try:
        read_int8(folder)
    except FileNotFoundError:
        return False
    except InputError as error:
        print(f"Predicting without int8: {error}", file=sys.stderr)
        return False
    return True


def load(name, engine=AUTO):
    """Load a trained model, or several that predict together, into an engine.

    Parameters
    ----------
    name : str or Path
        As for `modelfiles.members`.
    engine : str
        "auto", see `choose`; "keras"; "openvino", float32; or "openvino-int8".

    Returns
    -------
    KerasEngine, OpenVINOEngine or Ensemble
        For `windows.predict` and all that takes a Keras model for prediction.

    Raises
    ------
    InputError
        If there is no such model or engine, the model has no int8 file that fits its weights,
        OpenVINO is not installed, or a file is damaged.
    """
    engine = choose(name, engine)
    loaded = [_load(engine, modelfiles.find(member)) for member in modelfiles.members(name)]
    return Ensemble(loaded) if len(loaded) > 1 else loaded[0]


def _load(engine, folder):
    loaded = _read(engine, folder)
    if loaded.channels not in CHANNELS:
        raise InputError(
            f"{folder} gives {loaded.channels} numbers at each pixel, not 1 or 2 as models of "
            "nuclei: restore the model."
        )
    return loaded


def _read(engine, folder):
    if engine == "openvino":
        return OpenVINOEngine(engine, convert.float32(folder))
    if engine == "openvino-int8":
        try:
            return OpenVINOEngine(engine, read_int8(folder))
        except FileNotFoundError:
            raise InputError(
                f"{folder} has no int8 file: use --engine openvino or, for a model that was "
                f"trained on MoNuSeg, run `make quantize MODEL={folder.name}`."
            ) from None
    with silence_native_stderr():
        from ... import modelzoo
    return KerasEngine(modelzoo.load(folder))


def read_int8(folder):
    """Read the int8 form of a model.

    Parameters
    ----------
    folder : Path
        As from `modelfiles.find`.

    Returns
    -------
    EngineContent

    Raises
    ------
    FileNotFoundError
        If the model has none.
    InputError
        If it is damaged, or was made from other weights.
    """
    path = modelfiles.int8_file(folder)
    content = files.read(path)
    if content.facts["fingerprint"] != modelfiles.fingerprint(folder):
        raise InputError(
            f"{path} was made from other weights or another config.json: run `make quantize`."
        )
    return content


def fingerprint(name, engine):
    """Hash the files that an engine predicts from.

    Parameters
    ----------
    name : str or Path
        As for `modelfiles.members`.
    engine : str
        One of `ENGINES`.

    Returns
    -------
    str
        16 hexadecimal digits, the same for several models in any order.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    parts = []
    for member in modelfiles.members(name):
        folder = modelfiles.find(member)
        parts.append(modelfiles.fingerprint(folder).encode())
        if engine == "openvino-int8" and (path := modelfiles.int8_file(folder)).exists():
            parts[-1] += path.read_bytes()
    return hashlib.sha256(b"".join(sorted(parts))).hexdigest()[:16]


def _keras_sees_gpu():
    with silence_native_stderr():
        from ...training import devices
    return bool(devices.list_gpus())
