"""A folder of annotated images: which files belong together, what the table says, the splits."""

import errno
import json
import os
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from nuclei.data import folder, loading, splits
from nuclei.data.dataset import describe
from nuclei.errors import InputError

LABELS = np.zeros((24, 40), np.uint16)
LABELS[2:8, 3:9], LABELS[12:20, 20:33] = 1, 2
XML = (
    "<Annotations><Annotation><Regions><Region><Vertices>"
    '<Vertex X="3" Y="2"/><Vertex X="8" Y="2"/><Vertex X="8" Y="7"/><Vertex X="3" Y="7"/>'
    "</Vertices></Region></Regions></Annotation></Annotations>"
)
IMAGE = np.where(LABELS[..., None], (90, 60, 130), (220, 170, 200)).astype(np.uint8)
MASK = np.uint8(255) * (LABELS > 0)
CONTENTS = {"image": IMAGE, "mask": MASK, "labels": LABELS}


def make(root, files):
    """Write files; the value of each is what it holds."""
    for name, kind in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() in (".xml", ".csv", ".txt", ".xlsx", ".svs"):
            path.write_text(XML if kind == "outlines" else kind, encoding="utf-8")
        else:
            Image.fromarray(CONTENTS[kind]).save(path)
    return root


LAYOUTS = {
    "folders": {"images/a.png": "image", "masks/a.png": "mask"},
    "bitmaps": {"images/a.bmp": "image", "masks/a.BMP": "mask"},
    "labels": {"images/a.jpg": "image", "labels/a.tif": "labels"},
    "outlines": {"Images/a.tif": "image", "Annotations/a.xml": "outlines"},
    "named masks": {"images/a.png": "image", "masks/a_mask.png": "mask"},
    "as written by patch_generator": {
        "TissueImages/a.png": "image",
        "GroundTruth/a.png": "mask",
        "Labels/a.png": "labels",
    },
    "side by side": {"a.png": "image", "a_mask.png": "mask"},
    "grey beside colour": {"a.jpg": "image", "a.png": "mask"},
    "outlines beside": {"a.ome.tif": "image", "a.xml": "outlines"},
    "whole name": {"a.png": "image", "a.png.xml": "outlines", "notes.txt": "x"},
    "all in images": {"images/a.png": "image", "images/a_mask.png": "mask"},
    "predicted into images": {
        "images/a.png": "image",
        "images/a_labels.tif": "labels",
        "images/a_overlay.png": "image",
    },
    "predicted": {"a.png": "image", "a_labels.tif": "labels", "a_overlay.png": "image"},
    "case": {"images/A.PNG": "image", "masks/a.png": "mask"},
}


