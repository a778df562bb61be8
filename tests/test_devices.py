"""Which device and precision a training gets, and two devices that share it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from nuclei import ROOT, devices
from nuclei.networks.unet import unet


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


def test_the_seed_sets_the_first_weights(policy):
    weights = []
    for seed in (3, 3, 4):
        devices.prepare(seed)
        weights.append(unet(2, 1).get_weights()[0])
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="one device only under PyTorch")
def test_two_devices_share_a_training_that_is_resumed(tmp_path):
    # In a process of its own: devices can be set up only before the first computation.
    command = [sys.executable, Path(__file__).parent / "two_devices.py", tmp_path]
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
