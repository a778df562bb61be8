"""One annotated image from its files, and splits that share no patient."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from nuclei.data.dataset import Sample, describe, read_sample
from nuclei.errors import InputError


def sample(patient, organ="colon", share=0.25):
    mask = np.arange(100).reshape(10, 10) < 100 * share
    return Sample(patient, patient, organ, np.zeros((10, 10, 3), np.uint8), mask, None)


def test_a_split_is_described_in_a_line():
    splits = {"train": [sample("a"), sample("b", "brain", 0.5)], "test": [sample("c")]}
    assert describe(splits).splitlines() == [
        "train: 2 images, 37.5% nuclei; brain, colon",
        "test: 1 image, 25.0% nuclei; colon",
    ]


def test_a_patient_in_two_splits_is_refused():
    splits = {"train": [sample("a"), sample("b")], "val": [sample("c"), sample("b")]}
    with pytest.raises(InputError, match="Patient b is in train and in val: keep all images"):
        describe(splits)


def test_two_images_of_a_patient_may_be_in_one_split():
    assert describe({"train": [sample("a"), sample("a")]}).startswith("train: 2 images")


def test_any_files_make_a_sample(tmp_path):
    labels = np.zeros((6, 5), np.uint16)
    labels[1:3, 1:4], labels[4:, 2:] = 1, 300
    Image.new("RGB", (5, 6), (200, 100, 150)).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(labels).save(tmp_path / "b.png")
    found = read_sample("a", "someone", "skin", tmp_path / "a.jpg", labels=tmp_path / "b.png")
    assert (found.name, found.patient, found.organ) == ("a", "someone", "skin")
    numbered = np.minimum(labels, 2).astype(np.int32)  # without gaps, whatever the file has
    np.testing.assert_array_equal(found.labels, numbered, strict=True)
    tifffile.imwrite(tmp_path / "c.tif", np.where(labels == 300, 2**31 - 1, labels))
    found = read_sample("a", "someone", "skin", tmp_path / "a.jpg", labels=tmp_path / "c.tif")
    np.testing.assert_array_equal(found.labels, numbered, strict=True)
    np.testing.assert_array_equal(found.mask, labels > 0, strict=True)
    with pytest.raises(InputError, match=r"a.jpg has no mask: add a_bin_mask.png"):
        read_sample("a", "someone", "skin", tmp_path / "a.jpg")


@pytest.fixture
def tissue():
    """Dark nuclei on light tissue, and where they are."""
    y, x = np.mgrid[:64, :64]
    nuclei = ((y - 20) ** 2 + (x - 24) ** 2 < 90) | ((y - 44) ** 2 + (x - 40) ** 2 < 120)
    return np.where(nuclei[..., None], (90, 60, 130), (220, 170, 200)).astype(np.uint8), nuclei


def saved(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def test_a_mask_that_went_through_jpeg_is_the_same_mask(tmp_path, tissue):
    image, nuclei = tissue
    mask = saved(tmp_path / "mask.jpg", np.uint8(255) * nuclei, quality=75)
    assert ((np.asarray(Image.open(mask)) > 0) != nuclei).sum() > 100
    found = read_sample("a", "a", "skin", saved(tmp_path / "a.png", image), mask)
    np.testing.assert_array_equal(found.mask, nuclei, strict=True)
    assert found.labels is None


def test_an_inverted_mask_is_said(tmp_path, tissue, capsys):
    pixels, nuclei = tissue
    image = saved(tmp_path / "a.png", pixels)
    upright = saved(tmp_path / "upright.png", np.uint8(255) * nuclei)
    inverted = saved(tmp_path / "inverted.png", np.uint8(255) * ~nuclei)
    for mask in (nuclei & False, nuclei | True):  # no nucleus, and nothing else
        read_sample("a", "a", "skin", image, saved(tmp_path / "plain.png", np.uint8(255) * mask))
    read_sample("a", "a", "skin", image, upright)
    assert capsys.readouterr() == ("", "")
    np.testing.assert_array_equal(read_sample("a", "a", "skin", image, inverted).mask, ~nuclei)
    output, errors = capsys.readouterr()
    assert not errors and output == (
        f"{inverted} marks what is lighter than the rest of {image}: check that it is not inverted "
        "and belongs to this image.\n"
    )


def test_a_black_border_is_not_taken_for_nuclei(tmp_path, tissue, capsys):
    border = (0, 64), (0, 64)
    pixels, nuclei = np.pad(tissue[0], (*border, (0, 0))), np.pad(tissue[1], border)
    image = saved(tmp_path / "a.png", pixels)
    read_sample("a", "a", "skin", image, saved(tmp_path / "mask.png", np.uint8(255) * nuclei))
    assert capsys.readouterr() == ("", "")
    inverted = saved(tmp_path / "inverted.png", np.uint8(255) * ~nuclei)
    read_sample("a", "a", "skin", image, inverted)
    assert "inverted.png marks what is lighter" in capsys.readouterr().out


def test_image_mask_and_labels_lie_as_viewers_show_them(tmp_path, tissue):
    pixels, nuclei = tissue[0][:50], tissue[1][:50]
    exif = Image.Exif()
    exif[274] = 6  # the camera was turned by a quarter
    image = saved(tmp_path / "a.png", np.ascontiguousarray(np.rot90(pixels)), exif=exif)
    mask = saved(tmp_path / "mask.png", np.uint8(255) * nuclei)
    found = read_sample("a", "a", "skin", image, mask)
    np.testing.assert_array_equal(found.image, pixels)
    with pytest.raises(InputError, match="is 50 x 64 pixels, but its image is 64 x 50"):
        turned = saved(tmp_path / "turned.png", np.uint8(255) * nuclei.T)
        read_sample("a", "a", "skin", image, turned)


def test_what_is_no_mask_or_no_label_image_is_refused(tmp_path, tissue):
    pixels, nuclei = tissue
    image = saved(tmp_path / "a.png", pixels)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    with pytest.raises(InputError, match="noise.png has more than two greys, so nuclei"):
        read_sample("a", "a", "skin", image, mask=saved(tmp_path / "noise.png", noise))
    with pytest.raises(InputError, match="mask.png gives many nuclei the same number"):
        mask = saved(tmp_path / "mask.png", np.uint8(255) * nuclei)
        read_sample("a", "a", "skin", image, labels=mask)