@pytest.mark.parametrize("files", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("split", ["", "Test/"])
def test_layouts(tmp_path, files, split):
    make(tmp_path, {split + name: kind for name, kind in files.items()})
    found = folder.index(tmp_path)
    assert (found.problems, found.left_out) == ([], [])
    (entry,) = found.entries
    assert entry.name.lower() == "a" and entry.split == ("test" if split else None)
    (sample,) = loading.load(tmp_path, "test" if split else "all")
    inside = LABELS > 0
    if entry.outlines:
        inside = inside & (np.arange(40) < 12)
    np.testing.assert_array_equal(sample.mask, inside)
    assert (sample.labels is None) == (entry.annotation == entry.mask)
    assert (sample.patient, sample.organ) == (entry.name, "")


def test_splits_may_be_folders_within_kinds(tmp_path):
    make(tmp_path, {"images/train/a.png": "image", "masks/a.png": "mask"})
    make(tmp_path, {"images/val/b.png": "image", "masks/val/b.png": "mask"})
    found = folder.index(tmp_path)
    assert not found.problems
    assert [(entry.name, entry.split) for entry in found.entries] == [("a", "train"), ("b", "val")]


def test_one_name_in_two_splits_gets_the_name_of_the_split(tmp_path):
    for split in ("train", "test"):
        make(tmp_path, {f"{split}/images/1.png": "image", f"{split}/masks/1.png": "mask"})
    found = folder.index(tmp_path)
    assert not found.problems
    assert [entry.name for entry in found.entries] == ["test_1", "train_1"]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_a_black_mask_tells_that_there_are_no_nuclei_to_tell_apart(tmp_path, mode):
    make(tmp_path, {"images/a.png": "image"}).joinpath("masks").mkdir()
    black = Image.new("RGB", LABELS.shape[::-1]).convert(mode)
    black.save(tmp_path / "masks" / "a.png")
    (sample,) = loading.load(tmp_path, "all")
    assert sample.labels is not None and not sample.labels.any() and not sample.mask.any()


def test_outlines_may_be_compressed_as_qupath_does(tmp_path):
    ring = [[3, 2], [9, 2], [9, 8], [3, 8], [3, 2]]
    text = json.dumps({"type": "Polygon", "coordinates": [ring]})
    make(tmp_path, {"images/a.png": "image"})
    with zipfile.ZipFile(tmp_path / "images" / "a.zip", "w") as archive:
        archive.writestr("a.geojson", text)
    (sample,) = loading.load(tmp_path, "all")
    np.testing.assert_array_equal(sample.labels, LABELS == 1)


def test_a_name_that_two_images_have_says_nothing(tmp_path):
    for split in ("train", "test"):
        make(tmp_path, {f"{split}/images/1.png": "image", f"{split}/masks/1.png": "mask"})
    (tmp_path / "samples.csv").write_text("name,patient\n\n1.png,Miller\ntrain_1,Smith\n")
    found = folder.index(tmp_path)
    (problem,) = found.problems
    assert "line 3: '1.png' is the name of several images: write test_1 or train_1." in problem
    assert [entry.patient for entry in found.entries] == [None, "Smith"]


def test_label_images_in_a_folder_of_masks_are_labels(tmp_path):
    make(tmp_path, {"images/a.png": "image", "masks/a.png": "labels"})
    (sample,) = loading.load(tmp_path, "all")
    np.testing.assert_array_equal(sample.labels, LABELS)


GOOD = {"a.png": "image", "a_mask.png": "mask"}
WRONG = {
    "a.png has no annotation: add a mask": {"a.png": "image"},
    "a.png has two annotations, a.xml and a_mask.png: keep one": GOOD | {"a.xml": "outlines"},
    "a.png has two annotations, a-mask.tif and a_mask.png": GOOD | {"a-mask.tif": "mask"},
    "a.png has two annotations, .*labels/a.xml and .*masks/a.xml: keep": {
        "images/a.png": "image",
        "labels/a.xml": "outlines",
        "masks/a.xml": "outlines",
    },
    "a.jpg and .*a.png have one name": GOOD | {"a.jpg": "image"},
    "a.png is there twice, in a split and in none": GOOD | {f"test/{x}": GOOD[x] for x in GOOD},
    "b.svs is a whole slide: save the": GOOD | {"b.svs": "x"},
    "no images .*old/a.png is in a folder of another name": {"old/a.png": "image"},
    "contains no images: put PNG": {"a.xml": "outlines"},
    "has the column 'organ': name the columns name, patient": GOOD | {"samples.csv": "name,organ"},
    "has no column name: add it": GOOD | {"samples.csv": "patient,split\n"},
    "line 2, has more cells than columns: write a cell with a ',' in quot": GOOD
    | {"samples.csv": "name,mpp\na,1,2\n"},
    "has the column 'patient' twice: remove one": GOOD | {"samples.csv": "name,patient,Patient\n"},
    "does not end with a quotation mark .unexpec": GOOD | {"samples.csv": 'name,group\n"a,skin\n'},
    "does not end with a quotation mark .',' expe": GOOD | {"samples.csv": 'name,group\n"a"b,c\n'},
    "line 3: there is no image 'b'": GOOD | {"samples.csv": "name,mpp\na,\nb,\n"},
    "line 3: a is there twice": GOOD | {"samples.csv": "name,mpp\na.png,\na,\n"},
    "line 2: there is no split 'holdout'": GOOD | {"samples.csv": "name,split\na,holdout\n"},
    "line 2: mpp '250' is no resolution": GOOD | {"samples.csv": "name,mpp\na,250\n"},
    "samples.csv.txt is not read: save it as CSV with the": GOOD | {"samples.csv.txt": "name\na\n"},
    "Samples.xlsx is not read: save it as CSV with the name": GOOD | {"Samples.xlsx": "x"},
    "images/samples.csv is not read: move its lines to .*/samples.csv, or": {
        "images/a.png": "image",
        "masks/a.png": "mask",
        "images/samples.csv": "name,patient\na,P1\n",
    },
    "no images .*a.webp is in a format that is not read.: put PNG": {"images/a.webp": "image"},
    "has SAMPLES.csv and samples.csv: keep": GOOD | {"SAMPLES.csv": "name", "samples.csv": "name"},
    "line 2: mpp 'x' is no resolution": GOOD | {"samples.csv": "name,mpp\na,x\n"},
}


@pytest.mark.parametrize("sentence", WRONG)
def test_what_is_wrong_is_a_sentence(tmp_path, sentence):
    make(tmp_path, WRONG[sentence])
    with pytest.raises(InputError, match=sentence) as caught:
        loading.load(tmp_path, "all")
    assert caught.value.args[0].count("\n") == 0


def test_several_problems_are_counted(tmp_path):
    make(tmp_path, {"a.png": "image", "b.png": "image", "c.png": "image"})
    with pytest.raises(InputError, match=r"a.png has no .*\(2 more: run `python -m nuclei check`"):
        loading.load(tmp_path, "all")
    with pytest.raises(InputError, match="nowhere is no folder"):
        folder.index(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"a\.png is no folder: give the folder of your annotated"):
        loading.load(tmp_path / "a.png", "all")


def test_a_split_of_another_name_is_refused(tmp_path):
    make(tmp_path, GOOD)
    with pytest.raises(InputError, match="no split 'tset': choose train, val, test or all"):
        loading.load(tmp_path, "tset")


def test_sizes_that_differ_are_refused(tmp_path):
    make(tmp_path, {"a.png": "image"})
    Image.fromarray(MASK[:20]).save(tmp_path / "a_mask.png")
    with pytest.raises(InputError, match="a_mask.png is 40 x 20 pixels, but its image is 40 x 24"):
        loading.load(tmp_path, "all")


def six(root):
    names = ["a.png", "b.png", "slide 2 (copy).png", "d.png", "é.png", "f.png"]
    make(root / "images", dict.fromkeys(names, "image"))
    for seed, name in enumerate(names):  # no two of one tissue
        noise = np.random.default_rng(seed).integers(0, 256, IMAGE.shape, np.uint8)
        Image.fromarray(noise).save(root / "images" / name)
    return make(root / "labels", dict.fromkeys(names, "labels"))


@pytest.mark.parametrize("delimiter", ",;\t")
def test_the_table_says_what_names_cannot(tmp_path, delimiter):
    six(tmp_path)
    rows = [
        ("Name", "Split", "group", "mpp", "patient"),
        ("a", "Training", "skin", "0.5", "P 1"),
        ("b.png", "train", "", "0,25" if delimiter != "," else "0.25", "P 1"),
        ("slide 2 (copy)", "train", "", "", ""),
        ("d", "val", "skin", "", "P 2"),
        ("é", "test", "lung", "", "P 3"),
        ("f", "validation", "", "", ""),
    ]
    text = "\ufeff" + "\r\n".join(delimiter.join(row) for row in rows)
    (tmp_path / "samples.csv").write_text(text, encoding="utf-8")
    entries = {entry.name: entry for entry in folder.index(tmp_path).entries}
    assert [entries[name].mpp for name in "ab"] == [0.5, 0.25]
    found = loading.load_splits(tmp_path)
    assert {split: [one.name for one in found[split]] for split in found} == {
        "train": ["a", "b", "slide 2 (copy)"],
        "val": ["d", "f"],
        "test": ["é"],
    }
    assert [(one.patient, one.organ) for one in found["train"][1:]] == [
        ("P 1", ""),
        ("slide 2 (copy)", ""),
    ]
    assert describe(found).splitlines()[1].endswith("nuclei; skin")


@pytest.mark.parametrize("path", ["images/a.png", r"images\a", r"C:\my data\A.PNG", "/x/y/a.png"])
def test_a_name_may_have_a_folder_before_it(tmp_path, path):
    make(tmp_path, GOOD | {"samples.csv": f"name,patient\n{path},P1\n"})
    found = folder.index(tmp_path)
    assert found.problems == [] and found.entries[0].patient == "P1"


def test_the_table_may_have_capital_letters_and_its_spreadsheet_beside_it(tmp_path):
    make(tmp_path, GOOD | {"Samples.CSV": "name,patient\na,P1\n", "samples.xlsx": "x"})
    assert folder.index(tmp_path).entries[0].patient == "P1"


def test_what_is_left_out_is_said_with_the_reason(tmp_path):
    make(tmp_path, GOOD | {"old/x.png": "image", "masks/y.png": "mask", "y.gif": "image"})
    (tmp_path / "._b.png").write_text("of macOS")
    unread, alone, elsewhere = folder.index(tmp_path).left_out
    assert unread.endswith("y.gif is in a format that is not read, so it is left out.")
    assert alone.endswith("y.png belongs to no image, so it is left out.")
    assert elsewhere.endswith("x.png is in a folder of another name, so it is left out.")


def test_a_folder_that_cannot_be_read_is_said(tmp_path, monkeypatch):
    make(tmp_path, GOOD | {f"test/{name}": kind for name, kind in GOOD.items()})
    scandir = os.scandir

    def closed(place):
        if os.path.basename(place) == "test":
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", closed)
    found = folder.index(tmp_path)
    assert [entry.split for entry in found.entries] == [None]
    assert found.left_out == [f"{tmp_path / 'test'} cannot be read, so it is left out."]


def test_what_is_left_out_is_said_where_the_data_are_used(tmp_path, capsys):
    make(tmp_path, GOOD | {"b.webp": "image", "b_mask.png": "mask"})
    assert len(loading.load(tmp_path, "all")) == 1
    said = "b.webp is in a format that is not read, so it is left out. (1 more: run `python"
    assert said in capsys.readouterr().out


def test_blanks_may_stand_around_quotation_marks(tmp_path):
    make(tmp_path, {"a, b.png": "image", "a, b_mask.png": "mask"})
    (tmp_path / "samples.csv").write_text('"name" , "group"  \r\n "a, b.png" , "skin" \r\n')
    (entry,) = folder.index(tmp_path).entries
    assert (entry.name, entry.group) == ("a, b", "skin")


def test_a_star_speaks_of_all_images_and_classes_are_chosen(tmp_path):
    six(tmp_path)
    make(tmp_path, {"samples.csv": "name,mpp,classes,group\na,0.3,,\n*,0.5,Nucleus|Mitosis,skin\n"})
    entries = {entry.name: entry for entry in folder.index(tmp_path).entries}
    assert (entries["a"].mpp, entries["b"].mpp) == (0.3, 0.5)
    assert {entry.group for entry in entries.values()} == {"skin"}
    assert {entry.classes for entry in entries.values()} == {("Nucleus", "Mitosis")}


def test_classes_for_all_images_say_nothing_of_xml(tmp_path):
    table = "name,classes\n*,Nucleus\n"
    make(tmp_path, {"a.png": "image", "a.xml": "outlines", "samples.csv": table})
    (sample,) = loading.load(tmp_path, "all")
    assert sample.mask.any()
    (tmp_path / "samples.csv").write_text("name,classes\na,Nucleus\n")  # asked of this image
    with pytest.raises(InputError, match="is XML, of which all nuclei are read"):
        loading.load(tmp_path, "all")


def test_outlines_of_the_chosen_classes_are_read(tmp_path):
    make(tmp_path, {"a.png": "image", "samples.csv": "name,classes\na,Nucleus\n"})
    squares = {"Nucleus": 3, "Other": 20}
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[[x, 2], [x + 6, 2], [x + 6, 8]]]},
            "properties": {"objectType": "detection", "classification": {"name": name}},
        }
        for name, x in squares.items()
    ]
    (tmp_path / "a.geojson").write_text(json.dumps(features))
    (sample,) = loading.load(tmp_path, "all")
    assert sample.mask[:, 3:9].any() and not sample.mask[:, 20:].any()


