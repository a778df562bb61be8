"""`make measure` replaces what was measured and keeps what is known of the training."""

import json
import os
import shutil

import keras
import pytest

import measure
import quantize
from nuclei import ROOT
from nuclei.data import monuseg, synthetic
from nuclei.data.alterations import ALTERATIONS
from nuclei.data.dataset import Sample
from nuclei.errors import InputError


@pytest.mark.tensorflow  # OpenVINO converts models of TensorFlow
def test_reports_are_replaced_and_the_training_is_kept(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "unet"
    shutil.copytree(ROOT / "models" / "unet", folder)
    before = json.loads((folder / "metrics.json").read_text())
    image, labels = synthetic.tissue(seed=5, shape=(200, 200))
    sample = Sample("one", "one", "synthetic", image, labels > 0, labels)
    monkeypatch.setattr(monuseg, "find", lambda: tmp_path)
    monkeypatch.setattr(monuseg, "load", lambda split: [sample])
    measure.measure(tmp_path)

    after = json.loads((folder / "metrics.json").read_text())
    for split in ("val", "test"):
        assert [image["name"] for image in after[split]["images"]] == ["one"]
        assert after[split]["mean"]["aji"]["mean"] > 0.5
    assert list(after["engines"]) == ["keras", "openvino", "openvino-int8"]
    for engine, scores in after["engines"].items():
        for split in ("val", "test"):
            dice = after[split]["mean"]["dice"]["mean"]
            assert scores[split]["dice"] == pytest.approx(dice, abs=0.01), engine
            assert scores[split]["seconds_per_image"] > 0
            backend = keras.backend.backend() if engine == "keras" else None
            assert scores[split].get("backend") == backend
    assert list(after["altered"]) == list(ALTERATIONS)
    dices = {scores["dice"] for scores in after["altered"].values()}
    assert len(dices) == len(ALTERATIONS) and dice not in dices and min(dices) > 0.3
    assert after["processor"].startswith(f"{os.cpu_count()} CPU cores with ")
    measured = ("val", "test", "engines", "processor", "altered")
    trained = {key: value for key, value in before.items() if key not in measured}
    assert trained.items() <= after.items()
    assert capsys.readouterr().out.startswith("unet: test Dice 0.")


def test_the_record_of_a_model_of_other_data_is_kept(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "my_unet"
    shutil.copytree(ROOT / "models" / "unet", folder)
    path = folder / "metrics.json"
    path.write_text(before := json.dumps(json.loads(path.read_text()) | {"data": "mine"}))
    monkeypatch.setattr(monuseg, "find", lambda: tmp_path)
    monkeypatch.setattr(monuseg, "load", lambda split: [])
    said = "my_unet was trained on mine, so it is not measured or calibrated on MoNuSeg: score it"
    with pytest.raises(InputError, match=said):
        measure.measure(tmp_path, ["my_unet"])
    assert quantize.main([str(folder)]) == 1 and said in capsys.readouterr().err
    assert path.read_text() == before


def test_without_monuseg_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(monuseg, "find", lambda: None)
    with pytest.raises(InputError, match="nuclei download"):
        measure.measure()
