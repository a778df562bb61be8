"""`check` finds what is wrong with a data set, says it in a sentence, and leaves the rest alone."""

import json
import re
from itertools import combinations

import numpy as np
import pytest
import tifffile
from PIL import Image

from nuclei.__main__ import main
from nuclei.commands.check import table
from nuclei.data import check, check_set, synthetic
from nuclei.data.alignment import FIT, VIEWS, Alignment, align, better_view
from nuclei.data.overlap import Reduced
from nuclei.prediction import results
from nuclei.prediction.image import Prediction

SHAPE = (192, 224)


@pytest.fixture(scope="module")
def tissue():
    """Images and labels by number."""
    return {seed: synthetic.tissue(seed, SHAPE) for seed in range(8)}


def write(root, name, image, annotation, kind="labels"):
    """Write an image and its annotation, which is a label image or a mask."""
    for folder, pixels in (("images", image), (kind, annotation)):
        path = root / folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = pixels.astype(np.uint16) if pixels.dtype == np.int32 else pixels
        Image.fromarray(np.ascontiguousarray(pixels)).save(path)


def run(capsys, *arguments):
    capsys.readouterr()
    code = main(["check", *map(str, arguments)])
    return code, capsys.readouterr().out


@pytest.mark.parametrize("shift", [(0, 0), (3, -5), (-2, 1), (14, 9)])
def test_a_shift_is_measured(tissue, shift):
    image, labels = tissue[1]
    found = align(image, np.roll(labels > 0, shift, axis=(0, 1)))
    assert found.fit > 0.6
    np.testing.assert_allclose((found.down, found.right), shift, atol=0.3)


def test_a_black_border_does_not_matter(tissue):
    image, labels = tissue[1]
    bordered = np.pad(image, ((0, 200), (0, 200), (0, 0)))
    found = align(bordered, np.pad(labels > 0, ((0, 200), (0, 200))))
    assert found.fit > 0.6
    np.testing.assert_allclose((found.down, found.right), 0, atol=0.3)


def test_what_is_of_another_image_or_inverted_fits_nowhere(tissue):
    image, labels = tissue[1]
    assert align(image, tissue[2][1] > 0).fit < FIT
    assert align(image, labels == 0).fit < FIT
    assert better_view(image, tissue[2][1] > 0) is None
    assert align(image, labels < 0) is align(image, labels >= 0) is None
    assert align(image[:20], labels[:20] > 0) is None


@pytest.mark.parametrize("title", VIEWS)
def test_a_turned_annotation_is_known(tissue, title):
    image, labels = (pixels[:192, :192] for pixels in tissue[1])
    mask = labels > 0
    turned = next(
        x
        for view in VIEWS.values()
        if np.array_equal(VIEWS[title](x := np.ascontiguousarray(view(mask))), mask)
    )
    assert better_view(image, turned) == title


def test_copies_and_parts_are_known_again(tissue):
    image, other = tissue[1][0], tissue[2][0]
    assert Reduced(image).is_same(Reduced(np.ascontiguousarray(np.rot90(image[::-1]))))
    part = np.ascontiguousarray(image[30:160, 50:200])
    assert Reduced(part).shares(Reduced(image)) and Reduced(image).shares(Reduced(part))
    for one in (Reduced(part), Reduced(image)):
        assert not one.is_same(Reduced(other)) and not one.shares(Reduced(other))
    glass = Reduced(np.full((200, 200, 3), 240, np.uint8))
    assert not glass.is_same(glass) and not glass.shares(Reduced(image))


def test_cores_of_a_tissue_microarray_are_not_alike():
    """Discs of tissue in glass, which have the same outline."""
    y, x = np.mgrid[-1:1:500j, -1:1:500j]
    disc = np.hypot(y, x)[..., None] < 0.8
    images = [np.where(disc, synthetic.tissue(seed, (500, 500))[0], 241) for seed in range(6)]
    cores = [Reduced(image.astype(np.uint8)) for image in images]
    for one, two in combinations(cores, 2):
        assert one.likeness(two) > 0.8 and not one.is_same(two) and not one.shares(two)
    turned = Reduced(np.rot90(images[0]).astype(np.uint8))
    part = Reduced(images[0][100:380, 120:400].astype(np.uint8))
    assert cores[0].is_same(turned) and cores[0].shares(part)


