"""The command line, as a person meets it: what it writes, what it says, and its exit codes."""

import errno
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from nuclei import ROOT, dataset, download, inference, modelzoo, synthetic
from nuclei.__main__ import main
from nuclei.files import InputError
from nuclei.networks import NETWORKS

NUCLEUS, TISSUE = (200, 90, 160), (100, 90, 160)


class Red:
    """Stands in for a model: probability is red / 255, by pixel."""

    name = "red"

    def predict_on_batch(self, batch):
        return batch[..., :1] / np.float32(255)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder to work in, without MoNuSeg, where the model is `Red` by any name but "none"."""

    def load(name):
        if name == "none":
            raise InputError("There is no model none: choose one of unet.")
        return Red()

    monkeypatch.setattr(modelzoo, "load", load)
    monkeypatch.setattr(dataset, "FOLDER", tmp_path / "nowhere")
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


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_mask_has_the_size_of_its_image_and_is_0_or_255(here, pixels, capsys, suffix):
    save(here / f"tissue{suffix}", pixels)
    code, output, errors = run(capsys, "predict", "unet", f"tissue{suffix}", "--out", "deep/out")
    assert code == 0 and output.startswith("1 of 1 masks written")
    assert "Predicting" in errors and "1/1" in errors
    assert names(here / "deep" / "out") == ["tissue_mask.png"]
    mask = read(here / "deep" / "out" / "tissue_mask.png")
    assert mask.dtype == np.uint8 and mask.shape == (30, 41)
    assert set(np.unique(mask)) == {0, 255}
    assert abs(np.count_nonzero(mask) - 7 * 9) < 10  # JPEG blurs the border
    assert mask[8, 24] == 255


def test_probability_and_overlay_come_when_asked_for(here, pixels, capsys):
    save(here / "a.png", pixels)
    arguments = ["predict", "unet", "a.png", "--out", "out", "--probability", "--overlay"]
    assert run(capsys, *arguments)[0] == 0
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


def test_threshold_and_augmentation_reach_the_prediction(here, pixels, capsys, monkeypatch):
    save(here / "a.png", pixels)
    calls, predict = [], inference.predict
    monkeypatch.setattr(
        inference, "predict", lambda *args, **kwargs: calls.append(kwargs) or predict(*args)
    )
    shares = {"0": 1, "0.5": 63 / 30 / 41, "0.9": 0}
    for threshold, share in shares.items():
        arguments = ("predict", "unet", "a.png", "--out", "out", "--threshold", threshold)
        assert run(capsys, *arguments)[0] == 0
        assert read(here / "out" / "a_mask.png").mean() == pytest.approx(255 * share)
    assert run(capsys, "predict", "unet", "a.png", "--out", "out", "--augment")[0] == 0
    assert [call["augment"] for call in calls] == [False, False, False, True]


def test_a_folder_stands_for_the_images_in_it(here, pixels, capsys):
    for name in ("slide/b.PNG", "slide/a.jpeg", "slide/._a.png", "slide/deeper/c.png", "d.tif"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        save(here / name, pixels)
    (here / "slide" / "notes.txt").write_text("not an image")
    assert run(capsys, "predict", "unet", "slide", "d.tif", "--out", "out")[0] == 0
    assert names(here / "out") == ["a_mask.png", "b_mask.png", "d_mask.png"]


def test_transparent_pixels_lie_over_white(here, pixels, capsys):
    alpha = np.full((30, 41, 1), 255, np.uint8)
    alpha[20:] = 0
    save(here / "a.png", np.concatenate([pixels, alpha], axis=-1))
    assert run(capsys, "predict", "unet", "a.png", "--out", "out")[0] == 0
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
    arguments = ("predict", "unet", "first.png", path, "last.png", "--out", "out", "--overlay")
    code, output, errors = run(capsys, *arguments)
    assert (code, output) == (1, "2 of 3 masks written to out.\n")
    assert names(here / "out") == [
        "first_mask.png", "first_overlay.png", "last_mask.png", "last_overlay.png"
    ]  # fmt: skip
    sentences = [line for line in errors.splitlines() if line and "Predicting" not in line]
    assert len(sentences) == 1 and sentences[0].startswith(path)
    assert re.search(BAD[name], sentences[0])


def test_results_that_would_overwrite_each_other_are_refused(here, pixels, capsys):
    save(here / "a" / "x.png", pixels)
    save(here / "b" / "X.jpg", pixels)
    code, _, errors = run(capsys, "predict", "unet", "a", "b", "--out", "out")
    assert code == 1 and names(here / "out") == []
    assert re.fullmatch(r"a.x\.png and b.X\.jpg would both be written to .*folders\.\n", errors)


@pytest.mark.parametrize("ending", ["mask.png", "overlay.png", "probability.tif"])
def test_an_image_is_never_overwritten(here, pixels, capsys, ending):
    save(here / "x.png", pixels)
    save(here / f"x_{ending}", pixels)
    code, _, errors = run(capsys, "predict", "unet", "x.png", f"x_{ending}", "--out", ".")
    assert code == 1 and f"x_{ending} is one of the images" in errors
    np.testing.assert_array_equal(read(here / f"x_{ending}"), pixels)


@pytest.mark.parametrize("out", ["file", "file/below", "file/far/below"])
def test_an_out_that_is_a_file_is_refused(here, pixels, capsys, out):
    save(here / "x.png", pixels)
    (here / "file").write_text("mine")
    code, _, errors = run(capsys, "predict", "unet", "x.png", "--out", out)
    assert code == 1 and "file is a file" in errors and errors.count("\n") == 1
    assert (here / "file").read_text() == "mine"


def test_a_folder_without_images_is_refused(here, capsys):
    (here / "empty").mkdir()
    code, _, errors = run(capsys, "predict", "unet", "empty", "--out", "out")
    assert (code, errors) == (1, "empty holds no PNG, TIFF or JPEG: name another folder.\n")


@pytest.mark.parametrize("command", [("predict", "none", "x.png", "--out", "out"),
                                     ("evaluate", "none", "--data", "canonical")])  # fmt: skip
def test_an_unknown_model_leaves_nothing_behind(here, canonical, pixels, capsys, command):
    save(here / "x.png", pixels)
    code, _, errors = run(capsys, *command)
    assert code == 1 and errors.endswith("There is no model none: choose one of unet.\n")
    assert names(here / "out") == []


def full_disk(path, *_, **__):
    """Stands in for what writes pixels: the disk is full half way."""
    with open(path, "wb") as file:
        file.write(b"half of it")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("option", [None, "--overlay", "--probability"])
def test_a_full_disk_ends_the_run_with_one_sentence(here, pixels, capsys, monkeypatch, option):
    save(here / "a.png", pixels)
    save(here / "b.png", pixels)
    writer = (tifffile, "imwrite") if option == "--probability" else (Image.Image, "save")
    replacement = full_disk if writer[0] is tifffile else lambda _, path, **__: full_disk(path)
    monkeypatch.setattr(*writer, replacement)
    options = [option] if option else []
    code, output, errors = run(
        capsys, "predict", "unet", "a.png", "b.png", "--out", "out", *options
    )
    assert (code, output) == (1, "") and names(here / "out") == []
    sentence = errors.splitlines()[-1]
    kind = {None: "mask.png", "--overlay": "overlay.png"}.get(option, "probability.tif")
    assert f"a_{kind} could not be written (No space left on device)" in sentence
    assert errors.count("could not be written") == 1


def test_an_interruption_is_one_line_and_what_is_written_is_whole(
    here, pixels, capsys, monkeypatch
):
    for name in ("a.png", "b.png"):
        save(here / name, pixels)
    original = Image.Image.save

    def interrupted(image, path, **options):
        if "b_mask" in path.name:
            path.write_bytes(b"half of it")
            raise KeyboardInterrupt
        original(image, path, **options)

    monkeypatch.setattr(Image.Image, "save", interrupted)
    code, output, errors = run(capsys, "predict", "unet", "a.png", "b.png", "--out", "out")
    assert (code, output) == (130, "") and names(here / "out") == ["a_mask.png"]
    assert errors.splitlines()[-1].startswith("Interrupted") and "Traceback" not in errors
    assert read(here / "out" / "a_mask.png").shape == (30, 41)


@pytest.mark.parametrize(
    "command",
    [
        "",
        "unknown",
        "predict unet --out out",
        "predict unet x.png",
        "predict unet x.png --out out --threshold 1.5",
        "predict unet x.png --out out --threshold nan",
        "predict unet x.png --out out --threshold half",
        "evaluate",
        "evaluate unet --split Training",
        "download here",
    ],
)
def test_a_command_that_is_wrong_exits_with_2(capsys, command):
    with pytest.raises(SystemExit) as caught:
        main(command.split())
    assert caught.value.code == 2
    assert "usage: python -m nuclei" in capsys.readouterr().err


def test_help_says_what_there_is(capsys):
    for command in ((), ("predict",), ("evaluate",), ("download",)):
        with pytest.raises(SystemExit) as caught:
            main([*command, "--help"])
        assert caught.value.code == 0
    text = capsys.readouterr().out
    for word in ("download", "predict", "evaluate", "--augment", "_mask.png", "--json", "40x"):
        assert word in text


def test_evaluate_prints_the_table_and_writes_the_report(here, canonical, capsys):
    code, output, _ = run(
        capsys, "evaluate", "unet", "--data", "canonical", "--json", "new/report.json"
    )
    assert code == 0
    assert "unet on MoNuSeg, Test, 1 images: whole, threshold 0.5" in output
    assert "| Mean of 1 images |" in output and "| brain (1) " in output
    report = json.loads((here / "new" / "report.json").read_text())
    assert (report["model"], report["data"], report["split"]) == ("unet", "MoNuSeg", "Test")
    (image,) = report["images"]
    assert image["name"] == "TCGA-HT-8564-01Z-00-DX1"
    assert f"{image['dice']:.3f}" in output
    assert names(here / "new") == ["report.json"]


def test_evaluate_takes_the_validation_images(here, canonical, capsys, monkeypatch):
    monkeypatch.setenv("MONUSEG_DIR", str(canonical))
    code, output, _ = run(capsys, "evaluate", "unet", "--split", "Validation")
    assert code == 0 and "on MoNuSeg, Validation, 1 images" in output and "kidney (1)" in output


def test_evaluate_without_monuseg_says_that_the_tissue_is_synthetic(capsys, monkeypatch):
    tissue = synthetic.tissue
    monkeypatch.setattr(synthetic, "tissue", lambda seed: tissue(seed, shape=(64, 64)))
    code, output, _ = run(capsys, "evaluate", "unet")
    assert code == 0 and "unet on synthetic tissue, Test, 2 images" in output
    assert "`python -m nuclei download`" in output


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("--data", "nothing"), "nothing does not exist: "),
        (("--data", "empty"), "empty holds none of the 14 Test images of MoNuSeg: "),
        (("--data", "canonical", "--json", "empty"), "empty is a folder: "),
        (("--data", "canonical", "--json", "file/x.json"), r"could not be written \(Not a dir"),
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
        (
            PermissionError(errno.EACCES, "Permission denied", "data"),
            1,
            "Permission denied: 'data'",
        ),
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


def python(*arguments, **environment):
    """Run a fresh Python in the current folder, as a terminal would."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("arguments", ["--help", "predict unet", "predict unet empty --out out"])
def test_what_needs_no_model_does_not_wait_for_keras(here, arguments):
    (here / "empty").mkdir()
    done = python("-X", "importtime", "-m", "nuclei", *arguments.split())
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "nuclei.files" in imported
    assert not imported & {"keras", "tensorflow", "jax", "torch"}


@pytest.mark.tensorflow
def test_a_saved_model_predicts_and_the_terminal_stays_quiet(here, pixels, capsys):
    config = {"network": "unet", "arguments": {"width": 2, "depth": 2}}
    modelzoo.save(
        here / "tiny", NETWORKS["unet"](**config["arguments"]), config, [{"epoch": 1}], {}
    )
    save(here / "a.png", pixels)
    done = python("-m", "nuclei", "predict", "tiny", "a.png", "--out", "out")
    assert done.returncode == 0 and done.stdout == "1 of 1 masks written to out.\n"
    assert all(line.startswith("Predicting") for line in done.stderr.splitlines() if line)
    assert read(here / "out" / "a_mask.png").shape == (30, 41)
