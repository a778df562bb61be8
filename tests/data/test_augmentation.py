"""Augmentation: image and mask stay together, and stains add up."""

import numpy as np
import pytest
from tiny_images import NOTHING, STILL, as_image, blobs, generator, noise

from nuclei.data.augmentation import augment, move, perturb_stain
from nuclei.data.stains import STAINS


class Strengths:
    """Stands in for a generator: draws the three strengths of the stains, then no offsets."""

    def __init__(self, *strengths):
        self.draws = [np.array(strengths), np.zeros(3), 0.0]

    def uniform(self, low, high, size=None):
        return self.draws.pop(0)


def density(image):
    """Optical density of an image with values 0..255."""
    return -np.log((image.astype(np.float64) + 1) / 256)


def ramp(size, darkest=0):
    """An image whose grey level is its row, and a mask without nuclei."""
    rows = np.arange(darkest, darkest + size, dtype=np.uint8)
    return np.tile(rows[:, None, None], (1, size, 3)), np.zeros((size, size), bool)


def turning_points(image):
    """Whether a patch of a ramp goes up and down: what a mirrored border shows."""
    steps = (np.diff(image.astype(int), axis=axis) for axis in (0, 1))
    return any(step.min() < 0 < step.max() for step in steps)


def moved(mask, seed=0, corner=(0, 0), size=None, **movement):
    """A variant of the mask, and of the image that is its own mask."""
    movement = STILL | movement
    return move(as_image(mask), mask, generator(seed), corner, size or len(mask), **movement)


