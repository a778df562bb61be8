"""Trained models on disk: what is written comes back, and damage gets one sentence."""

import errno
import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import reference

from nuclei import modelfiles, modelzoo, training
from nuclei.data.dataset import Sample
from nuclei.errors import InputError
from nuclei.networks.unet import unet
from nuclei.networks.weights import load_weights
from nuclei.training import record
from nuclei.training.history import read_history
from nuclei.training.record import provenance, training_record

CONFIG = {"network": "unet", "arguments": {"width": 2, "depth": 1}}
HISTORY = [{"epoch": 1, "val_dice": 0.5}, {"epoch": 2, "val_dice": 0.625}]
METRICS = {"seed": 0, "test": {"mean": 0.75}}


@pytest.fixture(scope="module")
def trained():
    """A compiled model with fixed weights, after one step, so that its optimizer has a state."""
    model = modelzoo.build(CONFIG)
    reference.fill(model)
    model.compile(training.adamw(10), training.bce_dice_loss, run_eagerly=True)
    model.train_on_batch(np.zeros((1, 4, 4, 3)), np.zeros((1, 4, 4, 1)))
    return model


@pytest.fixture
def folder(tmp_path, trained):
    """The saved model."""
    modelzoo.save(tmp_path / "small", trained, CONFIG, HISTORY, METRICS)
    return tmp_path / "small"


@pytest.fixture
def weights(folder):
    return folder / "small.weights.h5"


def assert_equal_weights(one, other):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def refusal(folder):
    """The one sentence with which a model is refused."""
    with pytest.raises(InputError) as error:
        modelzoo.load(folder)
    message = str(error.value)
    assert "\n" not in message and message.count(". ") == 0 and message.endswith(".")
    return message


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


def test_models_are_found_by_name_and_by_path(folder, trained, monkeypatch):
    monkeypatch.setattr(modelfiles, "MODELS", folder.parent)
    assert_equal_weights(modelzoo.load("small"), trained)
    monkeypatch.chdir(folder)
    assert_equal_weights(modelzoo.load("."), trained)
    assert "no model large: choose one of small." in refusal("large")


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


@pytest.mark.parametrize("name", ["x" * 300, "nul\0", "", os.fsdecode(b"\xff")], ids=ascii)
def test_a_name_that_no_model_has_gets_a_sentence(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert refusal(name).startswith(f"There is no model {name}: choose one of ")


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


def test_weights_of_another_kind_of_file_are_refused(tmp_path, trained):
    path = tmp_path / "weights.keras"
    path.write_bytes(b"PK")
    with pytest.raises(InputError, match="weights.keras is no .weights.h5 or .h5 file: train"):
        load_weights(trained, path, "train again.")


def test_missing_weights_get_a_sentence(folder, weights):
    weights.unlink()
    assert f"{weights} is missing" in refusal(folder)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_weights_that_are_cut_short_get_a_sentence(folder, weights, share):
    weights.write_bytes(weights.read_bytes()[: int(share * weights.stat().st_size)])
    assert f"{weights} is cut short" in refusal(folder)


def test_weights_that_are_not_hdf5_get_a_sentence(folder, weights):
    weights.write_text("<html>404 Not Found</html>" * 100)
    assert f"{weights} is cut short, damaged or not HDF5" in refusal(folder)


def test_weights_with_damage_inside_get_a_sentence(folder, weights):
    whole = weights.read_bytes()
    place = whole.index(b"SNOD")  # HDF5's signature of a list of names
    weights.write_bytes(whole[:place] + b"????" + whole[place + 4 :])
    assert str(weights) in refusal(folder)


@pytest.mark.parametrize(
    "other",
    [
        lambda: unet(width=3, depth=1),
        lambda: unet(width=2, depth=2),
        lambda: keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 3)]),
    ],
    ids=["wider", "deeper", "no UNet"],
)
@pytest.mark.filterwarnings("error::UserWarning")  # no lines of Keras before the sentence
def test_weights_of_another_network_get_a_sentence(folder, weights, other):
    other().save_weights(weights)
    assert f"{weights} does not fit this unet" in refusal(folder)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"network": "unet"}', '{"network": "vnet", "arguments": {}}']
    + ['{"network": ["unet"], "arguments": {}}', '{"network": "unet", "arguments": [2]}', "\x80"],
)
def test_a_broken_config_gets_a_sentence(folder, text):
    (folder / "config.json").write_text(text, "latin-1")
    assert f"{folder / 'config.json'} does not describe a known network (unet" in refusal(folder)


@pytest.mark.parametrize("arguments", [{"widht": 2}, {"width": "2"}, {"width": 0}, {"depth": 1.5}])
def test_arguments_that_build_nothing_get_a_sentence(folder, arguments):
    config = {"network": "unet", "arguments": arguments}
    (folder / "config.json").write_text(json.dumps(config))
    assert str(arguments) in refusal(folder)


