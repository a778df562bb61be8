"""A stranger's folder: six images with outlines of QuPath become a model in three commands."""

import json
import shutil

import pytest
from PIL import Image

import run_notebooks
from nuclei import ROOT, modelzoo, outputs
from nuclei.__main__ import main
from nuclei.data import synthetic
from nuclei.errors import InputError
from nuclei.prediction import outlines

NAMES = ["a.png", "slide 2 (copy).tif", "B.JPG", "d.e.png", "é.tiff", "6.png"]


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """Images of several sizes, one smaller than a patch, with GeoJSON beside them."""
    folder = tmp_path_factory.mktemp("tissue of a stranger")
    for seed, name in enumerate(NAMES):
        image, labels = synthetic.tissue(seed + 20, (200, 240) if seed else (120, 160))
        options = {"quality": 95} if name.endswith("JPG") else {}
        Image.fromarray(image).save(folder / name, **options)
        stem = name.rpartition(".")[0]
        (folder / f"{stem}.geojson").write_text(qupath(labels), encoding="utf-8")
    return folder


def qupath(labels):
    """Outlines as QuPath exports annotations: with ids, classes, and one that is an area."""
    features = [
        {
            "type": "Feature",
            "id": f"00000000-0000-4000-8000-{label:012}",
            "geometry": {"type": "Polygon", "coordinates": [ring.tolist()]},
            "properties": {
                "objectType": "annotation",
                "classification": {"name": "Nucleus", "color": [200, 0, 0]},
            },
        }
        for label, ring in outlines.trace(labels).items()
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


@pytest.mark.tensorflow
def test_from_check_to_a_model_with_a_card(stranger, tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("MONUSEG_DIR", raising=False)
    assert main(["check", str(stranger)]) == 0
    printed = capfd.readouterr().out
    assert "drawn by image (seed 0)" in printed and "Looks wrong:" not in printed
    assert all(name.rpartition(".")[0] in printed for name in NAMES)

    monkeypatch.chdir(stranger.parent)  # paths are those of whoever types them
    settings = ["START=unet", "EPOCHS=1", "BATCH_SIZE=4", "LEARNING_RATE=1e-4"]
    settings += ["PATCH_SIZE=128", "STRIDE=128"]
    own = [f"DATA={stranger.name}", "NAME=2026", f"OUTPUT={tmp_path}"]
    assert run_notebooks.main(["train", "unet", *own, *settings]) == 0
    assert f"into {tmp_path}/models/2026/." in capfd.readouterr().out
    model = tmp_path / "models" / "2026"
    files = {path.name for path in model.iterdir()}
    assert files >= {"2026.weights.h5", "config.json", "history.csv", "metrics.json", "README.md"}
    assert files >= {f"2026_{figure}.png" for figure in ("batch", "loss", "dice", "predictions")}
    assert not (tmp_path / "Graphs").exists() and not (tmp_path / "Images").exists()

    card = (model / "README.md").read_text(encoding="utf-8")
    metrics = modelzoo.read_metrics(model)
    assert f"| Data | {stranger.name}, 4 images |" in card
    assert (
        "| Held out for validation | 1 image |" in card and "| Start | models/unet weights" in card
    )
    assert "trained on MoNuSeg, which is under CC BY-NC-SA 4.0" in card
    assert metrics["start_data"] == ["MoNuSeg"] and "train_patients" not in metrics
    for text in (card, json.dumps(metrics)):
        assert "slide 2" not in text and str(stranger.parent) not in text

    capfd.readouterr()
    assert main(["evaluate", str(model), "unet", "--data", str(stranger)]) == 0
    printed = capfd.readouterr().out
    assert f"{stranger.name}, test, 1 image" in printed and " AJI |" in printed
    dice = metrics["test"]["mean"]["dice"]["mean"]
    assert f"{dice:.3f}" in printed and dice > 0.5  # it started from unet


class TestPlaces:
    def test_models_of_the_notebooks_have_their_figures_in_graphs(self, tmp_path):
        places = outputs.places(tmp_path, "unet")
        assert (places.name, places.trained) == ("unet", "unet")
        assert places.model == tmp_path / "models" / "unet"
        assert (places.graphs, places.diagrams) == (tmp_path / "Graphs", tmp_path / "Images")

    def test_models_of_ones_own_have_all_in_one_folder(self, tmp_path, stranger):
        places = outputs.places(tmp_path, "unet", "mine", stranger)
        assert places.name == "mine"
        assert {places.model, places.trained, places.graphs, places.diagrams} == {
            tmp_path / "models" / "mine"
        }

    def test_own_data_need_a_name_that_is_free(self, tmp_path, stranger):
        with pytest.raises(InputError, match="set NAME, as in NAME=my_unet"):
            outputs.places(tmp_path, "unet", None, stranger)
        for name in ("a/b", ""):  # NAME= would make models/ itself the folder
            with pytest.raises(InputError, match=f"^'{name}' cannot be the name of a folder"):
                outputs.places(tmp_path, "unet", name, stranger)
        with pytest.raises(InputError, match="models.unet was trained on MoNuSeg, not on tissue"):
            outputs.places(ROOT, "unet", "unet", stranger)
        (tmp_path / "models").mkdir()
        shutil.copytree(ROOT / "models" / "unet", tmp_path / "models" / "unet")
        assert outputs.places(tmp_path, "unet", "unet").name == "unet"

    def test_synthetic_tissue_does_not_replace_a_shipped_model(self, tmp_path, monkeypatch):
        monkeypatch.setattr("nuclei.data.monuseg.find", lambda: None)
        with pytest.raises(InputError, match='would replace .*models.unet: set OUTPUT = "runs"'):
            outputs.places(ROOT / ".", "unet", train=True)
        with pytest.raises(InputError, match="would replace .*models.unet: .* a new NAME"):
            outputs.places(ROOT, "unet", "unet", train=True)
        for output, name, train in (
            (ROOT, None, False), (tmp_path, None, True), (ROOT, "mine", True)
        ):  # fmt: skip
            assert outputs.places(output, "unet", name, train=train).model.parent.name == "models"
        monkeypatch.setattr("nuclei.data.monuseg.find", lambda: tmp_path)
        assert outputs.places(ROOT, "unet", train=True).trained == "unet"


def test_the_origin_of_weights_is_in_words():
    config = {"arguments": {"width": 16, "channels": 2}}
    assert outputs.origin(None, config) == {"start": "random"}
    assert outputs.origin(None, config, "ImageNet") == {"start": "ImageNet"}
    begun = outputs.origin("unet", config)
    assert {name: begun[name] for name in ("start", "start_data")} == {
        "start": "models/unet, new channels random",
        "start_data": ["MoNuSeg"],
    }
    assert begun["start_commit"] == modelzoo.read_metrics(ROOT / "models" / "unet")["commit"]
    patients = [name for name in begun["start_seen"] if name.startswith("TCGA-")]
    assert "TCGA-18-5592" in patients and len(patients) == 24
    assert outputs.origin("unet_instances", config)["start"] == "models/unet_instances"
    config["arguments"]["width"] = 32
    begun = outputs.origin("unet_instances", config)
    assert begun["start"] == "models/unet_instances, widened from 16 to 32"


def test_a_model_of_other_data_is_not_among_those_of_monuseg(tmp_path):
    shutil.copytree(ROOT / "models" / "unet", tmp_path / "unet")
    shutil.copytree(ROOT / "models" / "unet", tmp_path / "mine")
    path = tmp_path / "mine" / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data": "my tissue"}))
    assert outputs.models_of(root=tmp_path) == ["unet"]
    assert outputs.models_of("my tissue", tmp_path) == ["mine"]
