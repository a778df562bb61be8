"""Augmentation: image and mask stay together, stains add up, batches depend on their number."""

import numpy as np
import pytest

from nuclei.data import patches
from nuclei.data.augmentation import AugmentedBatches, augment, move, perturb_stain
from nuclei.data.stains import STAINS
from nuclei.errors import InputError

STILL = {"shift": 0, "turn": 0, "scale": 0}
UNSTAINED = {"stain": 0, "tint": 0, "brightness": 0, "blur": 0}
NOTHING = STILL | UNSTAINED


class Strengths:
    """Stands in for a generator: draws the three strengths of the stains, then no offsets."""

    def __init__(self, *strengths):
        self.draws = [np.array(strengths), np.zeros(3), 0.0]

    def uniform(self, low, high, size=None):
        return self.draws.pop(0)


def generator(seed=0):
    return np.random.default_rng(seed)


def noise(size=32):
    return generator().integers(0, 256, (size, size, 3), np.uint8)


def blobs(size=64):
    """A mask of a few discs, no two alike, so that every flip and turn of it differs."""
    y, x = np.mgrid[:size, :size] / size
    discs = [(0.3, 0.2, 0.15), (0.7, 0.35, 0.1), (0.5, 0.8, 0.17)]
    return np.any([np.hypot(y - a, x - b) < radius for a, b, radius in discs], axis=0)


def as_image(mask):
    """An image that is its own mask: white inside nuclei, black outside."""
    return np.repeat(mask[..., None] * np.uint8(255), 3, axis=-1)


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


class TestAugmentedBatches:
    SIZES = {"size": 16, "stride": 8}

    @pytest.mark.parametrize("number", [0, -1])
    def test_a_batch_without_a_patch_is_refused(self, number):
        with pytest.raises(InputError, match="set BATCH_SIZE to 1 or more"):
            AugmentedBatches([noise(16)], [np.zeros((16, 16), bool)], number, 0, **self.SIZES)

    @pytest.fixture
    def numbered(self):
        """Ten images of one patch, each of a grey level of its own, which tells it apart."""
        images = np.empty((10, 16, 16, 3), np.uint8)
        images[:] = 20 * np.arange(10)[:, None, None, None]
        return images, images[..., 0] > 90

    def test_batches_are_what_a_network_takes(self, numbered):
        images, masks = AugmentedBatches(*numbered, batch_size=4, seed=0, **self.SIZES)[0]
        assert (images.dtype, images.shape) == (np.float32, (4, 16, 16, 3))
        assert (masks.dtype, masks.shape) == (np.float32, (4, 16, 16, 1))
        assert images.min() >= 0 and 1 < images.max() <= 255
        assert set(np.unique(masks)) == {0, 1}

    def test_a_batch_depends_on_nothing_but_seed_and_number(self, numbered):
        forwards, backwards, others = (
            AugmentedBatches(*numbered, batch_size=4, seed=seed, **self.SIZES) for seed in (3, 3, 4)
        )
        first = [forwards[i] for i in range(6)]
        second = [backwards[i] for i in reversed(range(6))][::-1]
        for one, two in zip(first, second, strict=True):
            np.testing.assert_array_equal(one[0], two[0])
            np.testing.assert_array_equal(one[1], two[1])
        assert not np.array_equal(first[0][0], others[0][0])
        assert not np.array_equal(first[0][0], first[1][0])

    def test_resumed_at_a_step_it_goes_on_as_without_the_interruption(self, numbered):
        whole = AugmentedBatches(*numbered, batch_size=4, seed=3, **self.SIZES)
        other = AugmentedBatches(*numbered, batch_size=4, seed=1, **self.SIZES)
        resumed = other.starting(7, seed=3)
        for i in range(3):
            np.testing.assert_array_equal(resumed[i][0], whole[7 + i][0])
            np.testing.assert_array_equal(whole.starting(7)[i][0], whole[7 + i][0])
        assert whole.first == 0

    def test_by_default_every_position_between_two_windows_is_possible(self, numbered):
        batches = AugmentedBatches(*numbered, batch_size=4, seed=0, size=16, stride=6)
        assert batches.augmentation["shift"] == 3

    @pytest.mark.parametrize("batch_size", [1, 4, 10, 15])
    def test_each_pass_shows_every_patch_once_in_an_order_of_its_own(self, numbered, batch_size):
        batches = AugmentedBatches(*numbered, batch_size, seed=1, **self.SIZES, **NOTHING)
        drawn = np.concatenate([batches[i][0][:, 0, 0, 0] for i in range(60 // batch_size)])
        passes = (drawn / 20).astype(int).reshape(-1, 10)
        np.testing.assert_array_equal(np.sort(passes), np.tile(np.arange(10), (6, 1)))
        assert len(np.unique(passes, axis=0)) == 6

    def test_each_pass_shows_every_window_of_every_image_once(self):
        images = [noise(24), noise(24)[:16], noise(16)]
        masks = [image[..., 0] > 127 for image in images]
        batches = AugmentedBatches(images, masks, 7, seed=2, **self.SIZES, **NOTHING)
        assert len(batches.windows) == 4 + 2 + 1
        shown = {image.tobytes() for image in batches[5][0].astype(np.uint8)}
        cut = np.concatenate([patches.cut(image, 16, 8) for image in images])
        turned = [
            np.rot90(patch, turns)[:, ::step]
            for patch in cut
            for turns in range(4)
            for step in (1, -1)
        ]
        assert len(shown) == 7 and shown <= {image.tobytes() for image in turned}

    def test_a_patch_varies_from_pass_to_pass_with_its_own_mask(self):
        mask = blobs()
        batches = AugmentedBatches(
            [as_image(mask)], [mask], 3, seed=0, size=64, stride=64, **UNSTAINED
        )
        images, masks = batches[0]
        assert len(np.unique(images, axis=0)) == 3
        assert ((images[..., :1] > 127) != (masks > 0)).mean() < 0.01

    def test_several_numbers_a_pixel_move_with_the_image(self):
        mask = blobs()
        both = np.stack([mask, mask / 2], axis=-1).astype(np.float32)
        images, truth = AugmentedBatches(
            [as_image(mask)], [both], 3, seed=0, size=64, stride=64, **UNSTAINED
        )[0]
        assert truth.shape == (3, 64, 64, 2) and truth.dtype == np.float32
        np.testing.assert_allclose(truth[..., 0], images[..., 0] / 255, atol=0.03)
        np.testing.assert_allclose(truth[..., 1], truth[..., 0] / 2, atol=1e-6)

    def test_steps_are_whole_batches(self, numbered):
        for batch_size, steps in ((1, 10), (3, 3), (4, 2)):
            batches = AugmentedBatches(*numbered, batch_size, seed=0, **self.SIZES)
            assert batches.steps_per_epoch == steps

    def test_it_has_no_end_so_that_fit_counts_by_steps(self, numbered):
        assert AugmentedBatches(*numbered, batch_size=4, seed=0).num_batches is None