class TestMove:
    def test_image_and_mask_stay_aligned(self):
        for seed in range(40):
            image, mask = moved(blobs(), seed, shift=16, turn=45, scale=0.25)
            # Only pixels that a border crosses are grey, and only there the two may differ.
            assert ((image[..., 0] > 127) != mask).mean() < 0.01
            assert mask[image[..., 0] == 255].all() and not mask[image[..., 0] == 0].any()

    def test_all_flips_and_turns_come_and_are_exact(self):
        image, mask = noise(), blobs(32)
        turned = [np.rot90(image, turns)[:, ::step] for turns in range(4) for step in (1, -1)]
        counts = np.zeros(8, int)
        for seed in range(400):
            variant, variant_mask = augment(image, mask, generator(seed), size=32, **NOTHING)
            which = [np.array_equal(variant, one) for one in turned].index(True)
            counts[which] += 1
            flipped = np.rot90(mask, which // 2)[:, :: (1, -1)[which % 2]]
            np.testing.assert_array_equal(variant_mask, flipped)
        assert counts.min() >= 30  # 50 each on average, 5 standard deviations are 33

    def test_a_patch_is_cut_at_its_corner(self):
        image, mask = noise(100), blobs(100)
        patch, patch_mask = image[20:52, 60:92], mask[20:52, 60:92]
        variants = [
            augment(image, mask, generator(seed), (20, 60), 32, **NOTHING) for seed in range(40)
        ]
        (found,) = [v for v in variants if np.array_equal(v[0], patch)][:1]
        np.testing.assert_array_equal(found[1], patch_mask)

    def test_it_shifts_by_no_more_than_asked(self):
        dot = np.zeros((129, 129), bool)
        dot[63:66, 63:66] = True
        shifts = []
        for seed in range(200):
            _, mask = moved(dot, seed, corner=(32, 32), size=65, shift=10)
            shifts.append(np.mean(np.nonzero(mask), axis=1) - 32)
        assert np.abs(shifts).max() <= 10.5
        assert np.min(shifts) < -8 and np.max(shifts) > 8

    def test_it_scales_by_no_more_than_asked_up_and_down_alike(self):
        square = np.zeros((128, 128), bool)
        square[44:84, 44:84] = True
        areas = [moved(square, seed, scale=0.25)[1].sum() for seed in range(200)]
        factors = np.sqrt(np.array(areas) / 40**2)
        assert 0.77 < factors.min() < 0.83 and 1.2 < factors.max() < 1.28
        assert abs(np.log(factors).mean()) < 0.03

    def test_it_turns_by_all_angles_alike(self):
        bar = np.zeros((129, 129), bool)
        bar[62:67, 64:120] = True
        angles = []
        for seed in range(400):
            y, x = np.nonzero(moved(bar, seed, turn=45)[1])
            angles.append(np.arctan2(y.mean() - 64, x.mean() - 64))
        # Over eight sectors that begin half-way between the quarters: 50 each on average.
        counts, _ = np.histogram(np.rad2deg(angles) % 360, bins=8, range=(0, 360))
        assert counts.min() >= 30

    def test_what_comes_into_view_is_the_tissue_beside_the_patch(self):
        for seed in range(40):
            image, _ = move(*ramp(256), generator(seed), (96, 96), 64, 30, 45, 0.25)
            assert not turning_points(image)

    @pytest.mark.parametrize(("corner", "edge"), [((0, 64), 0), ((192, 64), 255), ((204, 0), 255)])
    def test_at_the_border_it_stays_within_the_image_and_reaches_its_edge(self, corner, edge):
        distances = []
        for seed in range(60):
            image, _ = move(*ramp(256), generator(seed), corner, 64, 30, 0, 0.25)
            assert not turning_points(image)
            distances.append(np.abs(image.astype(int) - edge).min())
        assert min(distances) == 0

    def test_beyond_the_border_it_mirrors(self):
        # An image that is too small shows no black and no jump, only its own grey levels.
        for seed in range(20):
            image, _ = move(*ramp(64, 100), generator(seed), (0, 0), 90, 30, 0, 0)
            assert turning_points(image)
            assert image.shape == (90, 90, 3) and image.min() >= 100
            steps = [np.abs(np.diff(image.astype(int), axis=axis)).max() for axis in (0, 1)]
            assert max(steps) <= 1


class TestPerturbStain:
    def test_no_strength_changes_nothing(self):
        image = np.concatenate([noise(), np.full((1, 32, 3), 0), np.full((1, 32, 3), 255)])
        image = image.astype(np.uint8)
        np.testing.assert_array_equal(perturb_stain(image, generator(), 0, 0, 0), image)

    def test_glass_has_no_stain_to_strengthen(self):
        white = np.full((4, 4, 3), 255, np.uint8)
        for seed in range(20):
            np.testing.assert_array_equal(perturb_stain(white, generator(seed), 0.25, 0, 0), white)

    def test_a_tint_shifts_all_tissue_by_one_mixture_of_stains(self):
        image = np.array([[[120, 60, 180], [200, 150, 190]]], np.uint8)
        for seed in range(10):
            moved = density(perturb_stain(image, generator(seed), 0, 0.1, 0)) - density(image)
            np.testing.assert_allclose(moved[0, 0], moved[0, 1], atol=0.02)
            amounts = moved[0, 0] @ np.linalg.inv(STAINS)
            assert 0 < np.abs(amounts).max() < 0.13  # 0.1, and the rounding to 8 bits

    @pytest.mark.parametrize("stain", range(3))
    @pytest.mark.parametrize("strength", [0.6, 1.4])
    def test_a_stain_moves_along_its_own_vector(self, stain, strength):
        amounts = np.full(3, 0.4)
        image = np.clip(256 * np.exp(-amounts @ STAINS) - 1, 0, 255).round().astype(np.uint8)
        strengths = np.ones(3)
        strengths[stain] = strength
        changed = perturb_stain(image[None, None], Strengths(*strengths))[0, 0]
        moved = density(changed) - density(image)
        expected = (strength - 1) * amounts[stain] * STAINS[stain]
        np.testing.assert_allclose(moved, expected, atol=0.015)  # two roundings to 8 bits

    def test_what_gets_lighter_than_white_is_white(self):
        image = np.full((2, 2, 3), 250, np.uint8)
        brightest = max(
            perturb_stain(image, generator(seed), 0, 0, 0.3).max() for seed in range(20)
        )
        assert brightest == 255

    def test_brightness_shifts_all_densities_alike(self):
        image = np.array([[[120, 60, 180]]], np.uint8)
        for seed in range(10):
            moved = density(perturb_stain(image, generator(seed), 0, 0, 0.2)) - density(image)
            assert np.ptp(moved) < 0.02 and np.abs(moved).max() < 0.21
            assert np.abs(moved).max() > 0


def test_blur_comes_in_half_of_the_variants_and_leaves_the_mask():
    image, mask = noise(), blobs(32)
    roughness = []
    for seed in range(100):
        blurred, kept = augment(image, mask, generator(seed), size=32, **NOTHING | {"blur": 3.0})
        assert kept.sum() == mask.sum()
        roughness.append(np.abs(np.diff(blurred.astype(float), axis=0)).mean())
    untouched = np.abs(np.diff(image.astype(float), axis=0)).mean()
    assert 30 < np.sum(np.array(roughness) < 0.9 * untouched) < 70


def test_masks_and_images_keep_their_types_and_are_not_written_to():
    image, mask = noise(), blobs(32)
    image.flags.writeable = mask.flags.writeable = False
    variant, variant_mask = augment(image, mask, generator(), size=32)
    assert (variant.dtype, variant.shape) == (np.uint8, image.shape)
    assert (variant_mask.dtype, variant_mask.shape) == (bool, mask.shape)


def test_compression_comes_in_half_of_the_variants_when_asked_for():
    image, mask = noise(64), noise(64)[..., 0] > 127
    different = []
    for seed in range(40):
        plain, _ = augment(image, mask, generator(seed), size=32, **NOTHING)
        packed, kept = augment(image, mask, generator(seed), size=32, **NOTHING, jpeg=30)
        np.testing.assert_array_equal(
            kept, augment(image, mask, generator(seed), size=32, **NOTHING)[1]
        )
        different.append(not np.array_equal(packed, plain))
    assert 8 < sum(different) < 32


def test_labels_move_as_their_mask_and_are_not_interpolated():
    labels = np.zeros((64, 64), np.int32)
    labels[8:30, 8:30], labels[30:50, 20:60] = 70_001, 3
    for seed in range(5):
        moved = augment(noise(64), labels, generator(seed), size=32)[1]
        mask = augment(noise(64), labels > 0, generator(seed), size=32)[1]
        assert moved.dtype == np.int32 and set(np.unique(moved)) <= {0, 3, 70_001}
        np.testing.assert_array_equal(moved > 0, mask)
