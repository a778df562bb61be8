"""Engines give what Keras gives, the right one is chosen, and the fast one needs no TensorFlow."""

import json
import os
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from nuclei import ROOT, gpus, keras_backend, modelfiles, modelzoo
from nuclei.data import synthetic
from nuclei.errors import InputError
from nuclei.prediction import engines, windows
from nuclei.prediction.engines import convert, files, loading

NAMES = modelfiles.names()
CONFIG = {"network": "unet", "arguments": {"width": 2, "depth": 2, "channels": 2}}


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    """The same engines are chosen on every machine."""
    monkeypatch.setattr(gpus, "may_be_used", lambda: False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A trained model without an int8 file, and without what other tests have converted.

    The first network of each test has the same random weights, so that they would share a file.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = modelzoo.build(CONFIG)
    modelzoo.save(tmp_path / "small", model, CONFIG, [{"epoch": 1}], {})
    return tmp_path / "small"


@pytest.fixture(scope="session")
def red():
    """An int8 OpenVINO model, made by hand: its output is red / 255, rounded to 1 / 16."""
    import openvino as ov
    from openvino import opset13 as ops

    image = ops.parameter([-1, -1, -1, 3], np.float32, name="image")
    low, high = np.float32(0), np.float32(255)
    rounded = ops.fake_quantize(image, low, high, low, np.float32(1), 17)
    axes = np.int64([3])
    channel = ops.slice(rounded, np.int64([0]), np.int64([1]), np.int64([1]), axes)
    return ov.Model([channel], [image], "red")


@pytest.fixture
def with_int8(folder, red):
    """A trained model with an int8 file that fits its weights."""
    content = convert.to_content(red, modelfiles.fingerprint(folder), "unet")
    files.write(folder / "small.int8.zip", content)
    return folder


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["segnet", "deeplabv3_mobilenetv2"])
def test_float32_gives_what_keras_gives_for_any_size(name):
    """The networks with layers of our own, and with global pooling, whose values differ by size."""
    model, engine = engines.load(name, "keras"), engines.load(name, "openvino")
    assert (engine.name, engine.network) == ("openvino", name.partition("_")[0])
    assert engine.channels == model.channels == 1
    image, _ = synthetic.tissue(seed=0, shape=(96, 128))
    for batch in image[None], np.stack([image, image[::-1]])[:, 32:], image[None]:
        found = engine.forward(batch)
        assert found.dtype == np.float32 and np.ptp(found) > 0.5
        np.testing.assert_allclose(found, model.forward(batch), atol=1e-4)
        np.testing.assert_array_equal(engine.forward(np.float32(batch)), found)


@pytest.mark.tensorflow
def test_a_model_is_converted_once_and_again_after_a_change(folder, red, monkeypatch, capsys):
    converted = []
    monkeypatch.setattr(convert, "convert", lambda model: converted.append(model) or red)
    for times in 1, 1:  # the second time, the cache has it
        assert engines.load(folder, "openvino").name == "openvino"
        assert len(converted) == times
    assert capsys.readouterr().err.startswith("Converting small for OpenVINO, once: ")

    files.cached_file(modelfiles.fingerprint(folder)).write_bytes(b"cut short")
    engines.load(folder, "openvino")
    assert len(converted) == 2
    modelzoo.save(folder, modelzoo.build(CONFIG), CONFIG, [{"epoch": 1}], {})
    engines.load(folder, "openvino")
    assert len(converted) == 3


