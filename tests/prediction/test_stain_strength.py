"""Very pale and very dark images are seen by networks with a stain that they know."""

import numpy as np
import pytest

from nuclei import evaluation
from nuclei.data import monuseg, synthetic
from nuclei.data.dataset import Sample
from nuclei.data.stains import optical_density, transmitted
from nuclei.images.resolution import MPP
from nuclei.prediction import artefacts, stain_strength, windows
from nuclei.prediction.image import predict_image
from nuclei.prediction.stain_strength import DARKEST, MOST, PALEST, multiplied

SIZE = 488
"""With the margins of a window, a multiple of 32."""


class Watching:
    """Stands in for a model, and keeps what it was shown."""

    output_shape = (None, None, None, 1)
    name = "watching"

    def predict_on_batch(self, batch):
        self.seen = batch[0, windows.MARGIN : -windows.MARGIN, windows.MARGIN : -windows.MARGIN]
        return np.zeros((*batch.shape[:3], 1), np.float32)


@pytest.fixture(scope="module")
def tissue():
    return synthetic.tissue(seed=3, shape=(SIZE, SIZE))[0]


def overview(image):
    return artefacts.shrunk(image, MPP, artefacts.GLASS_MPP)


def strength(image):
    return stain_strength.strength(overview(image))


def within_range(image):
    return multiplied(image, stain_strength.factor(overview(image)))


class TestFactor:
    def test_tissue_within_the_range_is_left_as_it_is(self, tissue):
        assert PALEST < strength(tissue) < DARKEST
        assert within_range(tissue) is tissue

    @pytest.mark.parametrize(("density", "end"), [(0.3, PALEST), (3.0, DARKEST)])
    def test_other_tissue_is_brought_to_the_end_of_the_range(self, tissue, density, end):
        image = multiplied(tissue, density)
        assert not PALEST <= strength(image) <= DARKEST
        assert strength(within_range(image)) == pytest.approx(end, rel=0.05)

    def test_noise_is_not_made_much_stronger(self, tissue):
        faint = overview(multiplied(tissue, 0.1))
        assert strength(multiplied(tissue, 0.1)) < PALEST / MOST
        assert stain_strength.factor(faint) == MOST

    def test_what_shows_too_little_stain_is_left_as_it_is(self, tissue):
        pale = multiplied(tissue, 0.3)
        grey = np.repeat(pale[..., 1:2], 3, axis=-1)
        glass = np.full_like(pale, 243)
        glass[:60, :60] = pale[:60, :60]
        for image in (grey, glass, pale[:64, :64], np.zeros_like(pale)):
            assert within_range(image) is image

    def test_ink_does_not_count(self, tissue):
        image = multiplied(tissue, 0.3)
        image[:, :120] = (30, 60, 180)
        assert strength(image) == pytest.approx(strength(image[:, 160:]), rel=0.15)

    def test_dim_and_tinted_glass_does_not_count(self, tissue):
        tint = np.float32([0.1, 0.15, 0.25])
        field = np.concatenate([multiplied(tissue, 0.3), np.full_like(tissue, 255)])
        tinted = transmitted(optical_density(field) + tint)
        assert strength(field) < PALEST < strength(field) + tint.mean()
        assert strength(tinted) == pytest.approx(strength(field), rel=0.05)


def test_densities_are_multiplied(tissue):
    assert multiplied(tissue, 1) is tissue
    light = (tissue + 1.0) / 256
    found = (multiplied(tissue, 1.7) + 1.0) / 256
    assert np.abs(found - np.maximum(light**1.7, 1 / 256)).max() <= 0.51 / 256


def test_monuseg_is_within_the_range(monuseg_folder):
    samples = monuseg.load("train", monuseg_folder) + monuseg.load("val", monuseg_folder)
    found = [strength(sample.image) for sample in samples]
    assert min(found) == pytest.approx(PALEST, abs=0.011)
    assert max(found) == pytest.approx(DARKEST, abs=0.011)
    assert min(found) >= PALEST and max(found) <= DARKEST


class TestPrediction:
    def test_the_network_sees_it_and_the_user_is_told(self, tissue):
        image, model = multiplied(tissue, 0.3), Watching()
        found = predict_image(model, image)
        assert found.stain > 1.1
        np.testing.assert_array_equal(model.seen, multiplied(image, found.stain))
        np.testing.assert_array_equal(found.image, image)  # which is measured
        (notice,) = found.notices("a.png")
        assert notice.startswith(
            "a.png: the stain is very pale, so the network saw 1.1"
        ) and notice.endswith("times its optical density.")
        assert predict_image(model, tissue).notices("a.png") == []

    def test_dark_is_said(self):
        assert "very dark" in stain_strength.notice("a.png", 0.8)

    def test_it_is_evaluated_as_it_is_predicted(self, tissue):
        image, model = multiplied(tissue, 0.3), Watching()
        sample = Sample("a", "a", "", image, image[..., 0] < 128, None)
        evaluation.evaluate(model, [sample], whole_only=True, progress=False)
        np.testing.assert_array_equal(model.seen, within_range(image))
