"""Ink, black, glass and giants are no nuclei; nuclei of any stain stay."""

from itertools import product

import cv2
import numpy as np
import pytest
from slide_files import GLASS

from nuclei.data import monuseg, synthetic
from nuclei.data.alterations import ALTERATIONS
from nuclei.data.stains import transmitted
from nuclei.images.resolution import MPP
from nuclei.prediction import artefacts, stain_strength
from nuclei.prediction.image import predict_image
from nuclei.prediction.windows import MARGIN
from nuclei.slides.pyramid import write_pyramid
from nuclei.slides.slide import Slide
from nuclei.slides.tissue import find_tissue, tissue_tiles

INKS = {
    "blue": (30, 60, 180),
    "light blue": (60, 110, 210),
    "navy": (25, 30, 90),
    "green": (20, 120, 60),
    "dark green": (15, 60, 40),
    "red": (200, 30, 40),
    "black": (15, 15, 18),
}
SIZE = 480


class Dark:
    """Stands in for a model: dark pixels are nuclei, as ink is to a network."""

    output_shape = (None, None, None, 1)

    def predict_on_batch(self, batch):
        return (batch.min(axis=-1, keepdims=True) < 100).astype(np.float32)


@pytest.fixture(scope="module")
def tissue():
    return synthetic.tissue(seed=3, shape=(SIZE, SIZE))


def write_on(image, rgb, width=160):
    """Draw a stroke of ink, which lets through a share of the light; return where it is."""
    stroke = np.zeros(image.shape[:2], np.uint8)
    cv2.line(stroke, (-50, 100), (SIZE + 50, 300), 1, width)
    light = image * np.array(rgb) / 255
    return np.where(stroke[..., None] > 0, light, image).astype(np.uint8), stroke > 0


def near(mask, reach):
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1,) * 2)) > 0


class TestInk:
    @pytest.mark.parametrize("rgb", INKS.values(), ids=INKS)
    @pytest.mark.parametrize("on", ["tissue", "glass"])
    def test_strokes_are_found_and_nothing_else(self, tissue, rgb, on):
        image = tissue[0] if on == "tissue" else np.full((SIZE, SIZE, 3), GLASS, np.uint8)
        image, stroke = write_on(image, rgb)
        ink = artefacts.find_ink(image, MPP)
        assert ink[stroke].mean() > 0.99
        assert not ink[~near(stroke, 32)].any()

    def test_a_black_border_is_found(self, tissue):
        image = tissue[0].copy()
        image[:90], image[:, -70:] = 0, 9
        border = np.zeros((SIZE, SIZE), bool)
        border[:90] = border[:, -70:] = True
        ink = artefacts.find_ink(image, MPP)
        assert ink[border].all() and not ink[~near(border, 24)].any()

    def test_a_spot_of_the_size_of_a_nucleus_is_none(self, tissue):
        image = tissue[0].copy()
        cv2.circle(image, (200, 200), 40, (0, 0, 0), -1)  # 20 um across, 314 um2
        assert not artefacts.find_ink(image, MPP).any()
        cv2.circle(image, (200, 200), 80, (0, 0, 0), -1)
        assert artefacts.find_ink(image, MPP)[200, 200]

    def test_uneven_ink_is_found_whole(self):
        image = np.full((SIZE, SIZE, 3), GLASS, np.uint8)
        image[:, :200], image[:, 200:300], image[:, 400:] = 20, 50, 50  # 50 is not black enough
        ink = artefacts.find_ink(image, MPP)
        assert ink[:, :300].all() and not ink[:, 330:].any()

    def test_the_resolution_counts(self, tissue):
        image = np.full((SIZE, SIZE, 3), GLASS, np.uint8)
        cv2.circle(image, (240, 240), 40, (0, 0, 0), -1)
        assert not artefacts.find_ink(image, 0.25).any()
        assert artefacts.find_ink(image, 1.0).any()

    def test_dark_tissue_is_not_black(self):
        """Crowded nuclei, in a thick section or in a scan that was saved without gamma."""
        density = np.float32([1.2, 1.6, 0.95]) + np.zeros((SIZE, SIZE, 1), np.float32)
        assert not artefacts.find_ink(transmitted(density), MPP).any()
        assert not artefacts.find_ink(transmitted(2.2 * density), MPP).any()

    @pytest.mark.parametrize("shape", [(1, 1), (1, 300), (30, 41)])
    def test_an_image_may_be_small(self, shape):
        black = np.zeros((*shape, 3), np.uint8)
        assert artefacts.find_ink(black, MPP).all()
        assert not artefacts.find_ink(black + np.uint8([150, 90, 160]), MPP).any()


