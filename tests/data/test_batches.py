"""Batches: they depend on their number alone, show each patch once a pass, and are drawn ahead."""

import inspect
import threading
import time

import keras
import numpy as np
import pytest
from tiny_images import NOTHING, UNSTAINED, as_image, blobs, noise

from nuclei.data import patches
from nuclei.data.batches import AHEAD, AugmentedBatches
from nuclei.errors import InputError


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

    def test_several_gpus_get_the_same_batches_from_a_generator(self, numbered, monkeypatch):
        """Keras stops the threads of a `PyDataset` when an epoch ends, which they do not bear."""
        monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
        monkeypatch.setattr(keras.distribution, "list_devices", lambda kind: [kind, kind])
        whole = AugmentedBatches(*numbered, batch_size=4, seed=3, **self.SIZES)
        resumed = whole.starting(7)
        assert inspect.isgenerator(resumed)
        for i, (images, masks) in zip(range(7, 7 + 3 * AHEAD), resumed):  # noqa: B905
            np.testing.assert_array_equal(images, whole[i][0])
            np.testing.assert_array_equal(masks, whole[i][1])

    def test_a_generator_draws_in_several_threads_before_it_is_asked(self, numbered):
        class Pairs(AugmentedBatches):
            def __getitem__(self, index):
                both.wait()  # until another thread draws, too
                drawn.append(index)
                return index

        both, drawn = threading.Barrier(2, timeout=60), []
        generator = Pairs(*numbered, batch_size=4, seed=0, workers=2, **self.SIZES).ahead()
        assert next(generator) == 0
        deadline = time.monotonic() + 60
        while len(drawn) < AHEAD and time.monotonic() < deadline:
            time.sleep(0.01)
        both.abort()
        assert sorted(drawn[:AHEAD]) == list(range(AHEAD))

    def test_an_error_while_drawing_reaches_the_training(self, numbered):
        class Full(AugmentedBatches):
            def __getitem__(self, index):
                raise MemoryError(self.first + index)

        with pytest.raises(MemoryError, match="0"):
            next(Full(*numbered, batch_size=4, seed=0, **self.SIZES).ahead())

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