def test_the_table_and_the_folders_must_agree(tmp_path):
    make(tmp_path, {f"test/{name}": kind for name, kind in GOOD.items()})
    make(tmp_path, {"samples.csv": "name,split\na,train\n"})
    with pytest.raises(InputError, match="a is in train here but in the folder test: keep one"):
        loading.load(tmp_path, "all")


def by_split(entries):
    return {name: {one.name for one in entries if one.split == name} for name in splits.NAMES}


def entries(*patients, split=None):
    return [
        folder.Entry(f"{number}", None, patient=patient, split=split)
        for number, patient in enumerate(patients)
    ]


class TestSplitsThatAreDrawn:
    def test_by_patient_where_known(self):
        some = entries(*"aabbccddee")
        drawn, sentences = splits.complete(some)
        assert [len(x) for x in by_split(drawn).values()] == [6, 2, 2]
        for patient in "abcde":
            assert len({one.split for one in drawn if one.patient == patient}) == 1
        assert "by patient (seed 0): no patient is on both sides" in sentences[0]
        assert len(sentences) == 4 and re.match(r"  val: \d, \d$", sentences[2])
        assert splits.complete(some)[0] == drawn
        assert {str(splits.complete(some, seed)[0]) for seed in range(20)} != {str(drawn)}

    def test_else_by_image(self):
        drawn, sentences = splits.complete(entries(*[None] * 6))
        assert [len(x) for x in by_split(drawn).values()] == [4, 1, 1]
        assert "drawn by image (seed 0). Images of one patient" in sentences[0]

    @pytest.mark.parametrize("seed", range(9))
    def test_patients_that_are_known_stay_together(self, seed):
        drawn, sentences = splits.complete(entries(*"aaab", *[None] * 4), seed)
        assert "drawn by image" in sentences[0]
        assert len({one.split for one in drawn if one.patient == "a"}) == 1

    @pytest.mark.parametrize("patients, number", [("ababab", "2 patients"), ("aaa", "1 patient")])
    def test_too_few_patients_are_refused(self, patients, number):
        with pytest.raises(InputError, match=f"of {number}, too few to draw val and test images"):
            splits.complete(entries(*patients))

    @pytest.mark.parametrize("count", [1, 2])
    def test_parts_of_too_few_images(self, count):
        drawn, sentences = splits.complete(entries(*[None] * count))
        assert [one.part for one in drawn[:3]] == [(0, 0.6), (0.6, 0.8), (0.8, 1)]
        assert len(drawn) == 3 * count and drawn[0].name == "0 (train)"
        assert "scores say nothing about other images" in sentences[0]

    def test_what_is_missing_comes_from_the_training_images(self):
        some = entries(*"abcdefghij", split="train") + entries("k", split="test")
        drawn, sentences = splits.complete(some)
        assert [len(x) for x in by_split(drawn).values()] == [8, 2, 1]
        assert sentences[0].startswith("No val images were named")

    def test_images_without_a_split_are_trained_on(self):
        some = entries("a", split="val") + entries("b", split="test") + entries("c", "d")
        drawn, sentences = splits.complete(some)
        assert [one.patient for one in drawn if one.split == "train"] == ["c", "d"]
        assert sentences[0] == "Images without a split are trained on."
        drawn, sentences = splits.complete(entries("b", split="test") + entries(*"cdefg"))
        assert [len(x) for x in by_split(drawn).values()] == [4, 1, 1]
        assert drawn[0].patient == "b" and drawn[0].split == "test"

    def test_nothing_where_nothing_is_missing_or_nothing_is_trained(self):
        for names in (["train", "val", "test"], ["test"]):
            some = [one for name in names for one in entries("a", split=name)]
            assert splits.complete(some) == (some, [])


