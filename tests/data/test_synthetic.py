"""Synthetic tissue: determined by its seed, and like the tissue it stands for."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from nuclei.data import synthetic


def optical_density(image):
    return -np.log((image.astype(float) + 1) / 256)


def surroundings(labels, width=8):
    """The background within `width` pixels of a nucleus."""
    nuclei = labels > 0
    return ndimage.binary_dilation(nuclei, iterations=width) & ~nuclei


@pytest.fixture(scope="module")
def section():
    return synthetic.tissue(0)


@pytest.fixture(scope="module")
def sections():
    return [synthetic.tissue(seed, (400, 400)) for seed in range(6)]


def test_equal_seeds_give_equal_bytes_on_any_number_of_threads():
    image, labels = synthetic.tissue(7, (150, 210))
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        again, labels_again = synthetic.tissue(7, (150, 210))
    finally:
        cv2.setNumThreads(threads)
    assert np.array_equal(image, again) and np.array_equal(labels, labels_again)


def test_another_seed_gives_another_section():
    image, labels = synthetic.tissue(7, (128, 128))
    other, other_labels = synthetic.tissue(8, (128, 128))
    assert (image != other).mean() > 0.5
    assert not np.array_equal(labels > 0, other_labels > 0)


def test_the_random_state_of_numpy_is_left_alone():
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    synthetic.tissue(0, (64, 64))
    assert np.random.random() == expected


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (40, 17), (97, 301), (256, 256)])
def test_any_shape(shape):
    image, labels = synthetic.tissue(1, shape)
    assert image.shape == (*shape, 3) and image.dtype == np.uint8 and image.flags.c_contiguous
    assert labels.shape == shape and labels.dtype == np.int32
    assert np.array_equal(np.union1d(labels, 0), np.arange(labels.max() + 1))


def test_small_sections_hold_nuclei_and_background():
    for seed in range(20):
        _, labels = synthetic.tissue(seed, (128, 128))
        assert labels.max() >= 3 and (labels == 0).any()


def test_number_and_size_of_nuclei_are_those_of_monuseg(section):
    _, labels = section
    areas = np.bincount(labels.ravel())[1:]
    assert 350 <= len(areas) <= 750
    assert 250 <= areas.mean() <= 700
    assert 0.12 <= (labels > 0).mean() <= 0.40
    assert np.percentile(areas, 90) > 2 * np.percentile(areas, 10)  # several kinds


def test_some_nuclei_touch_but_each_is_a_piece_of_its_own(section):
    _, labels = section
    touching = set()
    for one, other in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        border = (one != other) & (one > 0) & (other > 0)
        touching |= set(one[border]) | set(other[border])
    assert 0.1 < len(touching) / labels.max() < 0.75
    whole = [ndimage.label(labels[box] == n)[1] == 1 for n, box in numbered_boxes(labels)]
    assert np.mean(whole) > 0.97


def numbered_boxes(labels):
    return enumerate(ndimage.find_objects(labels), 1)


def test_nuclei_take_more_haematoxylin_than_their_surroundings(sections):
    # haematoxylin absorbs red light, eosin hardly
    for image, labels in sections:
        red = optical_density(image)[..., 0]
        assert red[labels > 0].mean() > 1.5 * red[surroundings(labels)].mean()


def test_nuclei_are_not_found_by_a_threshold_alone(sections):
    # the best threshold on red, chosen with the answer known, is good and far from perfect
    for image, labels in sections:
        truth = labels > 0
        dice = max(
            2 * (found & truth).sum() / (found.sum() + truth.sum())
            for found in (image[..., 0] < level for level in range(20, 240, 10))
        )
        assert 0.4 < dice < 0.95


def test_stains_differ_between_seeds_and_stay_pink_and_purple(sections):
    means = np.array([image[labels > 0].mean(axis=0) for image, labels in sections])
    assert means.std(axis=0).min() > 5
    for image, _ in sections:
        red, green, blue = image.reshape(-1, 3).mean(axis=0)
        assert red > green and blue > green


def test_a_given_stain_changes_the_colours_and_nothing_else():
    grey = np.array([[1.0, 1.0, 1.0], [0.5, 0.5, 0.5], [0.0, 0.0, 0.0]])
    image, labels = synthetic.tissue(4, (160, 160), stain=grey)
    _, own_labels = synthetic.tissue(4, (160, 160))
    assert np.array_equal(labels, own_labels)
    red, green, blue = image.reshape(-1, 3).mean(axis=0)
    assert max(red, green, blue) - min(red, green, blue) < 8  # the lamp's tint at most
    clear, _ = synthetic.tissue(4, (160, 160), stain=np.zeros((3, 3)))
    assert clear.mean() > 225 and clear.std() < 10


def test_noise_has_the_scale_and_deviation_it_promises():
    for scale in (5, 40):
        field = synthetic.noise(np.random.default_rng(0), (600, 600), scale)
        assert abs(field.mean()) < 0.2
        assert 0.75 < field.std() < 1.25
        neighbours = np.corrcoef(field[:, :-scale].ravel(), field[:, scale:].ravel())[0, 1]
        assert abs(neighbours) < 0.25  # independent one scale apart
        near = scale // 5
        assert np.corrcoef(field[:, :-near].ravel(), field[:, near:].ravel())[0, 1] > 0.7


def test_fibres_run_along_their_angle():
    level = np.zeros((200, 200), np.float32)
    texture = synthetic.fibres(np.random.default_rng(0), level)[40:-40, 40:-40]
    along, across = (np.abs(np.diff(texture, axis=axis)).mean() for axis in (1, 0))
    assert across > 3 * along


def test_colours_lie_in_the_range_of_real_tissue(monuseg_folder, sections):
    def colours(image, nuclei):
        return np.concatenate([image[nuclei].mean(axis=0), image[~nuclei].mean(axis=0)])

    real = []
    for path in sorted((monuseg_folder / "Training" / "TissueImages").glob("*.tif")):
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        mask = monuseg_folder / "Training" / "GroundTruth" / f"{path.stem}_bin_mask.png"
        real.append(colours(image, cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE) > 0))
    low, high = np.min(real, axis=0), np.max(real, axis=0)
    drawn = np.array([colours(image, labels > 0) for image, labels in sections])
    assert np.all((drawn.mean(axis=0) > low) & (drawn.mean(axis=0) < high))
    assert ((drawn > low - 10) & (drawn < high + 10)).mean() > 0.9
