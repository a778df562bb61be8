"""The reference: Keras predicts, on any of its backends, on a GPU where it sees one."""

import numpy as np


class KerasEngine:
    """Predict with a Keras model.

    Parameters
    ----------
    model : keras.Model
        Maps raw RGB (B, H, W, 3) to C numbers from 0 to 1 at each pixel, (B, H, W, C).
    """

    name = "keras"

    def __init__(self, model):
        self.model = model
        self.network = getattr(model, "name", "network")
        self.channels = model.output_shape[-1]

    def forward(self, batch):
        """Run a batch (B, H, W, 3) of uint8 or float32; return float32 (B, H, W, C)."""
        # predict() would set up a data pipeline at each call; model(batch) would keep all
        # activations of the network in memory.
        return np.asarray(self.model.predict_on_batch(batch), dtype=np.float32)


def as_engine(model):
    """Return an engine as it is, and a Keras model in a `KerasEngine`."""
    # Not by `forward`: under PyTorch a Keras model has one, which gives tensors with gradients.
    return KerasEngine(model) if hasattr(model, "predict_on_batch") else model