def test_one_image_is_divided_without_an_overlap(tmp_path, capsys):
    make(tmp_path, {"a.png": "image", "a_labels.png": "labels"})
    found = loading.load_splits(tmp_path)
    parts = [one.labels for (one,) in found.values()]
    assert [part.shape for part in parts] == [(24, 24), (24, 8), (24, 8)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1) > 0, LABELS > 0)
    assert [part.max() for part in parts] == [2, 1, 1]
    assert "the longer side of each is divided" in capsys.readouterr().out
    assert describe(found).startswith("train: 1 image")


def test_images_of_another_resolution_are_scaled_with_their_annotation(tmp_path):
    make(tmp_path, {"a.png": "image", "a_labels.png": "labels"})
    for mpp, side in ((0.5, 2), (0.24, 1), (0.125, 0.5)):
        make(tmp_path, {"samples.csv": f"name,mpp\na,{mpp}\n"})
        (sample,) = loading.load(tmp_path, "all")
        assert sample.image.shape == (24 * side, 40 * side, 3)
        assert sample.labels.shape == sample.mask.shape == sample.image.shape[:2]
        areas = np.bincount(LABELS.ravel()) * side**2
        np.testing.assert_allclose(np.bincount(sample.labels.ravel()), areas, rtol=0.1)
        dark = sample.image[..., 0] < 155
        assert (dark != sample.mask).mean() < 0.05


