"""Exported models give what Keras gives at any size; else nothing is written."""

import importlib
import json
import shutil
import sys

import numpy as np
import pytest
import reference

from nuclei import keras_backend, modelzoo
from nuclei.__main__ import main
from nuclei.errors import InputError
from nuclei.export import bioimage, formats
from nuclei.export.write import export, output
from nuclei.prediction import windows

CONFIG = {"network": "unet", "arguments": {"width": 2, "depth": 4, "channels": 2}}
FORMATS = ["keras", "openvino", "onnx", "litert"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A trained model, whose name is not one of those in models/."""
    folder = tmp_path_factory.mktemp("models") / "small"
    model = modelzoo.build(CONFIG)
    reference.fill(model)
    modelzoo.save(folder, model, CONFIG, [{"epoch": 1}], {})
    return folder


def need(form):
    """Skip where a format cannot be written."""
    if form != "keras" and keras_backend.name() != "tensorflow":
        pytest.skip("the format is written from TensorFlow alone")
    for module in formats.NEEDS[form]:
        try:
            importlib.import_module(module)
        except ImportError:
            pytest.skip(f"{module} is not installed: see requirements-export.txt")


@pytest.mark.parametrize("form", FORMATS)
def test_an_exported_model_gives_what_keras_gives(folder, tmp_path, form):
    need(form)
    path, difference = export(folder, form, tmp_path / f"exported{formats.SUFFIXES[form]}")
    assert difference < 1e-5
    assert [path] == list(tmp_path.iterdir())
    file = path / "small.xml" if form == "openvino" else path
    batch = np.random.default_rng(1).integers(0, 256, (3, 32, 160, 3), np.uint8)
    maps = formats.RUNS[form](file, batch.astype(np.float32))
    assert np.ptp(maps) > 0.5  # not the same at all pixels
    np.testing.assert_allclose(maps, windows.forward(modelzoo.load(folder), batch), atol=1e-5)


def test_bioimageio_accepts_and_runs_the_package(folder, tmp_path):
    need("bioimageio")
    from bioimageio.core import test_model as run_test
    from bioimageio.spec import load_description_and_validate_format_only, load_model_description

    path, _ = export(folder, "bioimageio", tmp_path / "small.zip", licence="CC-BY-4.0")
    assert load_description_and_validate_format_only(path).status == "valid-format"
    assert run_test(path).status == "passed"
    model = load_model_description(path, perform_io_checks=False)
    assert model.license == "CC-BY-4.0"
    assert model.outputs[0].axes[-1].channel_names == ["nucleus", "distance"]
    assert len(model.covers) == 1 and model.cite[0].doi and model.documentation


def test_bioimageio_predicts_other_sizes(folder, tmp_path):
    need("bioimageio")
    from bioimageio.core import predict

    path, _ = export(folder, "bioimageio", tmp_path / "small.zip", licence="CC-BY-4.0")
    image = np.random.default_rng(1).integers(0, 256, (1, 96, 160, 3), np.uint8)
    (found,) = predict(model=path, inputs={"image": image}).members.values()
    around = [(0, 0), (bioimage.HALO,) * 2, (bioimage.HALO,) * 2, (0, 0)]
    maps = windows.forward(modelzoo.load(folder), np.pad(image, around, mode="symmetric"))
    inner = np.s_[:, bioimage.HALO : -bioimage.HALO, bioimage.HALO : -bioimage.HALO]
    np.testing.assert_allclose(np.asarray(found.data), maps[inner], atol=1e-5)


def test_a_package_of_weights_from_monuseg_has_its_licence_and_papers():
    need("bioimageio")
    from nuclei.export import bioimage
    from nuclei.modelfiles import find

    facts = bioimage.facts(find("unet"))
    assert facts["license"] == "CC-BY-NC-SA-4.0"
    assert "10.1109/TMI.2017.2677499" in [one.doi for one in facts["cite"]]
    with pytest.raises(InputError, match="leave --license out"):
        bioimage.facts(find("unet"), "MIT")


def test_so_has_one_of_weights_that_began_with_those(folder, tmp_path):
    """`NAME=mine START=unet`: the data of someone else, on top of MoNuSeg."""
    need("bioimageio")
    from nuclei.export import bioimage

    mine = shutil.copytree(folder, tmp_path / "mine")
    metrics = {"data": "mydata", "start_data": ["MoNuSeg"]}
    (mine / "metrics.json").write_text(json.dumps(metrics))
    facts = bioimage.facts(mine)
    assert facts["license"] == "CC-BY-NC-SA-4.0" and len(facts["cite"]) > 1
    assert facts["description"].endswith("trained on MoNuSeg, then on mydata.")
    with pytest.raises(InputError, match="mine was trained on MoNuSeg, or began so"):
        bioimage.facts(mine, "CC-BY-4.0")


@pytest.mark.parametrize(
    ("licence", "sentence"),
    [(None, "The licence of small is not known"), ("mine", "mine is no SPDX name of a licence")],
)
def test_a_licence_must_be_known_before_the_model_is_loaded(
    folder, tmp_path, monkeypatch, licence, sentence
):
    need("bioimageio")
    monkeypatch.delattr(modelzoo, "load")
    with pytest.raises(InputError, match=sentence):
        export(folder, "bioimageio", tmp_path / "small.zip", licence=licence)
    assert not list(tmp_path.iterdir())


def test_a_licence_that_would_be_lost_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.delattr(modelzoo, "load")
    with pytest.raises(InputError, match="The format keras has no place for a licence: leave"):
        export(folder, "keras", tmp_path / "small.keras", licence="CC-BY-4.0")


def test_a_model_that_differs_or_does_not_run_is_not_written(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(formats.RUNS, "keras", lambda _, batch: batch[..., :2] * 0 - 1)
    with pytest.raises(InputError, match=r"differs from Keras by .*nothing was written"):
        export(folder, "keras", tmp_path / "small.keras")
    assert not list(tmp_path.iterdir())

    def broken(path, batch):
        raise RuntimeError("No such layer. More about it")

    maps = np.zeros((1, 2, 2, 1), np.float32)
    for run, sentence in (
        (lambda _, batch: maps + 0.002, "by 0.002, more than 0.001"),
        (lambda _, batch: maps * np.nan, "by nan"),
        (lambda _, batch: maps[0], "by inf"),
        (broken, r"does not run as keras \(No such layer\)"),
    ):
        monkeypatch.setitem(formats.RUNS, "keras", run)
        with pytest.raises(InputError, match=sentence):
            formats.check("keras", tmp_path, [maps], [maps])


def test_a_missing_package_is_named(monkeypatch):
    if keras_backend.name() != "tensorflow":
        pytest.skip("another sentence comes first: the format is written from TensorFlow alone")
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(InputError, match="pip install tf2onnx onnxruntime`"):
        formats.require("onnx")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(InputError, match="pip install openvino`, or use --format keras"):
        formats.require("openvino")


@pytest.mark.parametrize("form", [*FORMATS, "bioimageio"])
def test_what_is_there_is_kept(tmp_path, form):
    there = tmp_path / f"unet{formats.SUFFIXES[form]}"
    there.write_text("mine")
    with pytest.raises(InputError, match=r"unet.* exists: remove it"):
        output(tmp_path / "unet", form, there)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="folder exists|is a folder: choose a file in it"):
        output(tmp_path / "unet", form, tmp_path / "folder")
    assert there.read_text() == "mine"


def test_a_suffix_must_be_that_of_the_format(tmp_path):
    with pytest.raises(InputError, match=r"model.h5 should end in .onnx"):
        output(tmp_path / "unet", "onnx", tmp_path / "model.h5")


def test_errors_of_the_command(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "nobody", "--format", "keras"]) == 1
    assert "There is no model nobody: choose one of" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        main(["export", "unet", "--format", "docx"])
    assert caught.value.code == 2
    assert "docx" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
