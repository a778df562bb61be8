import shutil

import numpy as np
import pytest
from PIL import Image

from nuclei import dataset
from nuclei.files import InputError

FITTING = ["TCGA-18-5592-01Z-00-DX1", "TCGA-A7-A13E-01Z-00-DX1"]
VALIDATION = ["TCGA-HE-7130-01Z-00-DX1"]
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


def refused(folder, complaint, split="Test"):
    with pytest.raises(InputError, match=complaint) as caught:
        dataset.load(split, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_splits_are_the_published_ones():
    training, test = dataset.patients("Training"), dataset.patients("Test")
    fitting, validation = dataset.patients("Fitting"), dataset.patients("Validation")
    assert [len(split) for split in (training, fitting, validation, test)] == [30, 24, 6, 14]
    assert fitting | validation == training
    assert not fitting.keys() & validation.keys()
    assert not training.keys() & test.keys()
    assert tuple(validation) == dataset.VALIDATION_PATIENTS
    assert training["TCGA-18-5592"] == "lung" and test["TCGA-HT-8564"] == "brain"


def test_the_extra_seven_only_join_what_is_trained_on():
    assert len(dataset.patients("Training", extra=True)) == 37
    assert len(dataset.patients("Fitting", extra=True)) == 31
    assert len(dataset.patients("Validation", extra=True)) == 6
    assert len(dataset.patients("Test", extra=True)) == 14


def test_an_unknown_split_is_refused():
    with pytest.raises(InputError, match="choose one of Training, Fitting, Validation, Test"):
        dataset.load("training")


@pytest.mark.parametrize("layout", ["canonical", "unpacked", "zipped"])
def test_every_layout_gives_the_same_samples(layout, request, tiny):
    folder = request.getfixturevalue(layout)
    assert names(dataset.load("Training", folder)) == sorted(FITTING + VALIDATION)
    assert names(dataset.load("Fitting", folder)) == FITTING
    assert names(dataset.load("Validation", folder)) == VALIDATION
    assert names(dataset.load("Fitting", folder, extra=True)) == sorted(FITTING + EXTRA)
    (sample,) = dataset.load("Test", folder)
    expected = tiny[TEST[0]]
    assert (sample.name, sample.patient, sample.organ) == (TEST[0], "TCGA-HT-8564", "brain")
    dtypes = sample.image.dtype, sample.mask.dtype, sample.labels.dtype
    assert dtypes == (np.uint8, bool, np.int32)
    assert (sample.image == expected.image).all()
    assert (sample.labels == expected.labels).all()
    assert (sample.mask == (expected.labels > 0)).all()


def test_one_archive_or_one_unpacked_folder_will_do(zipped, unpacked):
    assert names(dataset.load("Test", zipped / "MoNuSegTestData.zip")) == TEST
    assert names(dataset.load("Test", unpacked / "MoNuSegTestData")) == TEST
    assert refused(zipped / "MoNuSegTestData.zip", "none of the 30 Training images", "Training")


def test_a_file_beside_an_archive_is_preferred(zipped, tiny):
    image = np.full_like(tiny[TEST[0]].image, 7)
    Image.fromarray(image).save(zipped / f"{TEST[0]}.tif")
    (sample,) = dataset.load("Test", zipped)
    assert (sample.image == 7).all()


def test_labels_come_before_xml_and_the_mask_is_the_ground_truth(one, tiny):
    _, mask, labels, folder = one
    xml = folder / "Test" / "Annotations" / f"{TEST[0]}.xml"
    xml.parent.mkdir()
    xml.write_text("not read while there are labels")
    Image.fromarray(np.eye(40, 48, dtype=np.uint8)).save(mask)
    (sample,) = dataset.load("Test", folder)
    assert (sample.labels == tiny[TEST[0]].labels).all()
    assert (sample.mask == np.eye(40, 48)).all()
    labels.unlink()
    xml.write_bytes(tiny[TEST[0]].xml)
    (sample,) = dataset.load("Test", folder)
    assert (sample.labels == tiny[TEST[0]].labels).all()


def test_a_mask_alone_has_no_labels(one, tiny):
    *_, labels, folder = one
    labels.unlink()
    (sample,) = dataset.load("Test", folder)
    assert sample.labels is None
    assert (sample.mask == (tiny[TEST[0]].labels > 0)).all()


def test_an_incomplete_split_is_said(canonical, capsys):
    dataset.load("Validation", canonical)
    assert "holds 1 of the 6 Validation images" in capsys.readouterr().out


def test_an_image_without_mask_is_refused(one):
    image, mask, labels, folder = one
    mask.unlink()
    labels.unlink()
    assert str(image) in refused(folder, "has no mask")


@pytest.mark.parametrize("which", [1, 2])
def test_a_mask_of_another_size_is_refused(one, which):
    Image.fromarray(np.ones((40, 47), np.uint8)).save(one[which])
    assert str(one[which]) in refused(one[-1], "40 x 47 pixels, but its image is 40 x 48")


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
    refused(tmp_path, "holds none of the 14 Test images")
    (tmp_path / "notes.txt").write_text("no archive")
    refused(tmp_path / "notes.txt", "not a complete zip archive")


def test_a_damaged_archive_is_refused(zipped, tiny):
    archive = zipped / "MoNuSegTestData.zip"
    data = bytearray(archive.read_bytes())
    data[200:220] = bytes(20)
    archive.write_bytes(data)
    assert f"{TEST[0]}.tif" in refused(zipped, "damaged in its archive")
    archive.write_bytes(data[:-30])
    assert "MoNuSegTestData.zip" in refused(zipped, "not a complete zip archive")


def test_find_prefers_the_environment_to_the_repository(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "FOLDER", tmp_path / "data")
    monkeypatch.setenv("MONUSEG_DIR", "")
    assert dataset.find() is None
    (tmp_path / "data").mkdir()
    assert dataset.find() == tmp_path / "data"
    monkeypatch.setenv("MONUSEG_DIR", "~/elsewhere")
    assert dataset.find().name == "elsewhere" and dataset.find().is_absolute()


def test_without_data_there_is_synthetic_tissue_and_a_sentence(tmp_path, monkeypatch, capsys):
    def tissue(seed):
        return np.full((8, 8, 3), seed, np.uint8), np.eye(8, dtype=np.int32)

    monkeypatch.delenv("MONUSEG_DIR", raising=False)
    monkeypatch.setattr(dataset, "FOLDER", tmp_path / "absent")
    monkeypatch.setattr(dataset.synthetic, "tissue", tissue)
    splits = {split: dataset.load(split) for split in dataset.SPLITS}
    assert "`python -m nuclei download`" in capsys.readouterr().out
    assert names(splits["Training"]) == names(splits["Fitting"]) + names(splits["Validation"])
    assert [len(splits[split]) for split in ("Fitting", "Validation", "Test")] == [3, 1, 2]
    assert not set(names(splits["Training"])) & set(names(splits["Test"]))
    assert len({sample.image[0, 0, 0] for sample in splits["Training"] + splits["Test"]}) == 6
    assert all((sample.mask == np.eye(8)).all() for sample in splits["Test"])


@pytest.mark.parametrize("split, images, nuclei", [("Training", 30, 16959), ("Test", 14, 6697)])
def test_the_real_data_set_is_complete(monuseg, split, images, nuclei, capsys):
    samples = dataset.load(split, monuseg)
    assert not capsys.readouterr().out
    assert len(samples) == images
    assert {sample.image.shape for sample in samples} == {(1000, 1000, 3)}
    assert sum(len(np.unique(sample.labels)) - 1 for sample in samples) == nuclei
    assert all(((sample.labels > 0) == sample.mask).all() for sample in samples)