class TestGlass:
    def test_it_is_told_from_tissue(self, tissue):
        image, labels = tissue
        image = image.copy()
        rng = np.random.default_rng(0)
        image[:, 240:] = np.clip(rng.normal(GLASS, 6, (SIZE, 240, 3)), 0, 255)
        cv2.circle(image, (400, 200), 12, (90, 90, 90), -1)  # dust
        glass = artefacts.find_glass(image, MPP)
        assert glass[:, 340:].all() and not (glass & (labels > 0))[:, :240].any()

    @pytest.mark.parametrize("light", [(243, 243, 230), (205, 225, 195)])
    def test_it_may_have_a_tint(self, tissue, light):
        image = np.full((SIZE, SIZE, 3), light, np.uint8)
        image[:, :200] = tissue[0][:, :200] * (np.array(light) / 255)
        cv2.circle(image, (400, 200), 12, (90, 90, 80), -1)  # dust
        glass = artefacts.find_glass(image, MPP)
        assert glass[:, 300:].all() and not (glass & (tissue[1] > 0))[:, :200].any()
        assert artefacts.find_glass(image[:, 300:], MPP).all()

    def test_a_small_pale_field_is_not_its_tint(self):
        image, labels = synthetic.tissue(2, (SIZE, SIZE))
        pale = stain_strength.multiplied(image, 0.35)
        for top, left in product((0, SIZE - 256), repeat=2):
            field = np.s_[top : top + 256, left : left + 256]
            assert not (artefacts.find_glass(pale[field], MPP) & (labels[field] > 0)).any()

    def test_an_image_without_colours_says_nothing(self, tissue):
        grey = np.repeat(cv2.cvtColor(tissue[0], cv2.COLOR_RGB2GRAY)[..., None], 3, axis=-1)
        assert not artefacts.find_glass(grey, MPP).any()
        for light in (1.01, 1, 1), (1.1, 1, 1):  # as scans of grey are
            assert not artefacts.find_glass((grey / light).astype(np.uint8), MPP).any()


@pytest.mark.parametrize("seed", range(4))
def test_tissue_of_any_stain_stays(seed):
    image, labels = synthetic.tissue(seed, (320, 320))
    assert not artefacts.find_ink(image, MPP).any()
    assert not (artefacts.find_glass(image, MPP) & (labels > 0)).any()


def test_no_annotated_nucleus_is_lost(monuseg_folder):
    largest = 0
    for sample in monuseg.load("trainval", monuseg_folder):
        assert not artefacts.find_ink(sample.image, MPP).any()
        for image in (sample.image, ALTERATIONS["pale"](sample.image)):
            assert not (artefacts.find_glass(image, MPP) & sample.mask).any()
        largest = max(largest, np.bincount(sample.labels.ravel())[1:].max() * MPP**2)
    assert 2 * largest == pytest.approx(artefacts.LARGEST, abs=5)


