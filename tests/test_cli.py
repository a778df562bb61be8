"""The command line, as a person meets it: what it writes, what it says, and its exit codes."""

import csv
import errno
import json
import logging
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from nuclei import ROOT, modelzoo
from nuclei.__main__ import main
from nuclei.data import download, monuseg, seen, synthetic
from nuclei.errors import InputError
from nuclei.prediction import engines, windows
from nuclei.slides import predict as predict_slide
from nuclei.slides.pyramid import write_pyramid

NUCLEUS, TISSUE = (200, 90, 160), (100, 90, 160)


class Red:
    """Stands in for a model: probability is red / 255, by pixel."""

    name = "red"
    output_shape = (None, None, None, 1)

    def predict_on_batch(self, batch):
        return batch[..., :1] / np.float32(255)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder to work in, without MoNuSeg, where the model is `Red` by any name but "none"."""

    def load(name, engine):
        if name == "none":
            raise InputError("There is no model none: choose one of unet.")
        return engines.KerasEngine(Red())

    monkeypatch.setattr(engines, "load", load)
    monkeypatch.setattr(engines, "choose", lambda name, engine: load(name, engine).name)
    monkeypatch.setattr(engines, "fingerprint", lambda name, engine: f"{name} {engine}")
    monkeypatch.setattr(monuseg, "FOLDER", tmp_path / "nowhere")
    monkeypatch.delenv("MONUSEG_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pixels():
    """Tissue with one nucleus of 7 x 9 pixels."""
    image = np.full((30, 41, 3), TISSUE, np.uint8)
    image[5:12, 20:29] = NUCLEUS
    return image


def save(path, pixels, **options):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def read(path):
    return np.asarray(Image.open(path))


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def run(capsys, *arguments):
    """Exit code, standard output and standard error of a command."""
    capsys.readouterr()
    code = main(arguments)
    return code, *capsys.readouterr()


def predict(capsys, *arguments, out="out"):
    return run(capsys, "predict", "unet", *arguments, "--out", str(out))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_mask_has_the_size_of_its_image_and_is_0_or_255(here, pixels, capsys, suffix):
    options = {"quality": 100, "subsampling": 0} if suffix == ".jpg" else {}
    save(here / f"tissue{suffix}", pixels, **options)
    code, output, errors = predict(capsys, f"tissue{suffix}", out="deep/out")
    assert code == 0 and output.startswith("1 of 1 masks written")
    assert "Predicting" in errors and "1/1" in errors
    assert names(here / "deep" / "out") == ["tissue_mask.png"]
    mask = read(here / "deep" / "out" / "tissue_mask.png")
    assert mask.dtype == np.uint8 and mask.shape == (30, 41)
    assert set(np.unique(mask)) == {0, 255}
    np.testing.assert_array_equal(mask > 0, pixels[..., 0] == NUCLEUS[0])


def test_probability_and_overlay_come_when_asked_for(here, pixels, capsys):
    save(here / "a.png", pixels)
    assert predict(capsys, "a.png", "--probability", "--overlay")[0] == 0
    assert names(here / "out") == ["a_mask.png", "a_overlay.png", "a_probability.tif"]
    probability = tifffile.imread(here / "out" / "a_probability.tif")
    assert probability.dtype == np.float32
    np.testing.assert_allclose(probability, pixels[..., 0] / 255, atol=1e-6)
    with tifffile.TiffFile(here / "out" / "a_probability.tif") as file:
        assert file.pages[0].compression.name == "ADOBE_DEFLATE"
    overlay = read(here / "out" / "a_overlay.png")
    changed = (overlay != pixels).any(axis=-1)
    expected = np.zeros((30, 41), bool)
    expected[4:13, 20:29] = expected[5:12, 19:30] = True  # the nucleus and a pixel around it
    expected[6:11, 21:28] = False
    np.testing.assert_array_equal(changed, expected)
    assert len(np.unique(overlay[changed], axis=0)) == 1


def test_nuclei_one_by_one_come_when_asked_for(here, pixels, capsys):
    pixels[15:25, 5:15] = NUCLEUS
    save(here / "a.b.png", pixels)
    assert predict(capsys, "a.b.png", "--instances", "--overlay")[0] == 0
    assert names(here / "out") == [
        "a.b.csv",
        "a.b.geojson",
        "a.b_labels.tif",
        "a.b_mask.png",
        "a.b_overlay.png",
    ]
    labels = tifffile.imread(here / "out" / "a.b_labels.tif")
    assert labels.dtype == np.uint16 and labels.max() == 2
    np.testing.assert_array_equal(labels > 0, read(here / "out" / "a.b_mask.png") > 0)
    features = json.loads((here / "out" / "a.b.geojson").read_text())["features"]
    table = (here / "out" / "a.b.csv").read_text().splitlines()
    assert len(features) == 2 and len(table) == 3
    area = 0.25**2 * np.array([63, 100])
    assert [f["properties"]["measurements"]["area_um2"] for f in features] == pytest.approx(area)


def test_threshold_and_augmentation_reach_the_prediction(here, pixels, capsys, monkeypatch):
    save(here / "a.png", pixels)
    views, original = [], windows.predict_maps

    def watched(model, image, augment, **options):
        views.append(8 if augment else 1)
        return original(model, image, augment=augment, **options)

    monkeypatch.setattr(windows, "predict_maps", watched)
    for threshold, share in {"0": 1, "0.5": 63 / 30 / 41, "0.9": 0}.items():
        assert predict(capsys, "a.png", "--threshold", threshold)[0] == 0
        assert read(here / "out" / "a_mask.png").mean() == pytest.approx(255 * share)
    assert predict(capsys, "a.png", "--augment")[0] == 0
    assert views == [1, 1, 1, 8]


def test_a_tilde_stands_for_the_home_folder(here, canonical, pixels, capsys, monkeypatch):
    (home := here / "home").mkdir()
    save(home / "a.png", pixels)
    canonical.rename(home / "canonical")
    monkeypatch.setenv("HOME", str(home))
    # A shell expands no tilde after an equals sign or in quotes.
    assert run(capsys, "predict", "unet", "~/a.png", "--out=~/out")[0] == 0
    assert names(home / "out") == ["a_mask.png"]
    data = ("--data=~/canonical", "--json=~/report.json")
    assert run(capsys, "evaluate", "unet", *data)[0] == 0
    assert (home / "report.json").exists() and not (here / "~").exists()


def test_a_folder_stands_for_the_images_in_it(here, pixels, capsys):
    for name in ("slide/b.PNG", "slide/a.jpeg", "slide/._a.png", "slide/deeper/c.png", "d.tif"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        save(here / name, pixels)
    (here / "slide" / "notes.txt").write_text("not an image")
    assert predict(capsys, "slide", "d.tif")[0] == 0
    assert names(here / "out") == ["a_mask.png", "b_mask.png", "d_mask.png"]


def test_transparent_pixels_lie_over_white(here, pixels, capsys):
    alpha = np.full((30, 41, 1), 255, np.uint8)
    alpha[20:] = 0
    save(here / "a.png", np.concatenate([pixels, alpha], axis=-1))
    assert predict(capsys, "a.png")[0] == 0
    mask = read(here / "out" / "a_mask.png")
    assert (mask[20:] == 255).all() and np.count_nonzero(mask[:20]) == 63


BAD = {
    "missing.png": "does not exist",
    "truncated.png": "damaged or cut short",
    "truncated.jpg": "damaged or cut short",
    "truncated.tif": "damaged or cut short|not an image",
    "text.png": "not an image",
    "empty.png": "not an image",
    "grey.png": "pixel format L,",
    "deep.png": "pixel format I;16,",
    "float.tif": "pixel format F,",
    "print.jpg": "pixel format CMYK,",
}


@pytest.fixture
def bad(here, pixels):
    """A folder of the images that `BAD` names, all but the missing one."""
    folder, noise = here / "bad", np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)
    for suffix in ("png", "jpg", "tif"):
        save(path := folder / f"truncated.{suffix}", noise)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (folder / "text.png").write_text("no pixels here")
    (folder / "empty.png").touch()
    save(folder / "grey.png", pixels[..., 0])
    save(folder / "deep.png", pixels[..., 0].astype(np.uint16) * 256)
    save(folder / "float.tif", pixels[..., 0] / np.float32(255))
    Image.fromarray(pixels).convert("CMYK").save(folder / "print.jpg")
    return folder


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_gets_one_sentence_and_the_others_go_on(here, bad, pixels, capsys, name):
    save(here / "first.png", pixels)
    save(here / "last.png", pixels)
    path = f"bad{os.sep}{name}"
    code, output, errors = predict(capsys, "first.png", path, "last.png", "--overlay")
    said = output.splitlines()
    assert code == 1 and said[0] == "2 of 3 masks written to out." and len(said) == 3
    assert re.fullmatch(r"3 files in [0-9.]+ s: 2 done, 1 refused\.", said[1])
    assert said[2].startswith(f"Refused: {path}") and re.search(BAD[name], said[2])
    written = [f"{stem}_{kind}.png" for stem in ("first", "last") for kind in ("mask", "overlay")]
    assert names(here / "out") == written
    lines = [line for line in errors.splitlines() if line.strip() and "Predicting" not in line]
    assert len(lines) == 1 and lines[0].startswith(path) and re.search(BAD[name], lines[0])


@pytest.mark.parametrize(
    "images, out, sentence",
    [
        ("a b", "out", r"a.x\.png and b.X\.jpg would both be written to out.X_mask\.png: "),
        ("a/x.png x_mask.png", ".", r"x_mask\.png is one of the images and would be overwritten"),
        ("a x_overlay.png", ".", r"x_overlay\.png is one of the images"),
        ("a x_probability.tif", "a/..", r"x_probability\.tif is one of the images"),
        ("a", "file", "file is a file or cannot be written to: "),
        ("a", "file/far/below", "file is a file or cannot be written to: "),
        ("a", 300 * "x", "could not be written .File name too long.: choose a shorter name"),
        ("a empty", "out", "empty contains no PNG, TIFF, JPEG or slide: use another folder"),
    ],
)
def test_what_cannot_end_well_is_refused_before_it_begins(
    here, pixels, capsys, images, out, sentence
):
    for name in ("a/x.png", "b/X.jpg", "x_mask.png", "x_overlay.png", "x_probability.tif", "file"):
        save(here / name, pixels, format="PNG")
    (here / "empty").mkdir()
    before = {path: path.is_file() and path.read_bytes() for path in here.rglob("*")}
    code, output, errors = predict(capsys, *images.split(), out=out)
    assert (code, output) == (1, "") and errors.count("\n") == 1 and re.search(sentence, errors)
    assert before == {path: path.is_file() and path.read_bytes() for path in here.rglob("*")}


@pytest.mark.parametrize("command", ["predict none x.png --out out", "evaluate none --data ."])
def test_an_unknown_model_leaves_nothing_behind(here, canonical, pixels, capsys, command):
    save(here / "x.png", pixels)
    code, _, errors = run(capsys, *command.split())
    assert code == 1 and errors.endswith("There is no model none: choose one of unet.\n")
    assert names(here / "out") == []


@pytest.mark.parametrize("result", ["mask.png", "overlay.png", "probability.tif"])
def test_a_full_disk_ends_the_run_with_one_sentence(here, pixels, capsys, monkeypatch, result):
    def full(path):
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    save(here / "a.png", pixels)
    save(here / "b.png", pixels)
    monkeypatch.setattr(Image.Image, "save", lambda image, path, **_: full(path))
    monkeypatch.setattr(tifffile, "imwrite", lambda path, *_, **__: full(path))
    option = {"overlay.png": ["--overlay"], "probability.tif": ["--probability"]}.get(result, [])
    code, output, errors = predict(capsys, "a.png", "b.png", *option)
    assert (code, output) == (1, "") and names(here / "out") == []
    assert f"a_{result} could not be written (No space left on device)" in errors
    assert errors.count("could not be written") == 1


def test_an_interruption_leaves_whole_files_and_one_line(here, pixels, capsys, monkeypatch):
    for name in ("a.png", "b.png"):
        save(here / name, pixels)
    original = Image.Image.save

    def interrupted(image, path, **options):
        if "b_mask" in path.name:
            path.write_bytes(b"half of it")
            raise KeyboardInterrupt
        original(image, path, **options)

    monkeypatch.setattr(Image.Image, "save", interrupted)
    code, output, errors = predict(capsys, "a.png", "b.png")
    assert (code, output) == (130, "") and names(here / "out") == ["a_mask.png"]
    assert errors.splitlines()[-1].startswith("Interrupted") and "Traceback" not in errors
    assert not (log := logging.getLogger("asyncio")).isEnabledFor(logging.ERROR)
    log.setLevel(logging.NOTSET)
    assert read(here / "out" / "a_mask.png").shape == (30, 41)


WRONG = """
unknown
predict unet --out out
predict unet x.png
predict unet x.png --out out --threshold 1.5
predict unet x.png --out out --threshold nan
predict unet x.png --out out --threshold half
evaluate
evaluate unet --split train
download here"""


@pytest.mark.parametrize("command", WRONG.split("\n"))  # the first one is empty
def test_a_command_that_is_wrong_exits_with_2(capsys, command):
    with pytest.raises(SystemExit) as caught:
        main(command.split())
    assert caught.value.code == 2
    assert "usage: python -m nuclei" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["download", "predict", "check", "evaluate", "export"])
def test_every_command_has_help(capsys, command):
    helps = []
    for arguments in (["--help"], [command, "--help"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
        helps.append(" ".join(capsys.readouterr().out.split()))
    summary = helps[0].partition(f" {command} ")[2][:40]
    assert len(summary) == 40 and summary in helps[1]


def test_evaluate_prints_the_table_and_writes_the_report(here, canonical, capsys):
    command = ("evaluate", "unet", "--data", "canonical", "--json", "new/report.json")
    code, output, _ = run(capsys, *command)
    assert code == 0
    assert "unet on MoNuSeg, test, 1 image: whole, threshold 0.5" in output
    assert "| Mean of 1 image " in output and "| brain (1) " in output
    report = json.loads((here / "new" / "report.json").read_text())
    assert (report["model"], report["data"], report["split"]) == ("unet", "MoNuSeg", "test")
    (image,) = report["images"]
    assert image["name"] == "TCGA-HT-8564-01Z-00-DX1"
    assert f"{image['dice']:.3f}" in output
    assert names(here / "new") == ["report.json"]


def test_evaluate_takes_the_validation_images(here, canonical, capsys, monkeypatch):
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
    assert code == 0
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
    ],
)
def test_evaluate_says_what_is_wrong(here, canonical, capsys, arguments, sentence):
    (here / "empty").mkdir()
    (here / "file").touch()
    code, _, errors = run(capsys, "evaluate", "unet", *arguments)
    assert code == 1 and re.search(sentence, errors.splitlines()[-1])


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


def python(*arguments):
    """Run a fresh Python in the current folder, as a terminal would."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("arguments", ["--help", "predict unet", "predict unet empty --out out"])
