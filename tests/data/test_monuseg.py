import shutil

import numpy as np
import pytest
from PIL import Image

from nuclei.data import monuseg
from nuclei.errors import InputError

TRAIN = ["TCGA-18-5592-01Z-00-DX1", "TCGA-A7-A13E-01Z-00-DX1"]
VAL = ["TCGA-HE-7130-01Z-00-DX1"]
EXTRA = ["TCGA-FG-A87N-01Z-00-DX1"]
TEST = ["TCGA-HT-8564-01Z-00-DX1"]


def names(samples):
    return [sample.name for sample in samples]


@pytest.fixture
def one(canonical):
    """Paths of the image, mask and labels of the only test image, and their folder."""
    folder = canonical / "Test"
    return (
        folder / "TissueImages" / f"{TEST[0]}.tif",
        folder / "GroundTruth" / f"{TEST[0]}_bin_mask.png",
        folder / "Labels" / f"{TEST[0]}_labels.png",
        canonical,
    )


def refused(folder, complaint, split="test"):
    with pytest.raises(InputError, match=complaint) as caught:
        monuseg.load(split, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_splits_are_the_published_ones():
    trainval, test = monuseg.patients("trainval"), monuseg.patients("test")
    train, val = monuseg.patients("train"), monuseg.patients("val")
    assert [len(split) for split in (trainval, train, val, test)] == [30, 24, 6, 14]
    assert train | val == trainval
    assert not train.keys() & val.keys()
    assert not trainval.keys() & test.keys()
    assert tuple(val) == monuseg.VAL_PATIENTS
    assert trainval["TCGA-18-5592"] == "lung" and test["TCGA-HT-8564"] == "brain"


def test_the_extra_seven_only_join_what_is_trained_on():
    assert len(monuseg.patients("trainval", extra=True)) == 37
    assert len(monuseg.patients("train", extra=True)) == 31
    assert len(monuseg.patients("val", extra=True)) == 6
    assert len(monuseg.patients("test", extra=True)) == 14


def test_an_unknown_split_is_refused():
    with pytest.raises(InputError, match="choose one of train, val, trainval, test"):
        monuseg.load("Training")


@pytest.mark.parametrize("layout", ["canonical", "unpacked", "zipped"])
def test_every_layout_gives_the_same_samples(layout, request, tiny):
    folder = request.getfixturevalue(layout)
    assert names(monuseg.load("trainval", folder)) == sorted(TRAIN + VAL)
    assert names(monuseg.load("train", folder)) == TRAIN
    assert names(monuseg.load("val", folder)) == VAL
    assert names(monuseg.load("train", folder, extra=True)) == sorted(TRAIN + EXTRA)
    (sample,) = monuseg.load("test", folder)
    expected = tiny[TEST[0]]
    assert (sample.name, sample.patient, sample.organ) == (TEST[0], "TCGA-HT-8564", "brain")
    dtypes = sample.image.dtype, sample.mask.dtype, sample.labels.dtype
    assert dtypes == (np.uint8, bool, np.int32)
    assert (sample.image == expected.image).all()
    assert (sample.labels == expected.labels).all()
    assert (sample.mask == (expected.labels > 0)).all()


@pytest.mark.parametrize("suffix", [".png", ".TIF", ".tiff", ".Tiff", ".jpg", ".JPEG"])
@pytest.mark.parametrize("packed", [False, True])
def test_images_may_be_saved_in_another_format(one, tiny, suffix, packed):
    image, mask, labels, folder = one
    pixels = tiny[TEST[0]].image
    image.unlink()
    copy = image.with_suffix(suffix)
    Image.fromarray(pixels).save(copy, **({"quality": 95} if suffix in (".jpg", ".JPEG") else {}))
    if packed:
        archive = shutil.make_archive(folder.parent / "packed", "zip", folder)
        folder = shutil.move(archive, folder.parent / "PACKED.ZIP")
    (sample,) = monuseg.load("test", folder)
    assert sample.image.shape == pixels.shape
    if suffix not in (".jpg", ".JPEG"):
        assert (sample.image == pixels).all()


@pytest.mark.parametrize("which, suffix", [(1, ".TIF"), (1, ".jpg"), (1, ".PNG"), (2, ".tiff")])
def test_masks_and_labels_may_be_too(one, tiny, which, suffix):
    path, labels = one[which], tiny[TEST[0]].labels
    with Image.open(path) as picture:
        picture.save(path.with_suffix(suffix))
    if suffix != ".PNG":
        path.unlink()
    elif path.exists():
        path.rename(path.with_suffix(suffix))
    (sample,) = monuseg.load("test", one[-1])
    assert (sample.labels == labels).all()
    assert ((sample.mask != (labels > 0)).mean()) < (0.01 if suffix == ".jpg" else 1e-9)


def test_of_several_formats_that_of_monuseg_is_preferred(one, tiny):
    image, mask, labels, folder = one
    for suffix in (".png", ".jpg"):
        Image.new("RGB", (48, 40)).save(image.with_suffix(suffix))
        Image.new("L", (48, 40)).save(folder / mask.with_suffix(".tif").name)
    (sample,) = monuseg.load("test", folder)
    assert (sample.image == tiny[TEST[0]].image).all() and sample.mask.any()
    image.unlink()
    assert not monuseg.load("test", folder)[0].image.any()
    Image.new("RGB", (48, 40)).save(image.with_suffix(".jpeg"))  # as much as .jpg
    assert not monuseg.load("test", folder)[0].image.any()
    image.with_suffix(".png").unlink()
    refused(folder, "the same file of MoNuSeg: keep only one")


def test_one_archive_or_one_unpacked_folder_will_do(zipped, unpacked):
    assert names(monuseg.load("test", zipped / "MoNuSegTestData.zip")) == TEST
    assert names(monuseg.load("test", unpacked / "MoNuSegTestData")) == TEST
    assert refused(zipped / "MoNuSegTestData.zip", "none of the 30 trainval images", "trainval")


def test_a_file_beside_an_archive_is_preferred(zipped, tiny):
    image = np.full_like(tiny[TEST[0]].image, 7)
    Image.fromarray(image).save(zipped / f"{TEST[0]}.tif")
    (sample,) = monuseg.load("test", zipped)
    assert (sample.image == 7).all()


def test_labels_come_before_xml_and_the_mask_is_the_ground_truth(one, tiny):
    _, mask, labels, folder = one
    xml = folder / "Test" / "Annotations" / f"{TEST[0]}.xml"
    xml.parent.mkdir()
    xml.write_text("not read while there are labels")
    Image.fromarray(np.eye(40, 48, dtype=np.uint8)).save(mask)
    (sample,) = monuseg.load("test", folder)
    assert (sample.labels == tiny[TEST[0]].labels).all()
    assert (sample.mask == np.eye(40, 48)).all()
    labels.unlink()
    xml.write_bytes(tiny[TEST[0]].xml)
    (sample,) = monuseg.load("test", folder)
    assert (sample.labels == tiny[TEST[0]].labels).all()


def test_a_mask_alone_has_no_labels(one, tiny):
    *_, labels, folder = one
    labels.unlink()
    (sample,) = monuseg.load("test", folder)
    assert sample.labels is None
    assert (sample.mask == (tiny[TEST[0]].labels > 0)).all()


def test_an_incomplete_split_is_said(canonical, capsys):
    monuseg.load("val", canonical)
    assert "contains only 1 of the 6 val images" in capsys.readouterr().out


def test_an_image_without_mask_is_refused(one):
    image, mask, labels, folder = one
    mask.unlink()
    labels.unlink()
    assert str(image) in refused(folder, "has no mask")


@pytest.mark.parametrize("which", [1, 2])
def test_a_mask_of_another_size_is_refused(one, which):
    Image.fromarray(np.ones((40, 47), np.uint8)).save(one[which])
    assert str(one[which]) in refused(one[-1], "47 x 40 pixels, but its image is 48 x 40")


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_file_cut_short_is_refused(one, which):
    data = one[which].read_bytes()
    one[which].write_bytes(data[: len(data) // 2])
    assert one[which].name in refused(one[-1], "damaged or cut short|not an image")


def test_an_empty_annotation_is_refused(unpacked):
    (unpacked / "MoNuSegTestData" / f"{TEST[0]}.xml").write_text("<Annotations/>")
    refused(unpacked, "outlines no nucleus")


def test_the_same_image_twice_is_refused(one):
    image, *_, folder = one
    shutil.copy(image, folder)
    refused(folder, "the same file of MoNuSeg: keep only one")


def test_no_data_set_is_refused(tmp_path):
    refused(tmp_path / "absent", "absent does not exist")
    refused(tmp_path, "contains none of the 14 test images")
    (tmp_path / "notes.txt").write_text("no archive")
    refused(tmp_path / "notes.txt", "not a complete zip archive")


def test_a_damaged_archive_is_refused(zipped):
    archive = zipped / "MoNuSegTestData.zip"
    data = bytearray(archive.read_bytes())
    data[200:220] = bytes(20)
    archive.write_bytes(data)
    assert f"{TEST[0]}.tif" in refused(zipped, "damaged in its archive")
    archive.write_bytes(data[:-30])
    assert "MoNuSegTestData.zip" in refused(zipped, "not a complete zip archive")


def test_find_prefers_the_environment_to_the_repository(tmp_path, monkeypatch):
    monkeypatch.setattr(monuseg, "FOLDER", tmp_path / "data")
    monkeypatch.setenv("MONUSEG_DIR", "")
    assert monuseg.find() is None
    (tmp_path / "data").mkdir()
    assert monuseg.find() == tmp_path / "data"
    monkeypatch.setenv("MONUSEG_DIR", "~/elsewhere")
    assert monuseg.find().name == "elsewhere" and monuseg.find().is_absolute()


def test_without_data_there_is_synthetic_tissue_and_a_sentence(tmp_path, monkeypatch, capsys):
    def tissue(seed):
        return np.full((8, 8, 3), seed, np.uint8), np.eye(8, dtype=np.int32)

    monkeypatch.delenv("MONUSEG_DIR", raising=False)
    monkeypatch.setattr(monuseg, "FOLDER", tmp_path / "absent")
    monkeypatch.setattr(monuseg.synthetic, "tissue", tissue)
    splits = {split: monuseg.load(split) for split in monuseg.SPLITS}
    assert "`python -m nuclei download`" in capsys.readouterr().out
    assert names(splits["trainval"]) == names(splits["train"]) + names(splits["val"])
    assert [len(splits[split]) for split in ("train", "val", "test")] == [3, 1, 2]
    assert not set(names(splits["trainval"])) & set(names(splits["test"]))
    assert len({sample.image[0, 0, 0] for sample in splits["trainval"] + splits["test"]}) == 6
    assert all((sample.mask == np.eye(8)).all() for sample in splits["test"])


@pytest.mark.parametrize("split, images, nuclei", [("trainval", 30, 16959), ("test", 14, 6697)])
def test_the_real_data_set_is_complete(monuseg_folder, split, images, nuclei, capsys):
    samples = monuseg.load(split, monuseg_folder)
    assert not capsys.readouterr().out
    assert len(samples) == images
    assert {sample.image.shape for sample in samples} == {(1000, 1000, 3)}
    assert sum(len(np.unique(sample.labels)) - 1 for sample in samples) == nuclei
    assert all(((sample.labels > 0) == sample.mask).all() for sample in samples)
    for sample in samples:
        folder = monuseg_folder / ("Test" if split == "test" else "Training")
        with Image.open(folder / "GroundTruth" / f"{sample.name}_bin_mask.png") as picture:
            np.testing.assert_array_equal(sample.mask, np.asarray(picture) > 0, strict=True)
        with Image.open(folder / "Labels" / f"{sample.name}_labels.png") as picture:
            np.testing.assert_array_equal(sample.labels, np.asarray(picture))
