"""OpenVINO predicts: on CPUs, without TensorFlow, in float32 or mostly in int8."""

import math
import os
import threading

import numpy as np

from ...errors import InputError, reason
from . import structure
from .openvino_package import import_openvino

KEPT = 2
"""Shapes of batches for which the compiled model is kept: whole images and patches, say."""


class OpenVINOEngine:
    """Predict with an OpenVINO model, on the CPU.

    Several threads may share an engine: it runs one batch at a time, on all cores, or on as many
    as the environment variable OMP_NUM_THREADS says.

    Parameters
    ----------
    name : str
        Name of the engine: "openvino" or "openvino-int8".
    content : EngineContent
        The model, as from `files.read`.

    Raises
    ------
    InputError
        If OpenVINO is not installed, or cannot read the model, or it has operations, sizes or
        outputs that no network here has, see `structure`.
    """

    def __init__(self, name, content):
        openvino = import_openvino()
        self.name, self.network = name, content.facts["network"]
        self._core, self._lock, self._requests = openvino.Core(), threading.Lock(), {}
        self._path = content.path
        try:
            structure.check(content.structure)
            self._model = self._core.read_model(content.structure, content.weights)
            shape = self._model.output().partial_shape
            self.channels = shape[3].get_length() if shape.rank == 4 else 0
        except ValueError as error:
            raise self._foreign(error) from None
        except RuntimeError as error:
            raise InputError(
                f"OpenVINO {openvino.__version__.partition('-')[0]} cannot read {content.path}: "
                f"install OpenVINO {content.facts['openvino']}, or use --engine keras."
            ) from error

    def _foreign(self, error):
        return InputError(
            f"{self._path} is not one of the networks here ({reason(error)}): make it again with "
            "`make quantize`, or use --engine keras."
        )

    def forward(self, batch):
        """Run a batch (B, H, W, 3) of uint8 or float32; return float32 (B, H, W, C)."""
        with self._lock:  # the request holds the result until it is copied
            request = self._compile(batch.shape)
            request.infer([np.asarray(batch, np.float32)])
            return request.get_output_tensor().data.copy()

    def _compile(self, shape):
        """Compile the model for batches of one shape.

        Compiled for any shape, int8 takes a fifth longer, and gives wrong maps for DeepLabv3.
        """
        if shape not in self._requests:
            if len(self._requests) == KEPT:
                del self._requests[next(iter(self._requests))]
            # Not bfloat16, which is the default on CPUs that have it: results would depend on that.
            options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
            if (threads := os.environ.get("OMP_NUM_THREADS", "")).isdecimal() and int(threads):
                options["INFERENCE_NUM_THREADS"] = int(threads)
                # Else each of several processes ties its threads to the same first cores.
                options["ENABLE_CPU_PINNING"] = False
            model = self._model.clone()
            model.reshape(list(shape))
            try:
                structure.check_sizes(model, math.prod(shape[:3]))
            except ValueError as error:
                raise self._foreign(error) from None
            compiled = self._core.compile_model(model, "CPU", options)
            self._requests[shape] = compiled.create_infer_request()
        return self._requests[shape]
