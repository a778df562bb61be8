"""Which device and precision a training gets, and two devices that share it."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from nuclei import ROOT
from nuclei.errors import InputError
from nuclei.networks.unet import unet
from nuclei.training import devices

H100 = "echo NVIDIA H100 80GB HBM3"


@pytest.fixture
def policy():
    """Restores the dtype policy that `prepare` sets."""
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize(
    "gpus, precision, device",
    [([], "float32", "CPU"), (["gpu:0", "gpu:1"], "mixed_float16", "2 GPUs")],
)
def test_precision_follows_the_device_unless_it_is_named(
    policy, monkeypatch, capsys, gpus, precision, device
):
    monkeypatch.setattr(devices, "list_gpus", lambda: gpus)
    found = devices.prepare(seed=0)
    assert found["precision"] == keras.config.dtype_policy().name == precision
    assert found["backend"] == keras.backend.backend()
    assert device in found["device"]
    assert f"{found['device']} in {precision} with {found['backend']}" in capsys.readouterr().out
    assert devices.prepare(seed=0, precision="mixed_bfloat16")["precision"] == "mixed_bfloat16"


@pytest.mark.parametrize("precision", ["half", "Auto", 16, None])
def test_an_unknown_precision_gets_a_sentence(policy, precision):
    with pytest.raises(InputError, match=f"PRECISION cannot be {precision!r}: set it to auto, "):
        devices.prepare(0, precision)


def test_the_seed_sets_the_first_weights(policy):
    weights = []
    for seed in (3, 3, 4):
        devices.prepare(seed)
        weights.append(unet(2, 1).get_weights()[0])
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Puts a fake nvidia-smi first in PATH, which runs some shell commands; hides real GPUs."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(devices, "list_gpus", list)
    monkeypatch.setattr(devices.platform, "system", lambda: "Linux")
    monkeypatch.setattr(devices.platform, "machine", lambda: "x86_64")

    def write(commands):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{commands}\n")
        program.chmod(0o755)

    return write


@pytest.mark.parametrize(
    ("backend", "name", "cure"),
    [
        ("tensorflow", "TensorFlow", "run `make setup GPU=1` or `pip install -r requirements-gpu"),
        ("jax", "JAX", 'run `pip install "jax[cuda12]"`'),
        ("torch", "PyTorch", "install a CUDA build"),
    ],
)
def test_an_unused_card_is_named_with_its_cure_in_one_sentence(
    nvidia_smi, monkeypatch, capsys, backend, name, cure
):
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    nvidia_smi(f"{H100}\n{H100}")
    devices.explain_unused_gpu()
    out = capsys.readouterr().out
    known = "This machine has an NVIDIA card (H100 80GB HBM3), but"
    assert out.startswith(f"{known} {name} cannot use it: {cure}")
    assert out.endswith(".\n") and out.count("\n") == 1 and ". " not in out


def test_the_cure_is_no_command_that_fails_on_this_system(nvidia_smi, monkeypatch, capsys):
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    monkeypatch.setattr(devices.platform, "system", lambda: "Windows")
    nvidia_smi(H100)
    devices.explain_unused_gpu()
    out = capsys.readouterr().out
    assert "WSL 2" in out and "requirements-gpu.txt" not in out


@pytest.mark.parametrize("commands", ["echo No devices were found; exit 6", "exit 9", None])
def test_nothing_is_said_where_no_card_answers(nvidia_smi, monkeypatch, tmp_path, capsys, commands):
    if commands:
        nvidia_smi(commands)
    else:
        monkeypatch.setenv("PATH", str(tmp_path))
    devices.explain_unused_gpu()
    assert not capsys.readouterr().out


def test_a_driver_that_does_not_answer_is_given_up(nvidia_smi, monkeypatch, capsys):
    def hang(command, timeout, **options):
        raise subprocess.TimeoutExpired(command, timeout)

    nvidia_smi(H100)
    monkeypatch.setattr(devices.subprocess, "run", hang)
    devices.explain_unused_gpu()
    assert not capsys.readouterr().out


@pytest.mark.parametrize("hidden", ["", "-1", "-1,0"])
def test_nothing_is_said_of_a_card_that_is_used_or_hidden(nvidia_smi, monkeypatch, capsys, hidden):
    nvidia_smi(H100)
    with monkeypatch.context() as used:
        used.setattr(devices, "list_gpus", lambda: ["gpu:0"])
        devices.explain_unused_gpu()
    with monkeypatch.context() as variable:
        variable.setenv("CUDA_VISIBLE_DEVICES", hidden)
        devices.explain_unused_gpu()
    with monkeypatch.context() as jax:
        jax.setattr(keras.backend, "backend", lambda: "jax")
        jax.setenv("JAX_PLATFORMS", "cpu")
        devices.explain_unused_gpu()
    assert not capsys.readouterr().out


def test_a_training_on_the_cpu_says_that_the_card_is_unused(nvidia_smi, policy, capsys):
    nvidia_smi(H100)
    devices.prepare(seed=0, precision="float32")
    first, second = capsys.readouterr().out.splitlines()
    assert "CPU cores" in first and "(H100 80GB HBM3)" in second


SLOW, FAST = "mixed_bfloat16 is several times slower", "This CPU has bfloat16 instructions: "


@pytest.mark.parametrize(
    "flags, gpus, precision, advice",
    [
        ("flags : fpu avx2 avx512f", [], "mixed_bfloat16", SLOW),
        ("flags : fpu avx2 avx512_bf16", [], "mixed_bfloat16", None),
        ("flags : fpu amx_bf16 amx_tile", [], "mixed_bfloat16", None),
        ("flags : fpu amx_bf16 amx_tile", [], "auto", FAST),
        ("flags : fpu avx2 avx512_bf16", [], "auto", FAST),
        ("flags : fpu amx_bf16 amx_tile", [], "float32", None),
        ("flags : fpu amx_bf16 amx_tile", ["gpu:0"], "auto", None),
        ("flags : fpu avx2", ["gpu:0"], "mixed_bfloat16", None),
        ("flags : fpu avx2", [], "float32", None),
        ("flags : fpu avx2", [], "auto", None),
        ("Features : fp asimd bf16", [], "mixed_bfloat16", None),  # not an x86 CPU
        (None, [], "mixed_bfloat16", None),  # not Linux
    ],
)
def test_a_faster_precision_is_advised_by_what_the_cpu_has(
    policy, monkeypatch, capsys, tmp_path, flags, gpus, precision, advice
):
    monkeypatch.setattr(devices, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(devices, "list_gpus", lambda: gpus)
    monkeypatch.setattr(devices, "explain_unused_gpu", lambda: None)
    if flags:
        (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n")
    automatic = "mixed_float16" if gpus else "float32"
    used = automatic if precision == "auto" else precision
    assert devices.prepare(seed=0, precision=precision)["precision"] == used
    _, *printed = capsys.readouterr().out.splitlines()
    if advice == FAST and keras.backend.backend() != "tensorflow":
        advice = None
    assert len(printed) == bool(advice)
    if advice:
        better = "float32" if advice == SLOW else "mixed_bfloat16"
        assert advice in printed[0] and f'PRECISION = "{better}"' in printed[0]


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="one device only under PyTorch")
def test_two_devices_share_a_training_that_is_resumed(tmp_path):
    # In a process of its own: devices can be set up only before the first computation.
    command = [sys.executable, ROOT / "tests" / "two_devices.py", tmp_path]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["devices"] == 2
    assert "Resuming after epoch 2" in done.stdout
    assert [row["epoch"] for row in found["history"]] == [1, 2, 3]
    losses = [row["loss"] for row in found["history"]]
    assert losses[2] < losses[0]
    # One device finds the same scores for the best weights: nothing is counted twice.
    best = max(found["history"], key=lambda row: row["val_dice"])
    assert found["on one device"]["dice"] == pytest.approx(best["val_dice"], abs=0.01)
    assert found["on one device"]["loss"] == pytest.approx(best["val_loss"], rel=0.02)