def test_the_file_of_an_image_says_its_resolution_unless_the_table_does(tmp_path):
    make(tmp_path, {"a.png": "image", "a_labels.png": "labels"})
    with Image.open(tmp_path / "a.png") as image:
        image.save(tmp_path / "a.png", dpi=(50_800, 50_800))  # 0.5 um per pixel
    (sample,) = loading.load(tmp_path, "all")
    assert sample.mask.shape == (48, 80)
    make(tmp_path, {"samples.csv": "name,mpp\na,0.25\n"})
    (sample,) = loading.load(tmp_path, "all")
    assert sample.mask.shape == (24, 40)


def test_folders_may_be_links_but_not_into_themselves(tmp_path, canonical):
    store, data = tmp_path / "store", tmp_path / "mydata"
    make(store, {"7/a.png": "image"})
    make(data, {"masks/a.png": "mask"})
    (data / "images").symlink_to(store / "7")
    for place, target in ((data / "masks", data), (store / "7", store), (store / "7", data)):
        (place / f"to {target.name}").symlink_to(target)
    found = folder.index(data)
    assert not found.problems
    assert [one.image for one in found.entries] == [data / "images" / "a.png"]
    (canonical / "Training").rename(tmp_path / "elsewhere")
    (canonical / "Training").symlink_to(tmp_path / "elsewhere")
    (canonical / "the same").symlink_to(canonical / "Training")
    assert loading.is_monuseg(canonical) and len(loading.load(canonical, "train")) == 2


