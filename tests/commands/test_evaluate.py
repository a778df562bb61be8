"""The commands that score a model and that download MoNuSeg."""

import csv
import errno
import json
import re

import numpy as np
import pytest
from command_line import NUCLEUS, names, run, save
from PIL import Image
from red import Red

from nuclei.data import download, seen, synthetic
from nuclei.errors import InputError
from nuclei.prediction import engines, windows


def test_evaluate_prints_the_table_and_writes_the_report(here, canonical, capsys):
    command = ("evaluate", "unet", "--data", "canonical", "--json", "new/report.json")
    code, output, _ = run(capsys, *command)
    assert code == 0
    assert "unet on MoNuSeg, test, 1 image: whole, threshold 0.5" in output
    assert "synthetic" not in output
    assert "| Mean of 1 image " in output and "| brain (1) " in output
    assert output.splitlines()[-1].startswith("Of 1 image, there is no interval, and no diff")
    assert "95% interval" not in output
    report = json.loads((here / "new" / "report.json").read_text())
    assert (report["model"], report["data"], report["split"]) == ("unet", "MoNuSeg", "test")
    (image,) = report["images"]
    assert image["name"] == "TCGA-HT-8564-01Z-00-DX1"
    assert f"{image['dice']:.3f}" in output
    assert names(here / "new") == ["report.json"]


def test_evaluate_takes_the_validation_images(canonical, capsys, monkeypatch):
    monkeypatch.setenv("MONUSEG_DIR", str(canonical))
    code, output, _ = run(capsys, "evaluate", "unet", "--split", "val")
    assert code == 0 and "on MoNuSeg, val, 1 image" in output and "kidney (1)" in output


def test_evaluate_warns_of_images_that_a_model_was_trained_on(canonical, capsys, monkeypatch):
    monkeypatch.setenv("MONUSEG_DIR", str(canonical))
    command = "evaluate", "unet", "--split", "val", "--alter", "pale"
    assert "trained" not in run(capsys, *command)[2]
    monkeypatch.setattr(seen, "read", lambda name: {"TCGA-HE-7130"})
    code, _, errors = run(capsys, *command)
    assert code == 0
    assert "unet was trained on 1 of these images, such as TCGA-HE-7130-01Z-00-DX1: its" in errors


def test_evaluate_without_monuseg_says_that_the_tissue_is_synthetic(capsys, monkeypatch):
    tissue = synthetic.tissue
    monkeypatch.setattr(synthetic, "tissue", lambda seed: tissue(seed, shape=(64, 64)))
    code, output, _ = run(capsys, "evaluate", "unet")
    assert code == 0 and "unet on synthetic tissue, test, 2 images" in output
    assert "`python -m nuclei download`" in output
    assert output.splitlines()[-1].startswith("These images are synthetic: no score here can be")


def test_evaluate_augments_and_says_so(here, capsys, monkeypatch):
    tissue, original, views = synthetic.tissue, windows.predict_maps, []

    def watched(model, image, augment=False, **options):
        views.append(8 if augment else 1)
        return original(model, image, augment=augment, **options)

    monkeypatch.setattr(synthetic, "tissue", lambda seed: tissue(seed, shape=(64, 64)))
    monkeypatch.setattr(windows, "predict_maps", watched)
    command = "evaluate", "unet", "--json", "a.json"
    (here / "a.json").touch()  # an empty file may be replaced
    assert ", no test-time augmentation, engine keras" in run(capsys, *command)[1]
    plain = json.loads((here / "a.json").read_text())
    code, output, _ = run(capsys, *command, "--augment", "--figure", "a.png")
    assert code == 0 and ", with test-time augmentation, engine keras" in output
    augmented = json.loads((here / "a.json").read_text())
    assert (plain["augment"], augmented["augment"]) == (False, True)
    assert views == [1, 1, 8, 8, 8, 8]  # the figure shows what was scored


