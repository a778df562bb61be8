"""Whether there may be a GPU, found out without importing Keras, which takes seconds."""

import os
import shutil
import sys
from pathlib import Path

from . import keras_backend

DEVICES = ("/dev/nvidia[0-9]*", "/dev/dxg", "/dev/kfd")
"""Files of Linux that a GPU of NVIDIA has, the GPU of Windows under WSL 2, and one of AMD."""


def may_be_used(root="/"):
    """Whether the Keras backend may see a GPU: `training.devices.list_gpus` says if it does.

    Parameters
    ----------
    root : str or Path
        Where to look for the files of Linux.

    Returns
    -------
    bool
        False only if there is no GPU, or if the environment hides all GPUs.
    """
    name = keras_backend.name()
    if are_hidden(name):
        return False
    if sys.platform == "linux":
        return any(True for place in DEVICES for _ in Path(root).glob(place.lstrip("/")))
    return (name == "torch" and sys.platform == "darwin") or shutil.which("nvidia-smi") is not None


def are_hidden(name):
    """Whether the environment keeps a Keras backend from all NVIDIA cards."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    return first in ("", "-1") or (name == "jax" and os.environ.get("JAX_PLATFORMS") == "cpu")
