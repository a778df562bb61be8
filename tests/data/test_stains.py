"""Stains: density and light are inverse, and an image takes the stains of another."""

import numpy as np
import pytest
from tiny_images import NOTHING, generator

from nuclei.data import synthetic
from nuclei.data.augmentation import augment
from nuclei.data.batches import AugmentedBatches
from nuclei.data.stains import STAINS, optical_density, restain, style, transmitted

WEAK = {"stain": 0, "tint": 0, "brightness": 0, "blur": 0}
IMAGE = synthetic.tissue(seed=3, shape=(160, 160))[0]
OTHER = transmitted(0.6 * optical_density(synthetic.tissue(seed=4, shape=(160, 160))[0]) + 0.05)


def test_light_is_the_inverse_of_density():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    np.testing.assert_array_equal(transmitted(optical_density(values)), values)
    assert (transmitted(np.full((2, 2, 3), -1.0)) == 255).all()
    assert (transmitted(np.full((2, 2, 3), 9.0)) == 0).all()


def test_the_style_is_that_of_the_stained_pixels():
    amounts = np.array([[0.9, 0.3, 0.1], [0.5, 0.7, 0.0]])
    stained = transmitted((amounts @ STAINS)[None].repeat(8, axis=0))
    glass = np.full((8, 30, 3), 255, np.uint8)
    found = style(np.concatenate([stained, glass], axis=1))
    np.testing.assert_allclose(found.mean, amounts.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(found.deviation[:2], amounts.std(axis=0)[:2], atol=0.02)
    assert style(glass) is None


def test_an_image_takes_the_stains_of_another_and_glass_stays_light():
    own, other = style(IMAGE), style(OTHER)
    found = restain(IMAGE, own, other)
    assert found.dtype == np.uint8 and found.shape == IMAGE.shape
    before, after = (np.abs(one.mean - other.mean).max() for one in (own, style(found)))
    assert after < 0.3 * before
    same = restain(IMAGE, own, own).astype(int)
    assert np.abs(same - IMAGE).max() <= 1


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_a_share_of_the_patches_gets_the_stains_of_another_image(share):
    images, masks = [IMAGE, OTHER], [IMAGE[..., 0] < 100, OTHER[..., 0] < 100]
    make = {"batch_size": 10, "seed": 0, "size": 64, "stride": 48, "swap": share, **WEAK}
    batches, again = (AugmentedBatches(images, masks, **make) for _ in range(2))
    np.testing.assert_array_equal(again[3][0], batches[3][0])
    drawn = [batches._swapped(1, np.random.default_rng(seed)) for seed in range(40)]
    assert all(styles is None or styles[0] is batches.styles[1] for styles in drawn)
    assert sum(styles is not None for styles in drawn) == pytest.approx(40 * share, abs=8)
    # Half of those that are drawn get their own.
    others = sum(styles is not None and styles[1] is not styles[0] for styles in drawn)
    assert others == pytest.approx(20 * share, abs=8)


def test_a_patch_gets_the_stains_of_the_other_image():
    mask, styles = IMAGE[..., 0] < 100, (style(IMAGE), style(OTHER))
    plain, swapped = (
        augment(IMAGE, mask, generator(), size=160, styles=given, **NOTHING)[0]
        for given in (None, styles)
    )
    np.testing.assert_array_equal(swapped, restain(plain, *styles))
    assert np.abs(swapped.astype(int) - plain).mean() > 10


def test_glass_has_no_stains_to_swap():
    glass = np.full((64, 64, 3), 255, np.uint8)
    mask = np.zeros((64, 64), bool)
    batches = AugmentedBatches([glass], [mask], 1, 0, size=64, stride=64, swap=1.0, **WEAK)
    assert (batches[0][0] == 255).all()
