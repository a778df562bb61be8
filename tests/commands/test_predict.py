"""The command that predicts images, and what it says of bad ones."""

import errno
import json
import logging
import os
import re

import numpy as np
import pytest
import tifffile
from command_line import NUCLEUS, names, predict, read, run, save
from PIL import Image

from nuclei.prediction import windows


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
    code, output, _ = predict(capsys, "a.b.png", "--instances", "--overlay")
    assert (code, output) == (0, "1 of 1 masks written to out, with 2 nuclei.\n")
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


def test_the_closing_line_counts_the_nuclei_of_the_images_that_were_written(here, pixels, capsys):
    save(here / "a.png", pixels)
    options = "--instances", "--resume"
    assert predict(capsys, "a.png", *options)[1] == "1 of 1 masks written to out, with 1 nucleus.\n"
    assert "Predicting" not in predict(capsys, "a.png", *options)[2]  # nothing is to do
    save(here / "b.png", np.tile(pixels, (20, 60, 1)))
    output = predict(capsys, "a.png", "b.png", *options)[1]
    assert output.startswith("1 of 2 masks written to out, with 1,200 nuclei; 1 were there.\n")


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
    code, _, errors = predict(capsys, "slide", "d.tif")
    assert code == 0 and "Left out: the images in 1 subfolder, such as slide/deeper. " in errors
    assert names(here / "out") == ["a_mask.png", "b_mask.png", "d_mask.png"]


def test_images_of_a_folder_in_other_formats_are_counted(here, pixels, capsys):
    for name in ("a/x.png", "a/y.gif", "a/z.webp", "a/._z.webp"):
        save(here / name, pixels, format="PNG")
    for _ in range(2):  # the results of the first run are no images of a subfolder
        code, _, errors = predict(capsys, "a", out="a/out")
        said = [line for line in errors.splitlines() if line.startswith("Left out")]
        assert code == 0 and said == [
            "Left out: 2 files in other formats, such as a/y.gif. Save them as PNG, TIFF or JPEG."
        ]
    assert "Left out: the images" not in predict(capsys, "a")[2]


@pytest.mark.parametrize(
    "file, cure",
    [
        ("images/x.png", "1 subfolder, such as a/images. If they are to be predicted, name"),
        ("x.czi", "1 file in other formats, such as a/x.czi. Save them as PNG, TIFF or JPEG."),
        ("x.ndpis", "1 list of slides, such as a/x.ndpis. The .ndpi files that it names are"),
    ],
)
def test_a_folder_without_images_says_what_is_left_out(here, pixels, capsys, file, cure):
    (here / "a").mkdir()
    save(here / "a" / file, pixels, format="PNG")
    code, _, errors = predict(capsys, "a")
    assert code == 1 and errors.startswith("a has no PNG, TIFF, JPEG or slide directly in it: ")
    assert cure in errors and errors.count("\n") == 1


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
    "truncated.tif": "damaged or cut short",
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
    path, options = f"bad{os.sep}{name}", ("--overlay", "--mpp", "0.25")
    code, output, errors = predict(capsys, "first.png", path, "last.png", *options)
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
        ("nfc nfd", "out", "\u00e4.png and nfd.a\u0308.png would both be written to out"),
        ("a long", "out", r"x{248}_mask\.png could not be written .File name too long.: choose a"),
        ("a/x.png x_mask.png", ".", r"x_mask\.png is one of the images and would be overwritten"),
        ("a x_overlay.png", ".", r"x_overlay\.png is one of the images"),
        ("a x_probability.tif", "a/..", r"x_probability\.tif is one of the images"),
        ("a", "file", "file is a file or cannot be written to: "),
        ("a", "file/far/below", "file is a file or cannot be written to: "),
        ("a", 300 * "x", "could not be written .File name too long.: choose a shorter name"),
        ("a empty", "out", "empty has no PNG, TIFF, JPEG or slide directly in it: name the folder"),
    ],
)
def test_what_cannot_end_well_is_refused_before_it_begins(
    here, pixels, capsys, images, out, sentence
):
    for name in ("a/x.png", "b/X.jpg", "x_mask.png", "x_overlay.png", "x_probability.tif", "file"):
        save(here / name, pixels, format="PNG")
    for name in ("nfc/\u00e4.png", "nfd/a\u0308.png", f"long/{248 * 'x'}.png"):
        save(here / name, pixels)
    (here / "empty").mkdir()
    before = {path: path.is_file() and path.read_bytes() for path in here.rglob("*")}
    code, output, errors = predict(capsys, *images.split(), out=out)
    assert (code, output) == (1, "") and errors.count("\n") == 1 and re.search(sentence, errors)
    assert before == {path: path.is_file() and path.read_bytes() for path in here.rglob("*")}


@pytest.mark.parametrize("report", ["a/x.png", "out/x.json", "out/x_mask.png", "a"])
def test_the_report_replaces_no_image_and_no_result(here, pixels, capsys, report):
    save(here / "a/x.png", pixels)
    before = (here / "a/x.png").read_bytes()
    code, output, errors = predict(capsys, "a", "--json", report)
    assert (code, output) == (1, "") and errors.startswith(report) and errors.count("\n") == 1
    assert (here / "a/x.png").read_bytes() == before and not (here / "out").exists()


def test_an_image_that_is_named_twice_is_predicted_once(here, pixels, capsys):
    save(here / "a/x.png", pixels)
    code, output, _ = predict(capsys, "a", "a/../a/x.png", "a/x.png")
    assert code == 0 and "1 of 1 masks written to out." in output


@pytest.mark.parametrize(
    "command",
    [
        "predict none x.png --out out",
        "evaluate none --data canonical",
        "evaluate unet none --data nowhere",  # before images are looked for
    ],
)
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
    log = logging.getLogger("asyncio")
    log.setLevel(logging.NOTSET)
    code, output, errors = predict(capsys, "a.png", "b.png")
    assert (code, output) == (130, "") and names(here / "out") == ["a_mask.png"]
    assert errors.splitlines()[-1].startswith("Interrupted") and "Traceback" not in errors
    assert not log.isEnabledFor(logging.ERROR)
    log.setLevel(logging.NOTSET)
    assert read(here / "out" / "a_mask.png").shape == (30, 41)


def test_results_beside_the_images_are_not_taken_for_images(here, pixels, capsys):
    save(here / "a/x.png", pixels)
    save(here / "a/drawn_mask.png", pixels)
    everything = ("--instances", "--overlay")
    for _ in range(2):
        assert predict(capsys, "a", *everything, out="a")[0] == 0
    assert predict(capsys, "a")[0] == 0
    assert names(here / "out") == ["drawn_mask_mask.png", "x_mask.png"]
    code, output, errors = predict(capsys, "out")
    assert (code, output) == (1, "") and errors.startswith("out contains only results of predict: ")