def test_the_table_compares_names_as_files_do(tmp_path):
    """As written on another system: accents that macOS stores apart, and capital letters."""
    make(tmp_path, {f"images/{name}": "image" for name in ("Mu\u0308ller 1.png", "img1.PNG")})
    make(tmp_path, {f"masks/{name}": "mask" for name in ("M\u00fcller 1.png", "img1.png")})
    make(tmp_path, {"samples.csv": "name,patient\nM\u00fcller 1,A\nIMG1,B\n"})
    found = folder.index(tmp_path)
    assert not found.problems and [one.patient for one in found.entries] == ["A", "B"]


@pytest.mark.parametrize("empty", [",\n", ",\n,\n", ",,,\n", " ,\n\n"])
def test_empty_rows_of_a_spreadsheet_are_passed_over(tmp_path, empty):
    make(tmp_path, GOOD | {"samples.csv": "name,mpp\na,0.25\n" + empty})
    found = folder.index(tmp_path)
    assert not found.problems and found.entries[0].mpp == 0.25


def test_a_split_without_images_is_said(tmp_path):
    make(tmp_path, {f"test/{name}": kind for name, kind in GOOD.items()})
    with pytest.raises(InputError, match="has no train images: add a folder train/, or say in sam"):
        loading.load_splits(tmp_path)


