"""Write models as Keras, ONNX, LiteRT and OpenVINO files, through Keras's own export."""

import importlib

from .. import keras_backend
from ..errors import InputError, first_sentence, reason
from ..prediction.engines.openvino_package import import_openvino

SUFFIXES = {
    "keras": ".keras",
    "onnx": ".onnx",
    "litert": ".tflite",
    "openvino": "_openvino",
    "bioimageio": ".bioimageio.zip",
}
"""End of the default name of the output; that of OpenVINO is a folder, because it has two files."""

NEEDS = {
    "keras": {},
    "onnx": {"tf2onnx": "tf2onnx", "onnxruntime": "onnxruntime"},
    "litert": {"ai_edge_litert.interpreter": "ai-edge-litert"},
    "openvino": {},
}
"""Modules that a format needs beyond requirements.txt, and the packages that have them."""
NEEDS["bioimageio"] = {**NEEDS["onnx"], "bioimageio.core": "bioimageio.core"}

MOST = 1e-3
"""Largest difference between an exported model and Keras, in any pixel of the test image."""


def require(form):
    """Import what a format needs.

    Parameters
    ----------
    form : str
        A key of `SUFFIXES`.

    Raises
    ------
    InputError
        If a package is missing, or Keras runs on a backend that cannot write the format.
    """
    if form != "keras" and keras_backend.name() != "tensorflow":
        raise InputError(
            f"The format {form} is written from TensorFlow, but Keras runs on "
            f"{keras_backend.name()}: set KERAS_BACKEND=tensorflow, or use --format keras."
        )
    if form == "openvino":
        import_openvino(instead="--format keras")
    try:
        for module in NEEDS[form]:
            importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"The format {form} needs packages that are missing ({reason(error)}): run `pip "
            f"install {' '.join(NEEDS[form].values())}`."
        ) from None


def write(model, form, path):
    """Write a model; `require` has been called.

    Parameters
    ----------
    model : keras.Model
    form : str
        "keras", "onnx", "litert" or "openvino".
    path : Path
        A file with the suffix of the format; that of OpenVINO ends in .xml, and a .bin is written
        beside it.
    """
    if form == "keras":
        model.save(path)
    else:
        model.export(str(path), format=form, verbose=False)


def check(form, path, batches, references):
    """Compare an exported model with the reference.

    Parameters
    ----------
    form : str
        As for `write`.
    path : Path
        As for `write`.
    batches : sequence of ndarray of uint8, shape (B, H, W, 3)
        Images of several sizes, so that a size that was fixed by mistake is found.
    references : sequence of ndarray of float32, shape (B, H, W, C)
        What Keras predicts for them.

    Returns
    -------
    float
        The largest difference.

    Raises
    ------
    InputError
        If the file cannot be run, or differs by more than `MOST`.
    """
    largest = 0.0
    for batch, reference in zip(batches, references, strict=True):
        try:
            output = RUNS[form](path, batch.astype("float32"))
        except Exception as error:  # each runtime has its own; all mean that the file is of no use
            raise InputError(
                f"This model does not run as {form} ({first_sentence(error)}), so nothing was "
                "written: choose another format."
            ) from error
        same = output.shape == reference.shape
        difference = float(abs(output - reference).max()) if same else float("inf")
        if not difference <= MOST:  # NaN is not
            raise InputError(
                f"As {form}, this model differs from Keras by {difference:.2g}, more than {MOST}, "
                "so nothing was written: choose another format."
            )
        largest = max(largest, difference)
    return largest


def _run_keras(path, batch):
    import keras

    return keras.saving.load_model(path, compile=False).predict_on_batch(batch)


def _run_openvino(path, batch):
    openvino = import_openvino()
    exact = {"INFERENCE_PRECISION_HINT": "f32"}  # some CPUs would take bfloat16
    return openvino.Core().compile_model(path, "CPU", exact)(batch)[0]


def _run_onnx(path, batch):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: batch})[0]


def _run_litert(path, batch):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, batch.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, batch)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


RUNS = {
    "keras": _run_keras,
    "openvino": _run_openvino,
    "onnx": _run_onnx,
    "litert": _run_litert,
}
"""The runtime of each format: takes the path and a batch of float32, gives the maps."""
