"""Altered images are paler, darker, softer or coarser; what is annotated stays."""

import re

import numpy as np
import pytest

from nuclei.__main__ import main
from nuclei.data import synthetic
from nuclei.data.alterations import ALTERATIONS, altered, with_altered
from nuclei.data.dataset import Sample
from nuclei.data.patch_files import Patches, cut_all
from nuclei.data.stains import optical_density

IMAGE, LABELS = synthetic.tissue(seed=3, shape=(96, 96))
SAMPLE = Sample("one", "one", "", IMAGE, LABELS > 0, LABELS)


@pytest.mark.parametrize("name", ALTERATIONS)
def test_the_image_changes_and_the_annotation_stays(name):
    before = IMAGE.copy()
    (found,) = altered([SAMPLE], name)
    assert found.image.dtype == np.uint8 and found.image.shape == IMAGE.shape
    assert (found.image != IMAGE).mean() > 0.3
    assert found.mask is SAMPLE.mask and found.labels is LABELS
    np.testing.assert_array_equal(IMAGE, before)


@pytest.mark.parametrize(("name", "strength"), [("pale", 0.5), ("dark", 1.5)])
def test_stain_becomes_weaker_or_stronger_and_glass_stays_white(name, strength):
    expected = strength * optical_density(IMAGE)
    found = optical_density(ALTERATIONS[name](IMAGE))
    light = expected < 1.5  # darker pixels are rounded too coarsely
    np.testing.assert_allclose(found[light], expected[light], atol=0.02)
    white = np.full((4, 4, 3), 255, np.uint8)
    np.testing.assert_array_equal(ALTERATIONS[name](white), white)


def steps(image):
    """Mean difference between each row and the next."""
    return np.abs(np.diff(image.astype(float), axis=0)).mean((1, 2))


def test_blur_loses_detail_and_compression_shows_its_blocks_but_colours_stay():
    blurred, jpeg = ALTERATIONS["blurred"](IMAGE), ALTERATIONS["jpeg"](IMAGE)
    assert steps(blurred).mean() < 0.7 * steps(IMAGE).mean()
    gain = steps(jpeg) - steps(IMAGE)
    assert gain[7::8].mean() > np.delete(gain, np.s_[7::8]).mean() + 1
    for found in (blurred, jpeg):
        np.testing.assert_allclose(found.mean((0, 1)), IMAGE.mean((0, 1)), atol=2)


def test_the_command_line_knows_all_alterations(capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", "unet", "--alter", "purple"])
    choices = capsys.readouterr().err.partition("choose from")[2]
    assert re.findall(r"\w+", choices) == [*ALTERATIONS]


@pytest.mark.parametrize("labelled", [True, False])
def test_each_patch_is_added_once_more_and_the_alterations_take_turns(labelled):
    sample = SAMPLE if labelled else Sample("one", "one", "", IMAGE, LABELS > 0, None)
    before = cut_all([sample], size=32, stride=16)
    found, count = with_altered(before), len(before.names)
    assert isinstance(found, Patches) and found.names == before.names * 2
    np.testing.assert_array_equal(found.images[:count], before.images)
    changes = [*ALTERATIONS.values()]
    for i, image in enumerate(before.images):
        np.testing.assert_array_equal(found.images[count + i], changes[i % 4](image))
    np.testing.assert_array_equal(found.masks, np.concatenate([before.masks, before.masks]))
    if labelled:
        np.testing.assert_array_equal(found.labels[count:], before.labels)
    else:
        assert found.labels is None