def test_a_good_folder_passes(tmp_path, tissue, capsys):
    for split, seed in (("train", 1), ("val", 2), ("test", 3)):
        write(tmp_path / "data" / split, f"slide {seed} (copy)", *tissue[seed])
    code, output = run(capsys, tmp_path / "data", "--overlay", tmp_path / "pictures")
    assert code == 0 and "Nothing looks wrong." in output and "Looks wrong:" not in output
    heading, *rows = output.splitlines()[:4]
    assert heading.split()[:4] == ["image", "split", "size", "um/px"]
    labels = tissue[3][1]
    row = next(row for row in rows if row.startswith("slide 3 (copy)"))
    assert row.split()[3:] == [
        *(
            "test",
            "224",
            "x",
            "192",
            "-",
            "labels",
            str(labels.max()),
            f"{(labels > 0).mean():.1%}",
        ),
        *row.split()[-2:],
    ]
    pictures = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert pictures == ["contact_sheet.png", *(f"slide {i} (copy)_overlay.png" for i in (1, 2, 3))]
    overlay = np.asarray(Image.open(tmp_path / "pictures" / pictures[1]))
    assert 0.02 < (overlay != tissue[1][0]).any(axis=-1).mean() < 0.5


def test_everything_that_looks_wrong_is_said_and_nothing_else(tmp_path, tissue):
    shifted = np.roll(tissue[1][1], (6, -4), axis=(0, 1))
    write(tmp_path, "shifted", tissue[1][0], shifted)
    write(tmp_path, "flipped", tissue[2][0], tissue[2][1][::-1])
    inverted = np.uint8(255) * (tissue[3][1] == 0)
    write(tmp_path, "inverted", tissue[3][0], inverted, "masks")
    values = np.uint8(tissue[4][1] > 0) * np.uint8(1 + tissue[4][1] % 3)
    write(tmp_path, "classes", tissue[4][0], values, "masks")
    write(tmp_path, "empty", tissue[5][0], np.zeros(SHAPE, np.uint8), "masks")
    colours = np.where(tissue[7][1][..., None] > 0, np.uint8((255, 200, 90)), np.uint8((0, 9, 80)))
    write(tmp_path, "two colours", tissue[7][0], colours, "masks")
    write(tmp_path, "good", *tissue[6])
    write(tmp_path, "copy", tissue[6][0][:, ::-1], tissue[6][1][:, ::-1])
    write(tmp_path, "part", tissue[6][0][20:150, 20:200], tissue[6][1][20:150, 20:200])
    text = "name,split,mpp\ngood,train,\ncopy,val,\npart,test,\n"
    others = ("shifted", "flipped", "inverted", "classes", "empty", "two colours")
    text += "".join(f"{name},train,{'1.0' * (name == 'empty')}\n" for name in others)
    (tmp_path / "samples.csv").write_text(text)
    report = check.check(tmp_path, progress=False)
    expected = [
        r"labels/flipped.png does not fit .*flipped.png: .* It fits when flipped upside down",
        r"labels/shifted.png lies [56].\d pixels below and [34].\d pixels left of the nuclei",
        r"masks/inverted.png marks what is lighter than the rest",
        r"masks/classes.png has 4 greys or colours and not two",
        r"empty has no nucleus: annotate",
        r"images/empty.png has 1 um per pixel, where a nucleus is a few pixels wide: use a scan",
        r"copy \(val\) and good \(train\) are the same image, so that scores would be too high",
        r"good \(train\) and part \(test\) share a part",
        r"copy \(val\) and part \(test\) share",
    ]
    assert len(report.problems) == 2  # tissue that is in two splits
    found = [*report.warnings, *report.problems]
    for sentence in expected[:-1]:
        matches = [one for one in found if re.search(sentence, one)]
        assert len(matches) == 1, (sentence, found)
        found.remove(matches[0])
    assert not found
    assert any(note.startswith("Images with a mask only: 3 of 9. ") for note in report.notes)
    lines = {line.split()[0]: line for line in table(report.rows).splitlines()}
    assert "no fit" in lines["flipped"] and "no fit" not in lines["shifted"]
    assert lines["shifted"].endswith("look") and not lines["good"].endswith("look")
    assert any(
        re.match("Images that are scaled to 0.25 .*: 1 of 9.$", note) for note in report.notes
    )


