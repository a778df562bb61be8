"""Many images and slides in one command: broken ones are told, and a second run does the rest."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nuclei.__main__ import main
from nuclei.atomic import locked
from nuclei.prediction import engines, results
from nuclei.slides import find
from nuclei.slides import predict as predict_slide
from nuclei.slides.pyramid import write_pyramid


class Red:
    """Stands in for an engine: probability is red / 255, by pixel."""

    name, channels, calls = "keras", 1, 0

    def forward(self, batch):
        self.calls += 1
        return batch[..., :1] / np.float32(255)


@pytest.fixture
def red(tmp_path, monkeypatch):
    """The engine is `Red`, and a folder `in` has two images, one of which is broken."""
    engine = Red()
    engine.weights = "0"
    monkeypatch.setattr(engines, "load", lambda name, kind: engine)
    monkeypatch.setattr(engines, "choose", lambda name, kind: "keras")
    monkeypatch.setattr(engines, "fingerprint", lambda name, kind: engine.weights)
    for module in (find, predict_slide):
        monkeypatch.setattr(module, "load_engine", lambda job: engine)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    images(tmp_path / "in", 2)
    return engine


def images(folder, count, shift=0):
    """Write images of a nucleus; the first one is cut in half."""
    for number in range(count):
        image = np.full((60, 60, 3), (100, 90, 160), np.uint8)
        image[20:29, 20 + number + shift : 30 + number] = (200, 90, 160)
        Image.fromarray(image).save(path := folder / f"a{number}.png")
        if number == 0:
            path.write_bytes(path.read_bytes()[:100])


def run(*options):
    """Predict the folder; return the exit code and the report by name."""
    words = ("predict", "unet", "in", "--out", "out", "--json", "report.json", "--instances")
    code = main((*words, *options))
    with open("report.json", encoding="utf-8") as file:
        return code, {os.path.basename(one["path"]): one for one in json.load(file)}


def test_broken_files_do_not_stop_the_others(red, tmp_path, capsys):
    images(tmp_path / "in", 10)
    tissue = np.full((700, 700, 3), (100, 90, 160), np.uint8)
    tissue[300:310, 300:310] = (200, 90, 160)
    for name in ("s0", "s1"):
        write_pyramid(path := tmp_path / "in" / f"{name}.tif", tissue)
    with open(path, "r+b") as file:  # the last bytes are those of its coarsest level
        file.truncate(path.stat().st_size - 50)
    code, found = run()
    assert code == 1 and len(found) == 12
    refused = [name for name, one in found.items() if one["state"] == "refused"]
    assert refused == ["a0.png", "s1.tif"]
    for name, one in found.items():
        assert list(one) == ["path", "state", "reason", "seconds", "outputs"]
        assert (one["reason"] is None) == (name not in refused)
        assert one["seconds"] > 0 or name in refused  # in less than half a millisecond, maybe
        assert all(map(os.path.exists, one["outputs"])) and len(one["outputs"]) == (
            0 if name in refused else 4
        )
    lines = capsys.readouterr().out.splitlines()[-3:]
    assert "12 files in " in lines[0] and lines[0].endswith(" s: 10 done, 2 refused.")
    assert lines[1].startswith("Refused: in/a0.png is damaged") and "s1.tif" in lines[2]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*")}
    calls = red.calls
    code, found = run("--resume")
    assert code == 1 and red.calls == calls
    assert [one["state"] for one in found.values()].count("skipped") == 10
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*")}
    assert {path: after[path] for path in before if path.suffix != ".lock"} == {
        path: before[path] for path in before if path.suffix != ".lock"
    }


def touch(tmp_path, red):
    os.utime(tmp_path / "in" / "a1.png", (0, 0))


def change_image(tmp_path, red):
    images(tmp_path / "in", 2, shift=1)


def change_model(tmp_path, red):
    red.weights = "1"


def remove_table(tmp_path, red):
    (tmp_path / "out" / "a1.csv").unlink()


def cut_mask(tmp_path, red):
    path = tmp_path / "out" / "a1_mask.png"
    path.write_bytes(path.read_bytes()[:-30])


def cut_outlines(tmp_path, red):
    path = tmp_path / "out" / "a1.geojson"
    path.write_bytes(path.read_bytes()[:200])


def cut_table(tmp_path, red):
    path = tmp_path / "out" / "a1.csv"
    path.write_bytes(path.read_bytes()[:-20])


def cut_labels(tmp_path, red):
    path = tmp_path / "out" / "a1_labels.tif"
    path.write_bytes(path.read_bytes()[:-5])


def empty_table(tmp_path, red):
    (tmp_path / "out" / "a1.csv").write_bytes(b"")


def nothing(tmp_path, red):
    pass


CHANGES = [
    (touch, (), "skipped"),
    (nothing, (), "skipped"),
    (nothing, ("--threshold", "0.4"), "done"),
    (nothing, ("--min-score", "0.4"), "done"),
    (nothing, ("--mpp", "0.5"), "done"),
    (nothing, ("--augment",), "done"),
    (nothing, ("--measures", "all"), "done"),
    (nothing, ("--overlay",), "done"),
    *((change, (), "done") for change in (change_image, change_model, remove_table)),
    *((change, (), "done") for change in (cut_mask, cut_outlines)),
    *((change, (), "done") for change in (cut_table, empty_table, cut_labels)),
]


@pytest.mark.parametrize(("change", "options", "state"), CHANGES)
def test_what_has_changed_is_done_again(red, tmp_path, change, options, state):
    assert run()[1]["a1.png"]["state"] == "done"
    change(tmp_path, red)
    code, found = run("--resume", *options)
    assert code == 1 and found["a1.png"]["state"] == state
    assert run("--resume", *options)[1]["a1.png"]["state"] == "skipped"
    assert run()[1]["a1.png"]["state"] == "done"  # without --resume all is done again


@pytest.mark.parametrize("name", ["a1_mask.png", "a1.geojson", "a1.csv", "a1_labels.tif"])
def test_what_no_run_has_written_is_kept(red, tmp_path, name, capsys):
    """A mask or outlines drawn by hand, in the folder for results."""
    other = tmp_path / "out" / name
    other.parent.mkdir()
    Image.new("L", (60, 60), 255).save(other, format="PNG")
    before = other.read_bytes()
    code, found = run()
    assert code == 1 and [one["state"] for one in found.values()] == ["refused", "refused"]
    assert f"would replace {Path('out') / name}, which no earlier run" in found["a1.png"]["reason"]
    assert found["a1.png"]["reason"] in capsys.readouterr().err
    assert other.read_bytes() == before and list(other.parent.glob("a1*")) == [other]
    other.unlink()
    assert run()[1]["a1.png"]["state"] == run()[1]["a1.png"]["state"] == "done"


def correct_outlines(folder):
    """As QuPath writes them."""
    path = folder / "a1.geojson"
    path.write_text(json.dumps(json.loads(path.read_text())["features"]))
    return path


def correct_mask(folder):
    """With an editor that keeps texts."""
    path = folder / "a1_mask.png"
    with Image.open(path) as mask:
        text = PngInfo()
        text.add_text(results.RECORD, mask.info[results.RECORD])
        mask.transpose(Image.Transpose.ROTATE_180).save(path, pnginfo=text)
    return path


def correct_table(folder):
    path = folder / "a1.csv"
    path.write_text(path.read_text().replace("label", "nucleus"))
    return path


def shorten_table(folder):
    """With a program that writes no line feed after the last row."""
    path = folder / "a1.csv"
    path.write_text(path.read_text().splitlines()[0])
    return path


def correct_labels(folder):
    path = folder / "a1_labels.tif"
    tifffile.imwrite(path, tifffile.imread(path) * 2)
    return path


CORRECTIONS = [correct_outlines, correct_mask, correct_table, shorten_table, correct_labels]


@pytest.mark.parametrize("options", [(), ("--resume",), ("--threshold", "0.4")])
@pytest.mark.parametrize("correct", CORRECTIONS)
def test_what_was_corrected_by_hand_is_kept(red, tmp_path, correct, options):
    run()
    images(tmp_path / "in", 3)
    path = correct(Path("out"))
    corrected = path.read_bytes()
    code, found = run(*options)
    assert code == 1 and path.read_bytes() == corrected
    assert found["a1.png"]["state"] == "refused" and found["a2.png"]["state"] == "done"
    cure = "move it away, or choose another folder for --out."
    assert found["a1.png"]["reason"] == f"{path} was changed since it was written: {cure}"
    path.rename("corrected")
    assert run(*options)[1]["a1.png"]["state"] == ("refused" if "mask" in path.name else "done")


def test_what_is_corrected_by_hand_during_a_run_is_kept(red, tmp_path, monkeypatch):
    run()
    forward = red.forward

    def corrected(batch):
        correct_outlines(Path("out"))
        return forward(batch)

    monkeypatch.setattr(red, "forward", corrected, raising=False)
    code, found = run()
    assert code == 1 and found["a1.png"]["state"] == "refused"
    assert isinstance(json.loads(Path("out/a1.geojson").read_text()), list)


def test_outlines_drawn_beside_a_mask_of_a_run_are_kept(red, tmp_path):
    assert main(("predict", "unet", "in", "--out", "out")) == 1
    (drawn := tmp_path / "out" / "a1.geojson").write_text("{}")
    assert run()[1]["a1.png"]["state"] == "refused" and drawn.read_text() == "{}"


def test_fewer_results_than_there_are_count_as_done(red):
    run("--overlay")
    assert run("--resume")[1]["a1.png"]["state"] == "skipped"


@pytest.mark.parametrize("name", ["a1.csv", "a1.geojson", "a1_labels.tif"])
def test_results_of_other_settings_do_not_stay_beside_new_ones(red, tmp_path, name):
    """Those of the same settings do, and so does a file that was changed by hand."""
    run()
    file, bare = tmp_path / "out" / name, ("predict", "unet", "in", "--out", "out")
    assert main([*bare, "--overlay"]) == 1 and file.exists()
    assert run("--resume")[1]["a1.png"]["state"] == "skipped"
    assert main([*bare, "--threshold", "0.4"]) == 1 and not file.exists()
    run()
    file.write_bytes(b"by hand")
    assert main([*bare, "--threshold", "0.4"]) == 1 and file.read_bytes() == b"by hand"


@pytest.mark.parametrize("first", [(), ("--threshold", "0.3"), ("--overlay",)])
@pytest.mark.parametrize("renamed", [1, 2, 3])
def test_a_run_killed_between_two_names_is_completed_by_the_same_command(
    red, tmp_path, monkeypatch, first, renamed
):
    """The results of an earlier run, or none, and some of the new ones."""
    if first:
        run(*first)
    names, rename = [], os.replace

    def killed(source, target):
        if Path(target).name.startswith("a1"):
            if len(names) == renamed:
                raise KeyboardInterrupt
            names.append(Path(target).name)
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        assert main(["predict", "unet", "in", "--out", "out", "--instances"]) == 130
    assert len(names) == renamed
    # With the same settings the new files are those that were there.
    state = "skipped" if first == ("--overlay",) else "done"
    assert run("--resume")[1]["a1.png"]["state"] == state
    assert run("--resume")[1]["a1.png"]["state"] == "skipped"
    there = sorted(path.name for path in (tmp_path / "out").glob("a1*"))
    stays = ["a1_overlay.png"] * (first == ("--overlay",))
    assert there == sorted([*stays, "a1.csv", "a1.geojson", "a1_labels.tif", "a1_mask.png"])


def test_slides_of_other_settings_are_refused_and_the_others_go_on(red, tmp_path):
    write_pyramid(tmp_path / "in" / "s.tif", np.full((700, 700, 3), 243, np.uint8))
    assert run()[1]["s.tif"]["state"] == "done"
    found = run("--resume", "--threshold", "0.4")[1]
    assert found["s.tif"]["state"] == "refused" and "another threshold" in found["s.tif"]["reason"]
    assert found["a1.png"]["state"] == "done"


def test_a_slide_that_another_run_predicts_lets_the_others_go_on(red, tmp_path):
    for name in ("s0", "s1"):
        write_pyramid(tmp_path / "in" / f"{name}.tif", np.full((700, 700, 3), 243, np.uint8))
    with locked(tmp_path / "out" / "s0.lock", "predicting"):
        found = run()[1]
    assert found["s0.tif"]["state"] == "refused"
    assert found["s0.tif"]["reason"].startswith("Another run is predicting s0.tif into ")
    assert found["s1.tif"]["state"] == found["a1.png"]["state"] == "done"


def test_a_run_that_ends_early_reports_what_it_has_done(red, tmp_path, monkeypatch):
    images(tmp_path / "in", 3)
    monkeypatch.setattr(red, "calls", 0)
    forward = red.forward

    def interrupted(batch):
        if red.calls:
            raise KeyboardInterrupt
        return forward(batch)

    monkeypatch.setattr(red, "forward", interrupted, raising=False)
    code, found = run()
    states = [found[f"a{number}.png"]["state"] for number in range(3)]
    assert code == 130 and states == ["refused", "done", "not reached"]


def test_a_report_that_cannot_be_written_is_said_before_the_work(red, capsys):
    words = ("predict", "unet", "in", "--out", "out", "--json", "in")
    assert main(words) == 1 and "in is a folder: choose a file" in capsys.readouterr().err
    assert red.calls == 0
