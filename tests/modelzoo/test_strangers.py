"""A model of a stranger runs no code, reads no other file, and takes no more than its size."""

import json
import os
import pickle
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from sentences import is_one_sentence

from nuclei import modelfiles
from nuclei.errors import InputError
from nuclei.modelfiles import hdf5
from nuclei.prediction.engines import files, structure
from nuclei.prediction.engines.openvino_engine import OpenVINOEngine

FACTS = {"fingerprint": "0", "network": "unet", "openvino": "0"}


class Harm:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.fixture
def folder(tmp_path):
    """A folder of a model, in a folder with other files."""
    (folder := tmp_path / "model").mkdir()
    (folder / "config.json").write_text('{"network": "unet", "arguments": {"width": 2}}')
    return folder


def external_link(file, other):
    file["w"] = h5py.ExternalLink(str(other), "secret")


def soft_link(file, other):
    file["w"] = h5py.SoftLink("/v")


def external_data(file, other):
    file.create_dataset("w", (4,), "f4", external=[(str(other), 0, 16)])


def virtual_data(file, other):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(str(other), "secret", (4,))
    file.create_virtual_dataset("w", layout)


def objects(file, other):
    file.create_dataset("w", data=["text"], dtype=h5py.string_dtype())


def filtered(file, other):
    file.create_dataset("w", (4,), "f4", chunks=(4,), compression="lzf")


def declared(file, other):
    file.create_dataset("w", (10**6,), "f4")


def many(file, other):
    for number in range(30):
        file.create_dataset(f"w{number}", (100,), "f4", chunks=(100,), compression="gzip")


def chunks(file, other):
    file.create_dataset("w", (4,), "f4", maxshape=(None,), chunks=(10**6,), compression="gzip")


WEIGHTS = {
    external_link: "a link in place of weights",
    soft_link: "a link in place of weights",
    external_data: "weights that lie in other files",
    virtual_data: "weights that lie in other files",
    objects: "weights of the type object",
    filtered: "packed by filter 32000",
    declared: "far more numbers than this network",
    many: "far more numbers than this network",
    chunks: "far more numbers than this network",
}


@pytest.mark.parametrize("make", WEIGHTS, ids=lambda make: make.__name__)
def test_weights_hold_numbers_of_their_own_and_no_more(tmp_path, make):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["secret"] = np.float32([1, 2, 3, 4])
    path = tmp_path / "a.weights.h5"
    with h5py.File(path, "w") as file:
        make(file.create_group("layers"), tmp_path / "secret.h5")
    with pytest.raises(InputError, match=WEIGHTS[make]) as error, open(path, "rb") as file:
        hdf5.check(file, path, 10_000)
    assert is_one_sentence(error, path)


def test_weights_of_keras_pass_and_groups_may_contain_themselves(tmp_path):
    path = tmp_path / "a.weights.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("layers")
        group["again"] = group
        options = {"compression": "gzip", "shuffle": True, "fletcher32": True}
        group.create_dataset("w", data=np.ones(2500, np.float32), **options)
        group.create_dataset("empty", shape=(), dtype="i8")
    with open(path, "rb") as file:
        hdf5.check(file, path, 10_008)
    with pytest.raises(InputError, match="far more numbers"), open(path, "rb") as file:
        hdf5.check(file, path, 10_007)


@pytest.mark.tensorflow
def test_a_model_is_loaded_with_these_checks(tmp_path, folder):
    from nuclei import modelzoo

    path = folder / "model.weights.h5"
    with h5py.File(path, "w") as file:
        external_link(file, tmp_path / "secret.h5")
    with pytest.raises(InputError, match="a link in place of weights"):
        modelzoo.load(folder)
    path.write_bytes(pickle.dumps(Harm(tmp_path / "harm")))
    with pytest.raises(InputError, match="is cut short, damaged or not HDF5"):
        modelzoo.load(folder)
    with open(path, "wb") as file:
        file.truncate(10**10)  # takes no room on the disk
    with pytest.raises(InputError, match="has 10,000,000,000 bytes, and"):
        modelzoo.load(folder)
    assert not (tmp_path / "harm").exists()


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "arguments",
    [
        {"width": {"class_name": "Lambda", "config": {"function": "__import__('os')"}}},
        {"encoder": "efficientnet_lite0", "encoder_weights": "../secret.h5"},
        {"encoder": "../secret"},
        {"function": "print"},
    ],
)
def test_settings_name_no_code_and_no_files(folder, arguments):
    from nuclei import modelzoo

    config = {"network": "unet", "arguments": {"width": 2, **arguments}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="does not describe a known|can be built with the argum"):
        modelzoo.load(folder)