def test_what_stops_a_training_makes_the_exit_code_1(tmp_path, tissue, capsys):
    write(tmp_path, "a", *tissue[1])
    write(tmp_path, "small", tissue[2][0], tissue[2][1][:100])
    write(tmp_path, "b", *tissue[3])
    Image.fromarray(tissue[4][0]).save(tmp_path / "images" / "alone.png")
    write(tmp_path, "c", *tissue[5])
    write(tmp_path / "old", "d", *tissue[6])
    (tmp_path / "samples.csv").write_text(
        "name,patient,split\na,P,train\nb,P,test\nc,Q,val\nsmall,,train\nalone,,train"
    )
    code, output = run(capsys, tmp_path)
    stops, _, notes = output.partition("Stops a training:")[2].partition("Good to know:")
    assert code == 1
    assert "small.png is 224 x 100 pixels, but its image is 224 x 192" in stops
    assert "alone.png has no annotation" in stops
    assert "Patient P is in train and in test" in stops
    assert "d.png is in a folder of another name, so it is left out." in notes
    assert "unreadable" in next(line for line in output.splitlines() if line.startswith("small"))
    assert run(capsys, tmp_path / "nowhere")[0] == 1


@pytest.mark.parametrize("number, last", [(6, "So is 1 more file."), (7, "So are 2 more files.")])
def test_of_many_files_that_are_left_out_the_others_are_counted(tmp_path, tissue, number, last):
    write(tmp_path, "a", *tissue[1])
    for file in range(number):
        (tmp_path / f"{file}.webp").touch()
    assert last in check.check(tmp_path).notes


def test_nuclei_of_an_unusual_size_are_said(tissue):
    labels = tissue[1][1]
    rows = [check.Row("a", "train", "a", area=float(np.median(np.bincount(labels.ravel())[1:])))]
    assert check_set._sizes(rows) == []
    rows[0].area = check_set.AREA / 4
    (sentence,) = check_set._sizes(rows)
    assert "as if the images had about 0.50 um per pixel" in sentence
    rows[0].mpp = 0.5  # known, and said where it is known
    assert check_set._sizes(rows) == []


def test_a_region_is_no_nucleus(tmp_path, tissue):
    """At 0.5 um per pixel, 60 x 60 pixels are 900 um2."""
    image, labels = tissue[1]
    labels = labels.copy()
    labels[100:160, 40:100] = labels.max() + 1
    write(tmp_path, "a", image, labels)
    (tmp_path / "samples.csv").write_text("name,mpp\na,0.5\n")
    report = check.check(tmp_path, progress=False)
    (sentence,) = (one for one in report.warnings if "um2" in one)
    assert re.search(r"a\.png has 1 object of more than 640 um2.* largest of 900 um2 at", sentence)
    x, y = map(int, re.search(r"at x (\d+), y (\d+)", sentence).groups())
    assert abs(x - 69.5) <= 1 and abs(y - 129.5) <= 1
    write(tmp_path, "a", *tissue[1])
    assert not any("um2" in one for one in check.check(tmp_path, progress=False).warnings)


def test_outlines_of_classes_that_are_not_chosen_are_counted(tmp_path, tissue):
    image, _ = tissue[1]
    write(tmp_path, "a", *tissue[1])
    (tmp_path / "labels" / "a.png").unlink()

    def square(x, **properties):
        ring = [[x, 10], [x + 9, 10], [x + 9, 19], [x, 19], [x, 10]]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        return {"type": "Feature", "geometry": geometry, "properties": properties}

    nucleus, necrosis = ({"classification": {"name": name}} for name in ("Nucleus", "Necrosis"))
    features = [square(10, **nucleus), square(40), square(70), square(100, **necrosis)]
    collection = {"type": "FeatureCollection", "features": features}
    (tmp_path / "labels" / "a.geojson").write_text(json.dumps(collection))
    for classes, nuclei, left_out in (
        ("Nucleus", 1, "no class (2), Necrosis (1)."),
        ("Nucleus|no class", 3, "Necrosis (1)."),
        ("Nucleus|Necrosis|No Class", 4, None),
        ("", 4, None),
    ):
        (tmp_path / "samples.csv").write_text(f"name,classes\n*,{classes}\n")
        report = check.check(tmp_path, progress=False)
        notes = [note for note in report.notes if "does not choose" in note]
        assert report.rows[0].nuclei == nuclei and len(notes) == bool(left_out)
        assert not notes or notes[0].endswith(left_out)


