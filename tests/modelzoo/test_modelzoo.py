"""Trained models on disk: what is written comes back, and can be started from."""

import errno
import fcntl
import json
import os
import shutil
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from saved_models import CONFIG, HISTORY, METRICS, assert_equal_weights, refusal

from nuclei import modelfiles, modelzoo
from nuclei.errors import InputError
from nuclei.networks.unet import unet
from nuclei.training.history import read_history

SHIPPED = sorted(path.parent for path in modelzoo.MODELS.glob("*/config.json"))


def test_a_folder_holds_all_that_was_saved(folder, trained):
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "history.csv",
        "metrics.json",
        "small.weights.h5",
    ]
    assert_equal_weights(modelzoo.load(folder), trained)
    assert_equal_weights(modelzoo.load(str(folder)), trained)
    assert modelzoo.read_config(folder) == CONFIG
    assert read_history(folder) == HISTORY
    assert modelzoo.read_metrics(folder) == METRICS


def test_plain_keras_loads_the_weights(weights, trained):
    model = unet(**CONFIG["arguments"])
    model.load_weights(weights)
    assert_equal_weights(model, trained)


def test_the_state_of_the_optimizer_stays_at_home(weights, trained):
    with h5py.File(weights) as file:
        groups, values = set(), []
        file.visititems(
            lambda name, item: (
                values.append(item.size) if isinstance(item, h5py.Dataset) else groups.add(name)
            )
        )
    assert not [name for name in groups if "optimizer" in name]
    assert sum(values) == trained.count_params()