class TestPrediction:
    @pytest.mark.parametrize("rgb", INKS.values(), ids=INKS)
    def test_there_are_no_nuclei_in_ink(self, tissue, rgb):
        image, stroke = write_on(tissue[0], rgb)
        if rgb != INKS["red"]:
            assert (image.min(axis=-1) < 100)[stroke].mean() > 0.3  # else nothing could be found
        found = predict_image(Dark(), image)
        beside = ~near(stroke, 40)
        assert not found.mask[stroke].any() and not found.labels[stroke].any()
        assert not found.probability[stroke].any() and found.excluded[stroke].all()
        without = predict_image(Dark(), tissue[0])
        assert found.mask[beside].any() and not without.excluded.any()
        np.testing.assert_array_equal(found.mask[beside], without.mask[beside])

    def test_a_giant_is_none(self):
        image = np.full((SIZE, SIZE, 3), (230, 180, 220), np.uint8)
        cv2.circle(image, (100, 100), 15, (90, 60, 150), -1)
        cv2.circle(image, (430, 60), 15, (90, 60, 150), -1)
        cv2.circle(image, (60, 450), 12, (90, 60, 150), -1)
        without = predict_image(Dark(), image)
        cv2.circle(image, (300, 300), 90, (90, 60, 150), -1)  # 1600 um2
        found = predict_image(Dark(), image)
        assert set(np.unique(found.labels)) == {0, 1, 2, 3}
        np.testing.assert_array_equal(found.labels, without.labels)
        np.testing.assert_allclose(found.scores, without.scores)
        assert found.mask[100, 100] and found.mask[60, 430] and not found.mask[300, 300]
        assert found.excluded[300, 300] and not found.excluded[100, 100]
        small = predict_image(Dark(), image, mpp=0.125)  # the same circle has 400 um2
        assert small.mask[300, 300] and not small.excluded.any()

    def test_dust_on_glass_is_none(self, tissue):
        image = np.full((SIZE, SIZE, 3), GLASS, np.uint8)
        image[:, :100] = tissue[0][:, :100]
        cv2.circle(image, (400, 200), 12, (60, 60, 60), -1)
        found = predict_image(Dark(), image)
        assert found.mask[:, :100].any() and not found.mask[:, 200:].any()

    def test_the_network_sees_no_ink(self, tissue):
        class Watching(Dark):
            def predict_on_batch(self, batch):
                self.seen = batch
                return super().predict_on_batch(batch)

        model, (image, stroke) = Watching(), write_on(tissue[0], INKS["black"])
        found = predict_image(model, image)
        seen = model.seen[0, MARGIN : MARGIN + SIZE, MARGIN : MARGIN + SIZE]
        assert (seen[stroke] == artefacts.WHITE).all()
        np.testing.assert_array_equal(seen[~found.excluded], image[~found.excluded])
        np.testing.assert_array_equal(found.image, image)

    def test_black_is_none(self):
        found = predict_image(Dark(), np.zeros((SIZE, SIZE, 3), np.uint8))
        assert not found.mask.any() and not found.labels.any() and found.excluded.all()


class TestOverview:
    def test_ink_on_glass_is_no_tissue(self):
        for rgb in INKS.values():
            overview = np.full((60, 90, 3), GLASS, np.uint8)
            cv2.line(overview, (0, 10), (90, 40), rgb, 9)
            assert not find_tissue(overview).any()

    def test_tissue_beside_ink_is_tissue(self):
        overview = np.full((60, 90, 3), GLASS, np.uint8)
        overview[:, 40:70] = (200, 130, 190)
        cv2.line(overview, (0, 10), (90, 10), INKS["green"], 9)
        tissue = find_tissue(overview)
        assert tissue[25:, 40:70].all() and not tissue[6:15].any() and not tissue[:, :35].any()

    def test_much_ink_is_said(self, tmp_path, capsys):
        image = np.full((2100, 1100, 3), GLASS, np.uint8)
        image[100:900, 100:900] = (200, 130, 190)
        slide = Slide(write_pyramid(tmp_path / "a.tif", image))
        assert tissue_tiles(slide) == [(0, 0)] and capsys.readouterr().err == ""
        image[1100:, :300] = INKS["green"]
        slide = Slide(write_pyramid(tmp_path / "b.tif", image))
        assert tissue_tiles(slide) == [(0, 0)]
        said = capsys.readouterr().err
        assert said == f"{slide.path}: 13% was left out, as ink, black or too large for nuclei.\n"


def test_little_is_not_said():
    assert artefacts.notice("a.png", 0.05) is None
    assert artefacts.notice("a.png", 0.06).startswith("a.png: 6% was left out")