def test_a_disk_that_fills_up_leaves_the_former_model(folder, trained, monkeypatch):
    former = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fill_up(path, content):
        path.write_text("half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fill_up)
    with pytest.raises(InputError, match="No space left on device"):
        modelzoo.save(folder, trained, CONFIG, [{"epoch": 9}], {"seed": 9})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == former


def test_missing_metrics_get_a_sentence(folder):
    for spoil in (lambda path: path.write_text("{"), lambda path: path.unlink()):
        spoil(folder / "metrics.json")
        with pytest.raises(InputError, match=r"metrics.json is missing or damaged"):
            modelzoo.read_metrics(folder)


def layers_of(model):
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


@pytest.mark.parametrize(("before", "after"), [(1, 1), (1, 3), (3, 1)])
def test_a_network_starts_from_the_channels_that_a_trained_one_has(tmp_path, before, after):
    first, second = (
        CONFIG | {"arguments": CONFIG["arguments"] | {"channels": channels}}
        for channels in (before, after)
    )
    trained, network = modelzoo.build(first), modelzoo.build(second)
    modelzoo.save(tmp_path / "first", trained, first, [{"epoch": 1}], {})
    random = layers_of(network)
    modelzoo.start_from(network, tmp_path / "first")
    expected, found = layers_of(trained), layers_of(network)
    assert found.keys() == expected.keys()
    both = min(before, after)
    for new, old, own in zip(*(d.pop("nucleus") for d in (found, expected, random)), strict=True):
        np.testing.assert_array_equal(new[..., :both], old[..., :both])
        np.testing.assert_array_equal(new[..., both:], own[..., both:])
    for name in found:
        for new, old in zip(found[name], expected[name], strict=True):
            np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("other", [{"width": 3, "depth": 1}, {"width": 2, "depth": 2}])
def test_a_network_that_does_not_fit_cannot_be_started_from(folder, other):
    with pytest.raises(InputError, match="small does not fit this unet: start from a model of"):
        modelzoo.start_from(unet(**other), folder)


def test_the_record_of_a_training_holds_what_the_card_needs(trained):
    image = np.zeros((8, 8, 3), np.uint8)
    train, val = (
        [Sample(name, name, "synthetic", image, image[..., 0] > 0, None) for name in names]
        for names in (("a", "b"), ("c",))
    )
    history = [{"epoch": 1, "seconds": 90.0}, {"epoch": 2, "seconds": 30.0}]
    kept = training_record(
        trained, history, train, val, {"test": {"x": 1}}, {"device": "CPU"}, seed=7
    )
    assert kept["train_patients"] == ["a", "b"] and kept["val_patients"] == ["c"]
    assert (kept["minutes"], kept["seed"], kept["test"]) == (2.0, 7, {"x": 1})
    assert kept["data"] == "synthetic tissue" and kept["hardware"] == {"device": "CPU"}
    assert kept["parameters"] == trained.count_params() and "commit" in kept
    json.dumps(kept)


def test_provenance_names_code_and_software():
    found = provenance()
    assert found["versions"]["keras"] == keras.__version__
    assert found["versions"]["numpy"] == np.__version__
    assert set(found["versions"]) == {"python", "keras", keras.backend.backend(), "numpy"}
    assert found["commit"] is None or len(found["commit"].removesuffix("+")) >= 12


def test_a_commit_has_a_plus_where_code_differs_and_none_for_figures(tmp_path, monkeypatch):
    def git(*arguments):
        author = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", tmp_path, *author, *arguments], check=True)

    monkeypatch.setattr(record, "ROOT", tmp_path)
    assert provenance()["commit"] is None  # outside git
    for folder in ("nuclei", "Graphs"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_text("before")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    (tmp_path / "Graphs" / "file").write_text("after")
    assert len(provenance()["commit"].removesuffix("+")) == 12
    assert not provenance()["commit"].endswith("+")
    (tmp_path / "nuclei" / "file").write_text("after")
    assert provenance()["commit"].endswith("+")


def test_an_ensemble_averages_probabilities_and_the_distances_that_there_are(tmp_path, trained):
    with_distance = CONFIG | {"arguments": CONFIG["arguments"] | {"channels": 2}}
    second = modelzoo.build(with_distance)
    reference.fill(second)
    modelzoo.save(tmp_path / "first", trained, CONFIG, HISTORY, METRICS)
    modelzoo.save(tmp_path / "second", second, with_distance, HISTORY, METRICS)
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)

    one, two = (keras.ops.convert_to_numpy(model(image)) for model in (trained, second))
    assert one.shape[-1] == 1 and two.shape[-1] == 2
    folders = [tmp_path / "first", tmp_path / "second"]
    both = keras.ops.convert_to_numpy(modelzoo.ensemble(folders)(image))
    np.testing.assert_allclose(both[..., 0], (one[..., 0] + two[..., 0]) / 2, atol=1e-6)
    np.testing.assert_allclose(both[..., 1], two[..., 1], atol=1e-6)
    alone = keras.ops.convert_to_numpy(modelzoo.ensemble(folders[:1])(image))
    np.testing.assert_allclose(alone, one, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_get_a_sentence(folder, trained, value):
    values = trained.get_weights()
    values[0] = np.full_like(values[0], value)
    network = modelzoo.build(modelzoo.read_config(folder))
    network.set_weights(values)
    path = folder / f"{folder.name}.weights.h5"
    network.save_weights(path)
    with pytest.raises(InputError, match="NaN or infinite"):
        modelzoo.load(folder)
