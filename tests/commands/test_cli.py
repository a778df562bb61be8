"""The command line: wrong commands, help, and what a terminal sees."""

import os
import shlex
import subprocess
import sys

import pytest
from command_line import predict, read, save

from nuclei import ROOT, modelzoo
from nuclei.__main__ import main
from nuclei.slides import predict as predict_slide
from nuclei.slides.pyramid import write_pyramid

EMPTY = "the path is empty: set the variable that it comes from"
IMAGE = "predict unet x.png --out out"
WRONG = {
    "": "the following arguments are required: COMMAND",
    "unknown": "invalid choice: 'unknown'",
    "download here": "unrecognized arguments: here",
    "evaluate": "the following arguments are required: MODEL",
    "evaluate unet --split train": "argument --split: invalid choice: 'train'",
    "predict unet --out out": "the following arguments are required: IMAGE",
    "predict unet x.png": "the following arguments are required: --out",
    f"{IMAGE} --threshold 1.5": "argument --threshold: 1.5 is not between 0 and 1",
    f"{IMAGE} --threshold nan": "argument --threshold: nan is not between 0 and 1",
    f"{IMAGE} --threshold 50%": "argument --threshold: 50% is no number: write it as in 0.25",
    f"{IMAGE} --mpp 0,25": "argument --mpp: 0,25 is no number: write it as in 0.25",
    f"{IMAGE} --mpp 0": "argument --mpp: 0 um per pixel is not between 0.03 and 2: a scan at 40x",
    f"{IMAGE} --workers -1": "argument --workers: -1 is not above 0",
    f"{IMAGE} --workers many": "argument --workers: invalid whole value: 'many'",
    "predict unet x.png --out ''": f"argument --out: {EMPTY}",
    "predict unet '' --out out": f"argument IMAGE: {EMPTY}",
    "check ''": f"argument FOLDER: {EMPTY}",
    "evaluate unet --figure=": f"argument --figure: {EMPTY}",
    "export unet --format onnx --out=": f"argument --out: {EMPTY}",
}


@pytest.mark.parametrize("command", WRONG)
def test_a_command_that_is_wrong_exits_with_2_and_says_why(capsys, command):
    with pytest.raises(SystemExit) as caught:
        main(shlex.split(command))
    assert caught.value.code == 2
    errors = capsys.readouterr().err
    assert (
        errors.startswith("usage: python -m nuclei") and WRONG[command] in errors.splitlines()[-1]
    )


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


def python(*arguments):
    """Run a fresh Python in the current folder, as a terminal would."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("arguments", ["--help", "predict unet", "predict unet empty --out out"])
def test_what_needs_no_model_does_not_wait_for_keras(here, arguments):
    (here / "empty").mkdir()
    done = python("-X", "importtime", "-m", "nuclei", *arguments.split())
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "nuclei.images" in imported
    assert not imported & {"keras", "tensorflow", "jax", "torch"}


@pytest.mark.tensorflow
def test_a_saved_model_predicts_and_the_terminal_stays_quiet(here, pixels, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    config = {"network": "unet", "arguments": {"width": 2, "depth": 2}}
    modelzoo.save(here / "tiny", modelzoo.build(config), config, [{"epoch": 1}], {})
    save(here / "a.png", pixels)
    done = python("-m", "nuclei", "predict", "tiny", "a.png", "--out", "out", "--mpp", "0.25")
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
        return predict_slide.Report(7, 1234, place, seconds=1.0, offset=(0, 0))

    monkeypatch.setattr(predict_slide, "predict", watched)
    save(here / "in" / "plain.png", pixels)
    write_pyramid(here / "in" / "b.tif", pixels.repeat(9, 0).repeat(9, 1))
    words = ("--mpp", "0.5", "--workers", "2", "--threshold", "0.4")
    code, output, errors = predict(capsys, "in", *words)
    assert "ignored" not in errors  # because there is a slide
    assert code == 0 and "1,234 nuclei in 7 tiles written to out/b.zarr" in output
    assert "1 of 1 masks written" in output
    assert asked["path"].name == "b.tif" and asked["mpp"] == 0.5
    assert asked["workers"] == 2 and asked["threshold"] == 0.4 and asked["scheduler"] is None
    (here / "a.svs").touch()
    code, output, errors = predict(capsys, "a.svs", "in")
    assert code == 1 and "Left out: x 0 to 9, y 0 to 9: a.svs is damaged" in errors
    assert output.endswith("Incomplete: a.svs has 1 part that could not be read.\n")


def test_options_of_slides_are_said_to_be_ignored_for_images(here, pixels, capsys):
    save(here / "a.png", pixels)
    assert "ignored" not in predict(capsys, "a.png")[2]
    words = ("--workers", "2", "--scheduler", "tcp://nowhere:8786")
    code, _, errors = predict(capsys, "a.png", *words)
    assert code == 0 and errors.startswith(
        "--workers and --scheduler ignored for images: only slides are shared among processes.\n"
    )


def test_a_slide_that_cannot_be_read_lets_the_next_one_go_on(here, pixels, capsys):
    (here / "a.svs").write_text("no slide")
    save(here / "plain.png", pixels)
    code, output, errors = predict(capsys, "a.svs", "plain.png")
    assert code == 1 and "1 of 1 masks written" in output
    assert errors.startswith(f"{here / 'a.svs'} is not a slide in a known format")
