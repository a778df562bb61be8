"""Damaged and missing files of a model get one sentence, and leave the former one."""

import errno
import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
from saved_models import CONFIG, refusal

from nuclei import modelzoo
from nuclei.errors import InputError
from nuclei.networks.unet import unet
from nuclei.networks.weights import load_weights


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


@pytest.mark.parametrize(
    ("network", "arguments", "words"),
    [
        ("unet", {"encoder": "resnet"}, "(There is no encoder 'resnet': choose mobilenetv2 or "),
        ("deeplabv3", {"backbone": "resnet"}, "(There is no encoder 'resnet': choose "),
        ("deeplabv3", {"output_stride": "16"}, "(The output stride can be 8, 16 or 32, not '16')"),
    ],
)
def test_a_word_that_no_argument_takes_is_named_with_those_it_takes(network, arguments, words):
    with pytest.raises(InputError) as caught:
        modelzoo.build({"network": network, "arguments": {"width": 4, **arguments}})
    assert words in str(caught.value)


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
