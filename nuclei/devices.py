"""What a training runs on: devices, precision, seed."""

import importlib
import os
from contextlib import nullcontext

import keras
from keras import ops


def prepare(seed, precision="auto"):
    """Set the seed and the numeric precision, and say what will be trained on.

    Parameters
    ----------
    seed : int
        For initial weights and whatever else Keras, NumPy and Python draw.
    precision : str
        "auto": mixed_float16 on a GPU, float32 on a CPU; or the name of a Keras dtype policy.
        "mixed_bfloat16" is a quarter faster on CPUs that have bfloat16 instructions.

    Returns
    -------
    dict
        `backend`, `device`, `precision`, and `jit_compile`, which `compile()` wants: XLA is
        faster than TensorFlow's own kernels on a GPU but slower on a CPU.
    """
    keras.utils.set_random_seed(seed)
    gpus = list_gpus()
    if precision == "auto":
        precision = "mixed_float16" if gpus else "float32"
    keras.mixed_precision.set_global_policy(precision)
    device = f"{len(gpus)} GPU{'s' * (len(gpus) > 1)}" if gpus else f"{os.cpu_count()} CPU cores"
    print(f"Training on {device} in {precision} with {keras.backend.backend()}.")
    on_tensorflow_cpu = keras.backend.backend() == "tensorflow" and not gpus
    return {
        "backend": keras.backend.backend(),
        "device": device,
        "precision": precision,
        "jit_compile": False if on_tensorflow_cpu else "auto",
    }


def list_gpus():
    """Name the GPUs that the Keras backend sees.

    Returns
    -------
    list of str
        Empty without a GPU.
    """
    if keras.backend.backend() == "torch":
        device = str(ops.zeros(1).device)
        return [device] if "cuda" in device or "mps" in device else []
    try:
        return keras.distribution.list_devices("gpu")
    except RuntimeError:  # how JAX says that there is none
        return []


def distribute():
    """Share each batch among all visible GPUs; build and compile the model inside.

    Returns
    -------
    context manager
        Does nothing where there are fewer than two GPUs, and under PyTorch.

    Examples
    --------
    >>> with distribute():  # doctest: +SKIP
    ...     model = unet()
    ...     model.compile(...)
    """
    backend = keras.backend.backend()
    if len(list_gpus()) > 1:
        if backend == "tensorflow":
            # keras.distribution does not cover TensorFlow, whose own strategy has no Keras name.
            return importlib.import_module("tensorflow").distribute.MirroredStrategy().scope()
        if backend == "jax":  # for good: fit() shares out its batches by it, too
            keras.distribution.set_distribution(keras.distribution.DataParallel())
    return nullcontext()