@pytest.mark.tensorflow
@pytest.mark.parametrize("rates", [[6] * 9, [10**9], [0]])
def test_rates_of_a_deeplab_are_bounded(rates):
    from nuclei import modelzoo

    with pytest.raises(InputError, match="can be built with the arguments"):
        modelzoo.build({"network": "deeplabv3", "arguments": {"width": 4, "rates": rates}})


@pytest.mark.parametrize("name", ["config.json", "metrics.json"])
def test_settings_are_short_files_that_are_not_nested_deeply(folder, name):
    def read():
        return modelfiles.fingerprint(folder), modelfiles.read_metrics(folder)

    (folder / "metrics.json").write_text("{}")
    read()
    (folder / name).write_text(10**6 * "[")
    if name == "metrics.json":
        with pytest.raises(InputError, match="is missing or damaged"):
            read()
    else:
        read()  # what is wrong with it is said when the model is loaded
    with open(folder / name, "wb") as file:
        file.truncate(10**10)
    with pytest.raises(InputError, match="has 10,000,000,000 bytes|is missing or damaged"):
        read()


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5", "model.int8.zip"])
def test_files_of_a_model_lie_in_its_folder(tmp_path, folder, name):
    (tmp_path / "secret").write_text("{}")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to("../secret")
    with pytest.raises(InputError, match="is a link that leaves the folder of its model") as error:
        modelfiles.fingerprint(folder)
        modelfiles.int8_file(folder)
    assert is_one_sentence(error, folder / name)
    (folder / name).unlink()
    (folder / "there").write_text("{}")
    (folder / name).symlink_to("there")
    modelfiles.fingerprint(folder), modelfiles.int8_file(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(folder):
    os.mkfifo(folder / "model.weights.h5")
    with pytest.raises(InputError, match="is a pipe or a device"):
        modelfiles.fingerprint(folder)


def layer(kind, version):
    return f'<net><layers><layer type="{kind}" version="{version}"/></layers></net>'.encode()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (layer("Loop", "opset5"), "the operation 'Loop'"),
        (layer("Convolution", "extension"), "the operation 'Convolution' of 'extension'"),
        (layer("Own", "custom"), "the operation 'Own'"),
        (b"<!DOCTYPE net [<!ENTITY a 'b'>]>" + layer("Add", "opset1"), "declares entities"),
        (layer("Add", "opset1")[:-3], "it is no XML"),
        ("<net>\N{DEGREE SIGN}</net>".encode(), "not in ASCII"),
    ],
)
def test_structures_have_only_operations_of_the_networks(content, complaint):
    structure.check(layer("Add", "opset1"))
    with pytest.raises(ValueError, match=complaint):
        structure.check(content)


def content(output, *inputs):
    """An engine file of operations of OpenVINO."""
    import openvino as ov

    from nuclei.prediction.engines import convert

    return convert.to_content(ov.Model([output], list(inputs), "a"), "0", "unet")


@pytest.fixture
def image():
    from openvino import opset13 as ops

    return ops.parameter([-1, -1, -1, 3], np.float32)


def test_an_engine_with_other_operations_is_refused_before_openvino_reads_it(image):
    from openvino import opset13 as ops

    with pytest.raises(InputError, match="is not one of the networks here .*operation 'Exp'"):
        OpenVINOEngine("openvino", content(ops.exp(image), image))


def test_an_engine_that_takes_much_memory_is_refused_before_it_does(image):
    from openvino import opset13 as ops

    huge = ops.broadcast(np.float32(1), np.int64([1, 100_000, 100_000, 1]))
    mean = ops.reduce_mean(huge, np.int64([1, 2, 3]), keep_dims=True)
    channel = ops.slice(image, np.int64([0]), np.int64([1]), np.int64([1]), np.int64([3]))
    engine = OpenVINOEngine("openvino", content(ops.multiply(channel, mean), image))
    with pytest.raises(InputError, match="is not one of the networks here .Broadcast gives"):
        engine.forward(np.zeros((1, 64, 64, 3), np.uint8))


@pytest.mark.parametrize("facts", ["[" * 100_000, "7", '{"fingerprint": "0"}'])
def test_facts_of_an_engine_file_are_checked(tmp_path, monkeypatch, facts):
    monkeypatch.setattr(
        files, "json", SimpleNamespace(dumps=lambda *_, **__: facts, loads=json.loads)
    )
    files.write(tmp_path / "a.int8.zip", files.EngineContent(b"<net/>", b"", {}))
    with pytest.raises(InputError, match="is damaged"):
        files.read(tmp_path / "a.int8.zip")


def test_a_model_with_many_channels_is_refused(folder, monkeypatch):
    from nuclei.prediction.engines import loading

    monkeypatch.setattr(loading, "_read", lambda *_: SimpleNamespace(channels=2048))
    with pytest.raises(InputError, match="gives 2048 numbers at each pixel, not 1 or 2"):
        loading.load(folder, "keras")