def test_a_model_is_in_float32_whatever_it_was_trained_in(tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = unet(**CONFIG["arguments"])
        modelzoo.save(tmp_path / "mixed", mixed, CONFIG, HISTORY, METRICS)
        model = modelzoo.load(tmp_path / "mixed")
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(before)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert_equal_weights(model, mixed)


def test_large_models_are_kept_and_measured_in_half_precision(tmp_path, trained, monkeypatch):
    in_full = tmp_path / "best.weights.h5"
    trained.save_weights(in_full)
    assert_equal_weights(modelzoo.trained(CONFIG, in_full), trained)

    monkeypatch.setattr(modelzoo, "LARGE", 100)
    rounded = modelzoo.trained(CONFIG, in_full)
    assert {layer.compute_dtype for layer in rounded.layers} == {"float32"}
    modelzoo.save(tmp_path / "small", rounded, CONFIG, HISTORY, METRICS)
    assert_equal_weights(modelzoo.load(tmp_path / "small"), rounded)
    for weight, exact in zip(rounded.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_allclose(weight, exact, rtol=2**-11)
    stored = []
    with h5py.File(tmp_path / "small" / "small.weights.h5") as file:
        file.visititems(lambda _, item: stored.append(getattr(item, "dtype", None)))
    # All but the last convolution, which computes in float32 at any precision.
    assert stored.count(np.float16) == len(trained.weights) - 2

    weights = trained.get_weights()
    weights[-1] = weights[-1] + np.float32(1e5)  # float16 ends at 65504
    rounded.set_weights(weights)
    modelzoo.save(tmp_path / "small", rounded, CONFIG, HISTORY, METRICS)
    assert_equal_weights(modelzoo.load(tmp_path / "small"), rounded)


def test_models_are_found_by_name_and_by_path(folder, trained, monkeypatch):
    monkeypatch.setattr(modelfiles, "MODELS", folder.parent)
    assert_equal_weights(modelzoo.load("small"), trained)
    monkeypatch.chdir(folder)
    assert_equal_weights(modelzoo.load("."), trained)
    assert "no model large: choose one of small." in refusal("large")
    (folder.parent / "notes.txt").write_text("no model")
    (folder.parent / "empty").mkdir()
    assert modelfiles.names(folder.parent) == ["small"]


@pytest.mark.parametrize(
    "name", ["small", "renamed", "umbenannt-ü", os.fsdecode(b"not-utf-8-\xff")]
)
def test_a_copied_folder_may_have_any_name(folder, trained, name):
    copy = shutil.copytree(folder, folder.parent / "copies" / name)
    (copy / "._small.weights.h5").write_text("macOS puts such a file beside each that it copies")
    assert_equal_weights(modelzoo.load(copy), trained)
    modelzoo.save(copy, trained, CONFIG, HISTORY, METRICS)
    assert (copy / f"{name}.weights.h5").is_file()
    assert_equal_weights(modelzoo.load(copy), trained)  # the one with its name, of two


def test_of_several_weights_none_is_guessed(folder, weights):
    shutil.copy(weights, folder / "other.weights.h5")
    folder = folder.rename(folder.with_name("renamed"))
    assert "has the weights other.weights.h5 and small.weights.h5: keep those" in refusal(folder)


def test_a_model_has_one_identity_whatever_it_is_called(folder, monkeypatch):
    monkeypatch.setattr(modelfiles, "MODELS", folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent.parent))
    monkeypatch.chdir(folder.parent.parent)
    here = f"{folder.parent.name}/small"
    for name in ("small", here, f"./{here}/", f"~/{here}", folder, folder / ".." / "small"):
        assert modelzoo.identity(name) == "small"
    elsewhere = shutil.copytree(folder, folder.parent.parent / "elsewhere")
    (folder.parent.parent / "link").symlink_to(elsewhere)
    for name in ("elsewhere", "~/elsewhere", "link", elsewhere):
        assert modelzoo.identity(name) == str(elsewhere.resolve())
        assert modelzoo.find(modelzoo.identity(name)) == elsewhere.resolve()
    with pytest.raises(InputError, match="There is no model large"):
        modelzoo.identity("large")


def test_a_tilde_stands_for_the_home_folder(folder, trained, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.chdir(folder.parent)
    assert_equal_weights(modelzoo.load("~/small"), trained)
    modelzoo.save("~/saved", trained, CONFIG, HISTORY, METRICS)
    assert modelzoo.read_metrics("~/saved") == METRICS
    assert sorted(path.name for path in folder.parent.iterdir()) == ["saved", "small"]


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="elsewhere they take no time")
@pytest.mark.parametrize("model", SHIPPED, ids=lambda path: path.name)
def test_jax_compiles_no_random_weights_for_those_of_a_file(model, monkeypatch):
    drawn = []
    for draw in ("uniform", "normal", "truncated_normal"):
        monkeypatch.setattr(f"keras.src.backend.random.{draw}", lambda *_, **__: drawn.append(1))
    assert modelzoo.load(model).count_params() and not drawn


@pytest.mark.parametrize("name", ["x" * 300, "nul\0", "", os.fsdecode(b"\xff")], ids=ascii)
def test_a_name_that_no_model_has_gets_a_sentence(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    shown = name or "without a name"
    assert refusal(name).startswith(f"There is no model {shown}: choose one of ")


def test_what_must_not_be_read_is_not_called_damaged(folder, weights, monkeypatch):
    original = Path.read_bytes
    forbidden = []

    def read_bytes(path):
        if path.name in forbidden:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    for path in (weights, folder / "config.json"):
        forbidden[:] = [path.name]
        assert f"{path} cannot be read (Permission denied): check" in refusal(folder)


def test_weights_are_read_and_written_without_locks(folder, weights, trained):
    before = weights.read_bytes()
    with weights.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # HDF5 now cannot lock it, as without flock
        assert_equal_weights(modelzoo.load(folder), trained)
        modelzoo.save(folder, trained, CONFIG, HISTORY, METRICS)
    assert len(weights.read_bytes()) == len(before)


def test_a_config_in_utf_8_with_a_mark_is_read(folder):
    text = json.dumps(CONFIG | {"note": "ü"}, ensure_ascii=False)
    (folder / "config.json").write_text(text, "utf-8-sig")
    assert modelzoo.read_config(folder)["note"] == "ü"


def layers_of(model):
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


@pytest.mark.parametrize(("before", "after"), [(1, 1), (1, 3), (3, 1)])
@pytest.mark.parametrize(
    ("network", "arguments", "last"),
    [
        ("unet", {"width": 2, "depth": 1}, "nucleus"),
        ("segnet", {"width": 2}, "nucleus"),
        ("deeplabv3", {"width": 4}, "logits"),
    ],
)
def test_a_network_starts_from_the_channels_that_a_trained_one_has(
    tmp_path, before, after, network, arguments, last
):
    first, second = (
        {"network": network, "arguments": arguments | {"channels": channels}}
        for channels in (before, after)
    )
    trained, network = modelzoo.build(first), modelzoo.build(second)
    modelzoo.save(tmp_path / "first", trained, first, [{"epoch": 1}], {})
    random = layers_of(network)
    modelzoo.start_from(network, tmp_path / "first")
    expected, found = layers_of(trained), layers_of(network)
    assert found.keys() == expected.keys()
    both = min(before, after)
    for new, old, own in zip(*(d.pop(last) for d in (found, expected, random)), strict=True):
        np.testing.assert_array_equal(new[..., :both], old[..., :both])
        np.testing.assert_array_equal(new[..., both:], own[..., both:])
    for name in found:
        for new, old in zip(found[name], expected[name], strict=True):
            np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize(
    ("network", "arguments"),
    [("unet", {"depth": 2, "channels": 2}), ("segnet", {}), ("segnet", {"indices": False})],
)
@pytest.mark.parametrize("times", [2, 3])
def test_a_wider_network_starts_with_the_outputs_of_a_narrow_one(
    tmp_path, network, arguments, times
):
    narrow, wide = (
        {"network": network, "arguments": arguments | {"width": width}} for width in (2, 2 * times)
    )
    trained, network = modelzoo.build(narrow), modelzoo.build(wide)
    modelzoo.save(tmp_path / "first", trained, narrow, [{"epoch": 1}], {})
    modelzoo.start_from(network, tmp_path / "first")
    image = np.random.default_rng(0).uniform(0, 255, (1, 32, 64, 3)).astype(np.float32)
    found, expected = (
        keras.ops.convert_to_numpy(model(image, training=False)) for model in (network, trained)
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    "other", [{"width": 1, "depth": 1}, {"width": 3, "depth": 1}, {"width": 2, "depth": 2}]
)
def test_a_network_that_does_not_fit_cannot_be_started_from(folder, other):
    with pytest.raises(InputError, match="small does not fit this unet: start from a model of"):
        modelzoo.start_from(unet(**other), folder)


@pytest.mark.parametrize(
    ("network", "arguments", "change"),
    [
        ("segnet", {"width": 2}, {"indices": False}),
        ("deeplabv3", {"width": 4}, {"rates": [6, 9]}),
        ("deeplabv3", {"width": 4}, {"width": 8}),
    ],
)
def test_layers_of_another_kind_are_told_though_their_weights_may_fit(
    tmp_path, network, arguments, change
):
    if network == "deeplabv3":
        arguments = arguments | {"rates": [3, 6]}
    config = {"network": network, "arguments": arguments}
    modelzoo.save(tmp_path / "first", modelzoo.build(config), config, [{"epoch": 1}], {})
    other = modelzoo.build(config | {"arguments": arguments | change})
    with pytest.raises(InputError, match=f"first does not fit this {network}: start from"):
        modelzoo.start_from(other, tmp_path / "first")