def test_evaluate_scores_any_folder_and_compares_two_models(here, pixels, capsys, monkeypatch):
    for number in range(4):  # red is right in all images, the other model in the first
        image = pixels.copy()
        image[20 : 20 + number, :20] = NUCLEUS
        save(here / "mine" / f"slide {number}.png", image)
        mask = np.uint8(255) * (image[..., 0] == NUCLEUS[0])
        save(here / "mine" / f"slide {number}_mask.png", mask)
    (here / "mine" / "samples.csv").write_text("name,group\nslide 0,skin\nslide 1,skin\n")

    class Blind(Red):
        def predict_on_batch(self, batch):
            found = super().predict_on_batch(batch).copy()
            found[:, 40:60, :48] = 0  # windows begin 28 pixels before the image
            return found

    def load(name, engine):
        return engines.KerasEngine(Blind() if name == "blind" else Red())

    monkeypatch.setattr(engines, "load", load)
    command = ("evaluate", "blind", "unet", "--data", "mine", "--split", "all")
    files = ("--csv", "out/a.csv", "--json", "out/a.json", "--figure", "out/a.png")
    code, output, _ = run(capsys, *command, *files)
    assert code == 0 and run(capsys, *command, *files)[0] == 0  # it replaces its own results
    assert "blind on mine, all, 4 images: whole" in output and "| skin (2) " in output
    assert "unet against blind, paired by image" in output and "| p (Wilcoxon) " in output
    assert names(here / "out") == ["a.csv", "a.json", "a.png"]
    with (here / "out" / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["name"]) for row in rows[3:5]] == [
        ("blind", "slide 3"),
        ("unet", "slide 0"),
    ]
    blind, red = (np.array([float(row["dice"]) for row in rows[i : i + 4]]) for i in (0, 4))
    assert (red == 1).all() and (blind < 1).any()
    results = json.loads((here / "out" / "a.json").read_text())
    assert results["differences"]["dice"]["mean"] == pytest.approx((red - blind).mean())
    assert Image.open(here / "out" / "a.png").width > 500


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("--data", "nothing"), "nothing does not exist: "),
        (("--data", "empty"), "empty contains no images: put PNG"),
        (("--data", "canonical", "--json", "empty"), "empty is a folder: "),
        (("--data", "canonical", "--json", "file/x.json"), "x.json could not be written "),
        (("--data", "canonical", "--split", "all"), "not MoNuSeg: use test or val"),
        (("--json", "a/../x.csv", "--csv", "x.csv"), "x.csv is an image or another result, too: "),
        (("--json", "x", "--csv", "x", "--figure", "y"), "x is an image or another result, too: "),
        (("--csv", "samples.csv"), "samples.csv is no earlier result .* another name for --csv"),
        (("--json", "a.geojson"), "a.geojson is no earlier result .* another name for --json"),
        (("--figure", "tissue.png"), "tissue.png is no earlier result .* name for --figure"),
        (("--figure", "labels.png"), "labels.png is no earlier result .* name for --figure"),
        (("--figure", "a.jpg"), "a.jpg should end in .png, as figures do: correct --figure"),
    ],
)
def test_evaluate_says_what_is_wrong(here, canonical, pixels, capsys, arguments, sentence):
    (here / "empty").mkdir()
    (here / "file").touch()
    (here / "samples.csv").write_text("name,split\n")
    (here / "a.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    save(here / "tissue.png", pixels)
    Image.fromarray(pixels).quantize(9).save(here / "labels.png")
    before = {path: path.read_bytes() for path in here.glob("*.*")}
    code, _, errors = run(capsys, "evaluate", "unet", *arguments)
    assert code == 1 and re.search(sentence, errors.splitlines()[-1])
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.parametrize(
    "outcome, code, line",
    [
        (None, 0, ""),
        (InputError("The archive could not be fetched: try again."), 1, "The archive could"),
        (PermissionError(errno.EACCES, "Denied", "data"), 1, "Denied: 'data'"),
        (KeyboardInterrupt(), 130, "Interrupted"),
    ],
)
def test_download_downloads(capsys, monkeypatch, outcome, code, line):
    calls = []

    def fetch():
        calls.append(outcome)
        if outcome:
            raise outcome

    monkeypatch.setattr(download, "download", fetch)
    result, _, errors = run(capsys, "download")
    assert (result, calls) == (code, [outcome])
    assert line in errors and errors.count("\n") == (1 if code else 0)