def test_what_needs_no_model_does_not_wait_for_keras(here, arguments):
    (here / "empty").mkdir()
    done = python("-X", "importtime", "-m", "nuclei", *arguments.split())
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "nuclei.images" in imported
    assert not imported & {"keras", "tensorflow", "jax", "torch"}


@pytest.mark.tensorflow
def test_a_saved_model_predicts_and_the_terminal_stays_quiet(here, pixels):
    config = {"network": "unet", "arguments": {"width": 2, "depth": 2}}
    modelzoo.save(here / "tiny", modelzoo.build(config), config, [{"epoch": 1}], {})
    save(here / "a.png", pixels)
    done = python("-m", "nuclei", "predict", "tiny", "a.png", "--out", "out")
    assert done.returncode == 0 and done.stdout == "1 of 1 masks written to out.\n"
    first, *others = done.stderr.splitlines()
    assert first.startswith("Converting tiny for OpenVINO, once: ")
    assert all(line.startswith("Predicting") for line in others if line)
    assert read(here / "out" / "a_mask.png").shape == (30, 41)


def test_a_slide_among_images_is_found_by_its_form(here, pixels, capsys, monkeypatch):
    asked = {}

    def watched(model, path, out, **options):
        asked.update(options, model=model, path=path, out=out)
        place = {"x 0 to 9, y 0 to 9": "a.svs is damaged"} if path.suffix == ".svs" else {}
        return predict_slide.Report(tiles=7, nuclei=1234, problems=place, seconds=1.0)

    monkeypatch.setattr(predict_slide, "predict", watched)
    save(here / "in" / "plain.png", pixels)
    write_pyramid(here / "in" / "b.tif", pixels.repeat(9, 0).repeat(9, 1))
    words = ("--mpp", "0.5", "--workers", "2", "--threshold", "0.4")
    code, output, _ = predict(capsys, "in", *words)
    assert code == 0 and "1,234 nuclei in 7 tiles written to out/b.zarr" in output
    assert "1 of 1 masks written" in output
    assert asked["path"].name == "b.tif" and asked["mpp"] == 0.5
    assert asked["workers"] == 2 and asked["threshold"] == 0.4 and asked["scheduler"] is None
    (here / "a.svs").touch()
    code, output, errors = predict(capsys, "a.svs")
    assert code == 1 and "Left out: x 0 to 9, y 0 to 9: a.svs is damaged" in errors


def test_a_slide_that_cannot_be_read_lets_the_next_one_go_on(here, pixels, capsys):
    (here / "a.svs").write_text("no slide")
    save(here / "plain.png", pixels)
    code, output, errors = predict(capsys, "a.svs", "plain.png")
    assert code == 1 and "1 of 1 masks written" in output
    assert errors.startswith(f"{here / 'a.svs'} is not a slide in a known format")


@pytest.mark.parametrize("option", [("--mpp", "0"), ("--workers", "-1"), ("--workers", "many")])
def test_numbers_of_slides_are_positive(here, capsys, option):
    with pytest.raises(SystemExit) as ended:
        main(["predict", "red", "a.svs", "--out", "out", *option])
    assert ended.value.code == 2 and option[0] in capsys.readouterr().err