def test_an_image_whose_resolution_cannot_be_is_one_problem(tmp_path, tissue, capsys):
    for name, seed in (("a", 1), ("b", 2)):
        write(tmp_path, name, *tissue[seed])
    (tmp_path / "images" / "b.png").unlink()
    options = {"resolution": (2e4, 4e4), "resolutionunit": "CENTIMETER", "photometric": "rgb"}
    tifffile.imwrite(tmp_path / "images" / "b.tif", tissue[2][0], **options)
    code, output = run(capsys, tmp_path)
    assert code == 1 and "in samples.csv" in output.partition("Stops a training:")[2]
    lines = {line.split()[0]: line for line in output.splitlines()[1:3]}
    assert "unreadable" in lines["b"] and "unreadable" not in lines["a"]
    (tmp_path / "samples.csv").write_text("name,mpp\nb,0.25\n")
    assert run(capsys, tmp_path)[0] == 0


def test_the_table_is_straight_for_names_in_any_script():
    names = {"e\u0301te\u0301": 3, "\u7d44\u7e54": 4, "plain": 5}  # and how wide they are shown
    lines = table([check.Row(name, "train", "P1") for name in names]).splitlines()[1:]
    ends = [line.index("train") for line in lines]
    assert ends == [7 + len(name) - width for name, width in names.items()]


def test_pictures_are_not_drawn_into_the_data(tmp_path, tissue, capsys):
    write(tmp_path / "data", "a", *tissue[1])
    for folder in ("data", "data/images"):
        assert main(["check", str(tmp_path / "data"), "--overlay", str(tmp_path / folder)]) == 1
        assert "choose another folder for --overlay" in capsys.readouterr().err
    assert len([*(tmp_path / "data").rglob("*.png")]) == 2


def test_pictures_do_not_replace_those_of_predict(tmp_path, tissue, capsys):
    image, labels = tissue[1]
    write(tmp_path / "data", "a", image, labels)
    found = Prediction(image, 0.25, None, labels > 0, labels, [], None, 1.0)
    results.write(found, tmp_path / "out", "a", overlay=True)
    before = (tmp_path / "out" / "a_overlay.png").read_bytes()
    assert main(["check", str(tmp_path / "data"), "--overlay", str(tmp_path / "out")]) == 1
    assert "out has overlays of predict, which would be replaced: " in capsys.readouterr().err
    assert (tmp_path / "out" / "a_overlay.png").read_bytes() == before


def test_a_shift_that_all_images_share_is_said():
    places = (1.2, 0.6), (0.9, 0.7), (1.0, 0.4)
    rows = [
        check.Row(str(number), "train", str(number), alignment=Alignment(down, right, 0.8))
        for number, (down, right) in enumerate(places)
    ]
    (note,) = check_set._drift(rows)
    assert "lie 1.0 pixels below and 0.6 pixels right of" in note
    assert note.endswith("at most 1.3 pixels, in 0).")
    assert check_set._drift([check.Row("a", "", "a", alignment=Alignment(0.1, -0.3, 0.8))]) == []


def test_one_image_is_checked_whole(tmp_path, tissue, capsys):
    write(tmp_path, "a", *tissue[1])
    code, output = run(capsys, tmp_path)
    assert code == 0 and "the longer side of each is divided" in output
    assert output.splitlines()[1].split()[:4] == ["a", "-", "224", "x"]


def test_monuseg_may_have_masks_only(canonical, capsys):
    for labels in canonical.rglob("*_labels.png"):
        labels.unlink()
    code, output = run(capsys, canonical)
    rows = [line.split() for line in output.splitlines() if line.startswith("TCGA")]
    assert code == 0 and [row[6] for row in rows] == 4 * ["mask"]
