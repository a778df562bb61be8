"""One annotated image from its files, and splits that share no patient."""

import numpy as np
import pytest
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
    np.testing.assert_array_equal(found.labels, labels.astype(np.int32), strict=True)
    np.testing.assert_array_equal(found.mask, labels > 0, strict=True)
    with pytest.raises(InputError, match=r"a.jpg has no mask: add a_bin_mask.png"):
        read_sample("a", "someone", "skin", tmp_path / "a.jpg")
