"""The arithmetic of SegNet, and what its pooling indices do."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import reference
from discs import discs

from nuclei import ROOT
from nuclei.networks.segnet import segnet
from nuclei.prediction import windows
from nuclei.training import bce_dice_loss


def segnet_parameters(width):
    """Trainable and other parameters, counted from figure 2 and the text of the paper."""
    encoder = [1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 8, 8, 8]  # VGG16
    decoder = [8, 8, 8, 8, 8, 4, 4, 4, 2, 2, 1, 1, 1]
    channels = [width * factor for factor in encoder + decoder]
    trainable = sum(9 * a * b + 2 * b for a, b in zip([3, *channels], channels, strict=False))
    return trainable + width + 1, 2 * sum(channels)


class TestSegNet:
    """Its arithmetic, with indices and without."""

    @pytest.mark.parametrize("indices", [True, False])
    def test_parameters_are_those_of_the_paper(self, indices):
        model = segnet(width=3, indices=indices)
        trainable, others = segnet_parameters(3)
        assert sum(np.prod(w.shape) for w in model.trainable_weights) == trainable
        assert model.count_params() == trainable + others

    def test_at_full_width_there_are_29_million(self):
        # Paszke et al., "ENet", arXiv:1606.02147, table 3: 29.46 M.
        assert segnet_parameters(64)[0] == pytest.approx(29.46e6, rel=1e-3)
        assert segnet().count_params() == sum(segnet_parameters(64))

    @pytest.mark.parametrize("indices", [True, False])
    def test_probability_is_that_of_plain_numpy(self, tmp_path, indices):
        model = segnet(width=4, indices=indices)
        reference.fill(model)
        model.save_weights(tmp_path / "a.weights.h5")
        image = np.random.default_rng(1).integers(0, 256, (2, 64, 32, 3), np.uint8)
        expected = reference.segnet(reference.read(tmp_path / "a.weights.h5"), image, indices)
        assert np.ptp(expected) > 0.1
        probability = keras.ops.convert_to_numpy(model(image))
        np.testing.assert_allclose(probability, expected, atol=1e-4)

    def test_a_saved_model_loads_in_a_new_process(self, tmp_path):
        model, image = segnet(width=2), discs()[0]
        reference.fill(model)
        model.save(tmp_path / "segnet.keras")
        np.save(tmp_path / "image.npy", image)
        code = """import keras, numpy as np, nuclei.networks
model = keras.models.load_model("segnet.keras")
np.save("probability.npy", model.predict(np.load("image.npy"), verbose=0))"""
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
        np.testing.assert_allclose(
            np.load(tmp_path / "probability.npy"), model.predict(image, verbose=0), atol=1e-6
        )

    def test_far_from_borders_a_patch_gets_what_the_whole_image_gets(self):
        model = segnet(width=4)
        reference.fill(model)
        image = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
        # A whole image goes through with a margin, so this patch is pooled in the same windows.
        patch = np.s_[228:804, 228:804]
        assert (228 + windows.MARGIN) % 32 == 0
        # Convolutions reach 1 pixel of their resolution, poolings one less than a window.
        reach = 2 * sum(2**stage * (2, 2, 3, 3, 3)[stage] for stage in range(5)) + 2**5 - 1
        inner = np.s_[reach:-reach, reach:-reach]
        by_itself = keras.ops.convert_to_numpy(model(image[patch][None]))[0, :, :, 0]
        whole = windows.predict(model, image)
        assert np.ptp(whole[patch][inner]) > 0.05
        np.testing.assert_allclose(by_itself[inner], whole[patch][inner], atol=1e-5)

    def test_two_trainings_with_one_seed_end_alike(self):
        weights = []
        for _ in range(2):
            keras.utils.set_random_seed(0)
            model = segnet(width=2)
            model.compile("adam", bce_dice_loss, **reference.QUICKLY)
            for _ in range(3):
                model.train_on_batch(*discs())
            weights.append(model.get_weights())
        for first, second in zip(*weights, strict=True):
            np.testing.assert_array_equal(first, second)
