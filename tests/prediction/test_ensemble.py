"""Several models predict together, wherever the name of one is taken."""

import json

import numpy as np
import pytest
from PIL import Image

from nuclei import gpus, keras_backend, modelfiles, modelzoo
from nuclei.__main__ import main
from nuclei.data import seen, synthetic
from nuclei.errors import InputError
from nuclei.prediction import engines
from nuclei.prediction.engines import files
from nuclei.slides.predict import predict as predict_slide


def config(channels):
    return {"network": "unet", "arguments": {"width": 2, "depth": 2, "channels": channels}}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two models: one predicts the probability alone, the other one the distance, too."""
    place = tmp_path_factory.mktemp("models")
    for channels, patient in ((1, "one"), (2, "two")):
        record = {"train_patients": [patient]}
        model = modelzoo.build(config(channels))
        modelzoo.save(place / patient, model, config(channels), [{"epoch": 1}], record)
    return place / "one", place / "two"


@pytest.fixture(scope="module")
def both(folders):
    return "+".join(str(folder) for folder in folders)


def test_probabilities_are_averaged_and_the_distances_that_there_are(folders, both):
    batch = np.random.default_rng(0).integers(0, 256, (2, 32, 64, 3), np.uint8)
    one, two = (engines.load(folder, "keras").forward(batch) for folder in folders)
    together = engines.load(both, "keras")
    assert (together.name, together.network, together.channels) == ("keras", "unet+unet", 2)
    found = together.forward(batch)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[..., 0], (one[..., 0] + two[..., 0]) / 2, atol=1e-6)
    np.testing.assert_allclose(found[..., 1], two[..., 1], atol=1e-6)


def test_all_run_on_the_fastest_engine_that_each_has(folders, monkeypatch):
    monkeypatch.setattr(gpus, "may_be_used", lambda: False)
    assert engines.choose("unet+segnet") == "openvino-int8"
    alone = engines.choose(folders[0])  # which has no int8 file
    assert alone in ("keras", "openvino")
    assert engines.choose(f"unet+{folders[0]}") == alone
    assert engines.choose("unet+segnet", "openvino") == "openvino"


def test_all_can_run_on_the_engine_that_is_chosen(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(gpus, "may_be_used", lambda: False)
    monkeypatch.setattr(keras_backend, "name", lambda: "jax")  # which converts no model
    monkeypatch.setattr(files, "cached_file", lambda fingerprint: tmp_path / fingerprint)
    (tmp_path / modelfiles.fingerprint(folders[0])).touch()
    assert engines.choose(folders[0]) == "openvino"
    assert engines.choose(f"unet+{folders[0]}") == "keras"


def test_a_missing_openvino_is_said_once(both, monkeypatch, capsys):
    monkeypatch.setattr(gpus, "may_be_used", lambda: False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert engines.choose(both) == "keras"
    assert capsys.readouterr().err.count("OpenVINO is not installed") == 1


def test_int8_needs_an_int8_file_of_each(folders):
    with pytest.raises(InputError, match="one has no int8 file"):
        engines.load(f"unet+{folders[0]}", "openvino-int8")


def test_the_one_that_is_missing_is_named(both):
    with pytest.raises(InputError, match=r"There is no model unett: choose one of .*unet"):
        engines.choose(f"{both}+unett")


def test_a_folder_with_a_plus_in_its_name_is_one_model(folders, tmp_path):
    (tmp_path / "a+b").symlink_to(folders[0])
    assert modelfiles.members(tmp_path / "a+b") == [tmp_path / "a+b"]
    assert engines.load(tmp_path / "a+b", "keras").channels == 1


def test_a_path_with_a_plus_can_be_one_of_several(folders, tmp_path):
    place = tmp_path / "c++"
    place.mkdir()
    for folder in folders:
        (place / folder.name).symlink_to(folder)
    one, two = (str(place / folder.name) for folder in folders)
    assert modelfiles.members(f"{one}+unet+{two}") == [one, "unet", two]
    assert modelfiles.members(f"{place / 'misspelt'}+unet") == [str(place / "misspelt"), "unet"]
    with pytest.raises(InputError, match=r"There is no model .*c\+\+/misspelt: choose"):
        engines.choose(str(place / "misspelt"))


@pytest.mark.parametrize("name", ["", "unet+", "+unet", "unet++segnet"])
def test_no_name_is_not_the_folder_in_which_the_command_runs(folders, name, monkeypatch):
    monkeypatch.chdir(folders[0])
    with pytest.raises(InputError, match="There is no model without a name: choose one of"):
        engines.choose(name)


def test_they_have_one_identity_and_one_fingerprint_in_any_order(folders, both):
    turned = "+".join(str(folder) for folder in reversed(folders))
    assert modelfiles.identity(both) == modelfiles.identity(turned) == both
    assert modelfiles.identity(f"models/unet+{folders[0]}") == f"{folders[0]}+unet"
    alone = {engines.fingerprint(folder, "keras") for folder in folders}
    assert engines.fingerprint(both, "keras") not in alone
    assert engines.fingerprint(both, "keras") == engines.fingerprint(turned, "keras")


def test_they_have_seen_what_each_has_seen(both):
    assert seen.read(both) == {"one", "two"}
    assert seen.read(f"{both}+unett") == {"one", "two"}


def test_the_command_line_takes_them(both, tmp_path, capsys):
    image, _ = synthetic.tissue(seed=1, shape=(96, 96))
    Image.fromarray(image).save(tmp_path / "a.png")
    out = str(tmp_path / "out")
    command = ["predict", both, str(tmp_path / "a.png"), "--out", out, "--engine", "keras"]
    assert main(command) == 0
    assert main([*command, "--resume"]) == 0
    assert "0 of 1 masks written" in capsys.readouterr().out.splitlines()[-1]
    alone = both.split("+")[0]
    assert main([command[0], alone, *command[2:], "--resume"]) == 0
    assert "1 of 1 masks written" in capsys.readouterr().out.splitlines()[-1]


def test_they_predict_a_slide(both, tmp_path):
    image, _ = synthetic.tissue(seed=1, shape=(300, 300))
    Image.fromarray(image).save(tmp_path / "a.tif")
    predict_slide(both, tmp_path / "a.tif", tmp_path / "out", mpp=0.25, engine="keras")
    report = json.loads((tmp_path / "out" / "a.json").read_text())
    assert report["settings"]["model"] == both
