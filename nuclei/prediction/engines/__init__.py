"""What runs a network: Keras, the reference, or OpenVINO, which needs no import of TensorFlow.

An engine has a `name`, the number of output `channels`, the name of the `network`, and
`forward(batch)`, which maps raw RGB (B, H, W, 3) to float32 (B, H, W, channels). `choose` says
which engine predicts a model, `load` loads it. `keras_engine` and `openvino_engine` run a network,
`ensemble` several. `convert` makes an OpenVINO model from a Keras model, `files` keeps it, and
`openvino_package` imports OpenVINO.
"""

from .keras_engine import KerasEngine, as_engine
from .loading import AUTO, ENGINES, choose, fingerprint, load

__all__ = ["AUTO", "ENGINES", "KerasEngine", "as_engine", "choose", "fingerprint", "load"]
