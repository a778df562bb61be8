"""Convert Keras models to OpenVINO. This needs TensorFlow, once for each model."""

import sys
import tempfile
import warnings
from pathlib import Path

from ... import keras_backend, modelfiles
from ...errors import InputError
from ...keras_backend import silence_native_stderr
from . import files
from .openvino_package import import_openvino


def float32(folder):
    """The float32 form of a trained model, from the cache of the user or converted anew.

    Parameters
    ----------
    folder : Path
        As from `modelfiles.find`.

    Returns
    -------
    EngineContent

    Raises
    ------
    InputError
        If the model cannot be loaded or converted; as in `convert`.
    """
    fingerprint = modelfiles.fingerprint(folder)
    path = files.cached_file(fingerprint)
    try:
        return files.read(path)
    except (FileNotFoundError, InputError):  # missing or damaged: it is written again
        pass
    _check_backend()
    print(f"Converting {folder.name} for OpenVINO, once: {path.parent} keeps it.", file=sys.stderr)
    with silence_native_stderr():
        from ... import modelzoo
    model = convert(modelzoo.load(folder))
    content = to_content(model, fingerprint, modelzoo.read_config(folder)["network"])
    try:
        files.write(path, content)
    except InputError as error:  # the next run converts again
        print(error, file=sys.stderr)
    return content


def convert(model):
    """Convert a Keras model.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    openvino.Model
        In float32, for batches and images of any size.

    Raises
    ------
    InputError
        If OpenVINO is not installed, or Keras runs on another backend than TensorFlow.
    """
    openvino = import_openvino()
    _check_backend()
    with warnings.catch_warnings(action="ignore"):  # Keras dislikes how OpenVINO calls the model
        return openvino.convert_model(model, input=[openvino.PartialShape([-1, -1, -1, 3])])


def _check_backend():
    if keras_backend.name() != "tensorflow":
        raise InputError(
            f"OpenVINO converts models of TensorFlow, but Keras runs on "
            f"{keras_backend.name()}: set KERAS_BACKEND=tensorflow, or use --engine keras."
        )


def to_content(model, fingerprint, network, **facts):
    """Serialise an OpenVINO model.

    Parameters
    ----------
    model : openvino.Model
    fingerprint, network : str
        See `files.EngineContent`.
    **facts
        Further facts.

    Returns
    -------
    EngineContent
    """
    openvino = import_openvino()
    facts = {
        "fingerprint": fingerprint,
        "network": network,
        "openvino": openvino.__version__.partition("-")[0],
        **facts,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        openvino.save_model(model, path, compress_to_fp16=False)
        return files.EngineContent(path.read_bytes(), path.with_suffix(".bin").read_bytes(), facts)
