"""Whole images of any size: exact blending, no seams, bounded windows."""

import numpy as np
import pytest
from keras import utils

from nuclei.errors import InputError
from nuclei.networks.unet import unet
from nuclei.prediction import windows
from nuclei.prediction.windows import GRID, MARGIN, predict

SMALL = {"window": 160, "overlap": 96}


class Pointwise:
    """Stands in for a model: probability is red / 255, by pixel. It remembers its inputs."""

    output_shape = (None, None, None, 1)

    def __init__(self):
        self.shapes = []

    def predict_on_batch(self, batch):
        self.shapes.append(batch.shape)
        return batch[..., :1] / np.float32(255)


class Bordered(Pointwise):
    """Its output is right inside and wrong wherever zero padding could reach."""

    def predict_on_batch(self, batch):
        wrong = np.ones((*batch.shape[:3], 1), np.float32)
        inside = slice(MARGIN, -MARGIN)
        wrong[:, inside, inside] = super().predict_on_batch(batch)[:, inside, inside]
        return wrong


class Neighbour(Pointwise):
    """Gives each pixel the red of the pixel that lies 5 up and 5 to the left."""

    def predict_on_batch(self, batch):
        return np.roll(super().predict_on_batch(batch), (5, 5), axis=(1, 2))


@pytest.fixture(scope="module")
def network():
    """A UNet with fixed random weights: it sees far, but has learnt nothing."""
    utils.set_random_seed(7)
    return unet(width=4, depth=4)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 300), (2, 3), (31, 33), (104, 105), (97, 411), (256, 256)]
)
@pytest.mark.parametrize("augment", [False, True])
def test_every_pixel_of_any_size_lands_where_it_belongs(shape, augment):
    image = noise(*shape)
    options = SMALL | {"batch_size": 3, "augment": augment}
    probability = predict(Bordered(), image, **options)
    assert probability.shape == shape
    assert probability.dtype == np.float32
    np.testing.assert_allclose(probability, image[..., 0] / 255, atol=1e-6)
    assert probability.max() <= 1


def test_beyond_its_border_an_image_is_mirrored():
    image = noise(200, 40)
    mirrored = np.pad(image[..., 0], ((5, 0), (5, 0)), mode="reflect")[:200, :40]
    probability = predict(Neighbour(), image, **SMALL)
    np.testing.assert_allclose(probability, mirrored / 255, atol=1e-6)


@pytest.mark.parametrize("window, overlap", [(96, 64), (160, 128), (224, 64), (1056, 128)])
def test_windows_are_multiples_of_the_grid_no_larger_than_asked(window, overlap):
    model = Pointwise()
    predict(model, noise(500, 333), window=window, overlap=overlap, batch_size=4)
    assert len({shape[1:] for shape in model.shapes}) == 1  # one size: one compilation
    for number, height, width, _ in model.shapes:
        assert number <= 4
        assert height <= window and width <= window
        assert height % GRID == width % GRID == 0


def test_a_monuseg_image_goes_through_once_with_at_most_a_quarter_more_pixels():
    model = Pointwise()
    predict(model, noise(1000, 1000))
    assert sum(np.prod(shape[:3]) for shape in model.shapes) <= 1.25 * 1000 * 1000


def test_a_constant_image_gives_a_map_without_seams(network):
    # The network itself repeats every 16 pixels, as its pooling does: compare at that distance.
    image = np.full((320, 320, 3), (200, 120, 180), np.uint8)
    probability = predict(network, image, window=192, overlap=128)
    period = 16
    across = np.abs(probability[period:] - probability[:-period]).max()
    bare = windows.forward(network, image[None])[0, ..., 0]
    bare_across = np.abs(bare[period:] - bare[:-period]).max()
    assert across < 0.1 * bare_across  # bare zero padding shows at the borders
    assert across < 0.01


def test_windows_that_disagree_fade_into_each_other():
    class Alternating:
        output_shape = (None, None, None, 1)
        value = 0

        def predict_on_batch(self, batch):
            self.value = 1 - self.value
            return np.full((*batch.shape[:3], 1), self.value, np.float32)

    probability = predict(Alternating(), noise(40, 390), window=288, overlap=128)
    assert (probability[:, 0] == 1).all() and (probability[:, -1] == 0).all()
    fade = 128 - 2 * MARGIN
    assert np.abs(np.diff(probability)).max() < 2 / fade


def test_windows_agree_with_one_window_for_all(network):
    image = noise(300, 300)
    whole = predict(network, image)
    blended = predict(network, image, window=192, overlap=128)
    assert np.abs(blended - whole).max() < 0.1 * np.ptp(whole)


def test_a_shifted_crop_agrees_inside(network):
    image = noise(420, 420)
    whole = predict(network, image)
    crop = predict(network, image[GRID:, 2 * GRID :][:330, :330])
    inside = slice(128, 200)
    expected = whole[GRID:, 2 * GRID :][inside, inside]
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(crop[inside, inside], expected, atol=1e-5)


def test_augmentation_turns_and_mirrors_with_the_image(network):
    image = noise(64, 96)
    augmented = predict(network, image, augment=True)
    turned = predict(network, np.rot90(image), augment=True)
    mirrored = predict(network, image[:, ::-1], augment=True)
    np.testing.assert_allclose(np.rot90(augmented), turned, atol=1e-5)
    np.testing.assert_allclose(augmented[:, ::-1], mirrored, atol=1e-5)
    assert np.abs(augmented - predict(network, image)).max() > 1e-3


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_what_is_not_an_rgb_image_is_refused_in_one_sentence(image):
    with pytest.raises(InputError, match="8-bit RGB") as error:
        predict(Pointwise(), image)
    assert str(image.shape) in str(error.value) and image.dtype.name in str(error.value)


@pytest.mark.parametrize(
    "options",
    [{"window": 1000}, {"overlap": 100}, {"overlap": 32}, {"overlap": 1056}, {"batch_size": 0}],
)
def test_windows_that_cannot_work_are_refused(options):
    with pytest.raises(ValueError, match="multiples of 32"):
        predict(Pointwise(), noise(8, 8), **options)


def test_progress_is_shown_only_when_asked_for(capsys):
    predict(Pointwise(), noise(8, 8))
    assert capsys.readouterr().err == ""
    predict(Pointwise(), noise(8, 8), augment=True, progress=True)
    assert "view 8 of 8" in capsys.readouterr().err
