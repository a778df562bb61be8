"""What a training runs on: devices, precision, seed."""

import importlib
import os
import platform
import subprocess
from contextlib import nullcontext
from pathlib import Path

import keras
from keras import ops

from ..errors import InputError
from ..gpus import are_hidden

CURES = {
    "tensorflow": (
        "TensorFlow",
        "run `make setup GPU=1` or `pip install -r requirements-gpu.txt`, restart the notebook,"
        " and update the NVIDIA driver if that is not enough",
    ),
    "jax": ("JAX", 'run `pip install "jax[cuda12]"` and restart the notebook'),
    "torch": (
        "PyTorch",
        "install a CUDA build of it (https://pytorch.org/get-started/locally)"
        " and restart the notebook",
    ),
}
"""For each Keras backend its name, and what makes it use an NVIDIA card."""

CPU_INFO = Path("/proc/cpuinfo")
"""Where Linux lists what the CPU can do."""


def prepare(seed, precision="auto"):
    """Set the seed and the numeric precision, and say what will be trained on.

    An NVIDIA card that stays unused is named, with the cure.

    Parameters
    ----------
    seed : int
        For initial weights and whatever else Keras, NumPy and Python draw.
    precision : str
        "auto": mixed_float16 on a GPU, float32 on a CPU; or the name of a Keras dtype policy.
        "mixed_bfloat16" is faster for most networks on CPUs that have bfloat16 instructions, and
        slow on others: both are said.

    Returns
    -------
    dict
        `backend`, `device`, `precision`, and `jit_compile`, which `compile()` wants: XLA is
        faster than TensorFlow's own kernels on a GPU but slower on a CPU.

    Raises
    ------
    InputError
        If there is no such precision.
    """
    keras.utils.set_random_seed(seed)
    gpus = list_gpus()
    policy = precision
    if precision == "auto":
        policy = "mixed_float16" if gpus else "float32"
    try:
        keras.mixed_precision.set_global_policy(policy)
    except ValueError:
        raise InputError(
            f"PRECISION cannot be {precision!r}: set it to auto, float32, mixed_bfloat16 or "
            "mixed_float16."
        ) from None
    device = f"{len(gpus)} GPU{'s' * (len(gpus) > 1)}" if gpus else f"{os.cpu_count()} CPU cores"
    print(f"Training on {device} in {policy} with {keras.backend.backend()}.")
    explain_unused_gpu()
    on_tensorflow_cpu = keras.backend.backend() == "tensorflow" and not gpus
    if not gpus:
        _advise_on_bfloat16(precision)
    return {
        "backend": keras.backend.backend(),
        "device": device,
        "precision": policy,
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


def explain_unused_gpu():
    """Print one sentence, with the cure, where the Keras backend cannot use an NVIDIA card.

    Prints nothing where there is no card, where a GPU is used, and where the environment hides
    the cards on purpose: CUDA_VISIBLE_DEVICES empty or -1, or for JAX JAX_PLATFORMS=cpu.
    """
    backend = keras.backend.backend()
    if backend not in CURES or are_hidden(backend) or list_gpus():
        return
    card = _find_nvidia_card()
    if card is None:
        return
    name, cure = CURES[backend]
    if backend == "tensorflow" and (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        cure = "it uses such cards on Linux x86_64 only, which on Windows WSL 2 provides"
    print(f"This machine has an NVIDIA card ({card}), but {name} cannot use it: {cure}.")


def _find_nvidia_card():
    """Name the first card that nvidia-smi lists; None where it does not answer."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        # A broken driver may never answer.
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.partition("\n")[0].strip().removeprefix("NVIDIA ") or "unknown model"


def _advise_on_bfloat16(precision):
    """Print one sentence where, as Linux says of the CPU, another precision would be faster."""
    flags = cpu_flags()
    if "flags" not in flags:  # not Linux, or not an x86 CPU
        return
    fast = {"avx512_bf16", "amx_bf16"} & flags
    if "bfloat16" in precision and not fast:
        print(
            f"This CPU has no bfloat16 instructions (AVX512-BF16 or AMX), so {precision} is "
            'several times slower than float32: choose PRECISION = "float32".'
        )
    elif fast and (precision, keras.backend.backend()) == ("auto", "tensorflow"):
        print(
            "This CPU has bfloat16 instructions: most networks train up to twice as fast with "
            'PRECISION = "mixed_bfloat16".'
        )


def cpu_flags():
    """What the CPU can do, as the names that Linux has for it; nothing is known elsewhere."""
    try:
        return set(CPU_INFO.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return set()


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