def test_monuseg_is_known_by_its_names(canonical, tiny):
    assert loading.is_monuseg(None) and loading.is_monuseg(canonical)
    assert [one.organ for one in loading.load(canonical, "test")] == ["brain"]
    assert loading.source(canonical) == "MoNuSeg"
    make(canonical, {"Samples.csv": "name,group\n"})  # then it is a folder like others
    assert not loading.is_monuseg(canonical)
    assert len(loading.load(canonical, "all")) == len(tiny)
    assert loading.source(canonical) == "canonical"


def test_images_of_ones_own_beside_those_of_monuseg_are_read(tmp_path):
    names = "18-5592", "A7-A13E", "HE-7130", "HT-8564"  # two of train, one of val, one of test
    images = [f"TCGA-{name}-01Z-00-DX1" for name in names] + ["own0", "own1"]
    files = {f"TissueImages/{name}.png": "image" for name in images}
    make(tmp_path, files | {f"GroundTruth/{name}_bin_mask.png": "mask" for name in images})
    assert not loading.is_monuseg(tmp_path)
    places = {one.name: one.split for one in splits.complete(folder.index(tmp_path).entries)[0]}
    assert list(places.values()) == ["val", "test", *["train"] * 4]
    assert {"own0", "own1"} < places.keys()
    # Where folders name the splits, an image that MoNuSeg holds out may not be among the first.
    (tmp_path / "Training").mkdir()
    for kind in ("TissueImages", "GroundTruth"):
        (tmp_path / kind).rename(tmp_path / "Training" / kind)
    make(tmp_path, {"Test/TissueImages/b.png": "image", "Test/GroundTruth/b.png": "mask"})
    with pytest.raises(InputError, match="is of TCGA-H.*MoNuSeg, and is in train here"):
        loading.load_splits(tmp_path, ["train", "test"])


@pytest.mark.parametrize("layout", ["{}.geojson", "Annotations/{}.geojson"])
def test_images_of_monuseg_may_have_outlines_of_qupath(tmp_path, layout):
    name = "TCGA-18-5592-01Z-00-DX1"
    place = "TissueImages/" if "/" in layout else ""
    make(tmp_path, {f"{place}{name}.tif": "image"})
    ring = [[3, 2], [9, 2], [9, 8], [3, 8]]
    outlines = tmp_path / layout.format(name)
    outlines.parent.mkdir(exist_ok=True)
    outlines.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    (sample,) = loading.load(tmp_path, "all")
    np.testing.assert_array_equal(sample.labels, LABELS == 1)
    # Nor are they passed over because the mask of MoNuSeg is still there.
    make(tmp_path, {f"{'GroundTruth/' if place else ''}{name}_bin_mask.png": "mask"})
    with pytest.raises(InputError, match="has two annotations, .*geojson and .*keep one"):
        loading.load(tmp_path, "train")


def test_an_image_of_monuseg_and_its_mask_may_have_one_name(tmp_path, canonical):
    name = "TCGA-18-5592-01Z-00-DX1.png"
    make(tmp_path / "own", {f"images/{name}": "image", f"labels/{name}": "labels"})
    assert not loading.is_monuseg(tmp_path / "own")
    (sample,) = loading.load(tmp_path / "own", "all")
    assert sample.labels.max() == 2
    image = next((canonical / "Training" / "TissueImages").iterdir())
    (canonical / "Test" / "TissueImages" / image.name).write_bytes(image.read_bytes())
    with pytest.raises(InputError, match="same file"):
        loading.is_monuseg(canonical)