@pytest.mark.tensorflow
def test_a_cache_that_cannot_be_written_is_said_and_no_harm(
    folder, red, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(convert, "convert", lambda model: red)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert engines.load(folder, "openvino").channels == 1
    assert "could not be written" in capsys.readouterr().err


def test_a_backend_that_cannot_be_converted_is_said_before_any_work(folder, monkeypatch, capsys):
    monkeypatch.setattr(keras_backend, "name", lambda: "jax")
    with pytest.raises(InputError, match=r"runs on jax: set KERAS_BACKEND=tensorflow, or use --en"):
        engines.load(folder, "openvino")
    assert not capsys.readouterr().err


def test_an_int8_file_is_read_as_it_was_written(with_int8):
    engine = engines.load(with_int8, "openvino-int8")
    assert (engine.name, engine.network, engine.channels) == ("openvino-int8", "unet", 1)
    image = noise(70, 90)
    expected = np.round(image[..., 0] / 255 * 16) / 16
    np.testing.assert_allclose(windows.predict(engine, image), expected, atol=1e-5)
    path = with_int8 / "small.int8.zip"
    before = path.read_bytes()
    files.write(path, files.read(path))
    assert path.read_bytes() == before


def test_processes_that_share_the_cores_are_not_tied_to_the_same_ones(with_int8, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    compiled = engines.load(with_int8, "openvino-int8")._compile((1, 8, 8, 3)).get_compiled_model()
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert compiled.get_property("ENABLE_CPU_PINNING") is False


def test_threads_may_share_an_engine(with_int8):
    engine = engines.load(with_int8)
    batches = [noise(1, 64, 32 * number, seed=number) for number in range(1, 9)]
    expected = [engine.forward(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        for found, alone in zip(pool.map(engine.forward, batches), expected, strict=True):
            np.testing.assert_array_equal(found, alone)


class TestAuto:
    def test_int8_where_the_model_has_it(self, with_int8, capsys):
        assert engines.choose(with_int8) == "openvino-int8"
        renamed = with_int8.rename(with_int8.with_name("renamed"))
        assert engines.choose(renamed) == "openvino-int8"
        assert not capsys.readouterr().err

    @pytest.mark.tensorflow
    def test_else_float32(self, folder, capsys):
        assert engines.choose(folder) == "openvino" and not capsys.readouterr().err

    def test_keras_where_it_sees_a_gpu(self, with_int8, monkeypatch):
        from nuclei.training import devices

        monkeypatch.setattr(gpus, "may_be_used", lambda: True)
        for found, engine in (["gpu:0"], "keras"), ([], "openvino-int8"):
            monkeypatch.setattr(devices, "list_gpus", lambda found=found: found)
            assert engines.choose(with_int8) == engine

    def test_keras_where_openvino_is_missing_with_a_sentence(self, with_int8, monkeypatch, capsys):
        monkeypatch.setattr(loading.importlib.util, "find_spec", lambda name: None)
        assert engines.choose(with_int8) == "keras"
        said = capsys.readouterr().err
        assert said.startswith("OpenVINO is not installed") and "pip install openvino" in said
        assert said.count("\n") == 1

    @pytest.mark.tensorflow
    def test_a_file_of_other_weights_is_left_with_a_sentence(self, with_int8, capsys):
        modelzoo.save(with_int8, modelzoo.build(CONFIG), CONFIG, [{"epoch": 1}], {})
        assert engines.choose(with_int8) == "openvino"
        said = capsys.readouterr().err
        assert "small.int8.zip was made from other weights" in said and said.count("\n") == 1
        with pytest.raises(InputError, match="other weights .*make quantize"):
            engines.load(with_int8, "openvino-int8")

    @pytest.mark.tensorflow
    @pytest.mark.parametrize("damage", ["cut", "facts"])
    def test_a_damaged_file_is_left_with_a_sentence(self, with_int8, capsys, damage):
        path = with_int8 / "small.int8.zip"
        if damage == "cut":
            path.write_bytes(path.read_bytes()[:-50])
        else:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr(files.FACTS, json.dumps({"network": "unet"}))
        assert engines.choose(with_int8) == "openvino"
        assert "small.int8.zip is damaged: restore the file" in capsys.readouterr().err


def test_what_cannot_be_loaded_is_said(folder, with_int8, monkeypatch):
    with pytest.raises(InputError, match="no engine onnx: choose auto, keras"):
        engines.load(folder, "onnx")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(InputError, match="not installed: run `pip install openvino`"):
        engines.load(with_int8, "openvino-int8")
    (with_int8 / "small.int8.zip").unlink()
    with pytest.raises(InputError, match="no int8 file: use --engine openvino or, .* MODEL=small`"):
        engines.load(folder, "openvino-int8")


@pytest.mark.parametrize("engine", [engines.AUTO, *engines.ENGINES])
def test_no_engine_is_chosen_for_a_model_that_is_not_there(engine):
    with pytest.raises(InputError, match="There is no model unett: choose one of"):
        engines.choose("unett", engine)


def test_what_openvino_cannot_read_names_the_version_that_can(with_int8):
    path = with_int8 / "small.int8.zip"
    content = files.read(path)
    files.write(path, files.EngineContent(b"<net/>", content.weights, content.facts))
    with pytest.raises(InputError, match=r"cannot read .*small.int8.zip: install OpenVINO \d"):
        engines.load(with_int8, "openvino-int8")


def test_results_of_another_int8_file_are_not_mixed(with_int8, red):
    before = {engine: engines.fingerprint(with_int8, engine) for engine in engines.ENGINES}
    content = convert.to_content(red, modelfiles.fingerprint(with_int8), "unet", seed=1)
    files.write(with_int8 / "small.int8.zip", content)
    after = {engine: engines.fingerprint(with_int8, engine) for engine in engines.ENGINES}
    changed = [engine for engine in engines.ENGINES if before[engine] != after[engine]]
    assert changed == ["openvino-int8"]


def test_a_gpu_is_looked_for_without_keras(tmp_path, monkeypatch):
    monkeypatch.undo()
    for name in ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(gpus.sys, "platform", "linux")
    assert not gpus.may_be_used(tmp_path)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    assert gpus.may_be_used(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert not gpus.may_be_used(tmp_path)


FAST = """
import sys
from nuclei.__main__ import main

code = main(sys.argv[1:])
slow = {"tensorflow", "keras", "jax", "torch", "dask", "zarr", "matplotlib", "scipy", "skimage"}
slow &= set(sys.modules)
status = dict(line.split(":") for line in open("/proc/self/status"))
assert not sys.modules["openvino_telemetry"]
print(code, sorted(slow), int(status["VmHWM"].split()[0]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux reports it")
def test_an_image_takes_no_tensorflow_and_half_a_gigabyte(tmp_path):
    Image.fromarray(synthetic.tissue(seed=0, shape=(1000, 1000))[0]).save(tmp_path / "a.png")
    words = ["predict", "unet_instances", "a.png", "--instances", "--overlay", "--out", "out"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", FAST, *words]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    code, *modules, megabytes = done.stdout.splitlines()[-1].split()
    assert (code, modules) == ("0", ["[]"]), done.stderr
    assert int(megabytes) <= 500
    assert (tmp_path / "out" / "a_labels.tif").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_int8_file_fits_its_weights(name):
    content = loading.read_int8(modelfiles.find(name))
    assert content.facts["crops"] == 96 and content.facts["network"] in name


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_int8_file_scores_as_its_weights(name):
    measured = modelzoo.read_metrics(modelfiles.find(name))["engines"]
    for split, exact in measured["keras"].items():
        for score in ("dice", "aji"):
            assert measured["openvino-int8"][split][score] == pytest.approx(exact[score], abs=0.01)
