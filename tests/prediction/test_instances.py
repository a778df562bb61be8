"""From probabilities to nuclei: touching ones are told apart, whole ones are left whole."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from nuclei.data import synthetic
from nuclei.data.targets import relative_distance, targets, training_targets
from nuclei.errors import InputError
from nuclei.prediction import confidence, instances
from nuclei.prediction.instances import DEPTH, RELATIVE_DEPTH, _fill_holes_of_one
from nuclei.scores.objects import object_scores


def separate(maps, **options):
    """Labels of all objects, whatever their score."""
    return instances.separate(maps, min_score=0, **options)[0]


def discs(*nuclei, shape=(80, 100)):
    """Probability 0.9 inside discs of given row, column and radius, 0.1 outside."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    inside = np.any([np.hypot(y - a, x - b) <= radius for a, b, radius in nuclei], axis=0)
    return np.where(inside, 0.9, 0.1).astype(np.float32)


class TestSeparate:
    def test_nuclei_apart_are_what_they_were(self):
        nuclei = (20, 20, 10), (20, 60, 8), (60, 40, 12)
        labels = separate(discs(*nuclei))
        truth, count = ndimage.label(discs(*nuclei) > 0.5)
        assert labels.dtype == np.int32 and labels.max() == count == 3
        assert object_scores(labels, truth).aji == 1

    def test_touching_nuclei_are_cut_at_the_waist(self):
        labels = separate(discs((40, 30, 12), (40, 52, 12)))
        assert labels.max() == 2
        assert labels[40, 30] != labels[40, 52]
        for column in (30, 52):
            area = (labels == labels[40, column]).sum()
            assert area == pytest.approx(np.pi * 12**2, rel=0.05)

    def test_what_comes_in_a_row_is_told_apart(self):
        row = [(40, 12 + 16 * i, 9) for i in range(5)]
        assert separate(discs(*row)).max() == 5

    def test_an_ellipse_is_one_nucleus(self):
        y, x = np.mgrid[:80, :100]
        ellipse = (((y - 40) / 10) ** 2 + ((x - 50) / 30) ** 2 <= 1).astype(np.float32)
        assert separate(ellipse).max() == 1

    def test_a_thin_nucleus_is_not_lost(self):
        probability = np.zeros((40, 60), np.float32)
        probability[20:22, 10:50] = 1
        assert separate(probability).max() == 1

    def test_a_nucleus_cut_by_the_border_is_one(self):
        for row, column in ((0, 50), (40, 0), (79, 99)):
            assert separate(discs((row, column, 14))).max() == 1

    def test_threshold_and_size_decide_what_counts(self):
        probability = discs((20, 20, 2), (40, 60, 10))
        assert separate(probability, smallest=30).max() == 1
        assert separate(probability, smallest=5).max() == 2
        assert separate(probability, threshold=np.float32(0.9)).max() == 1  # from it up
        assert separate(probability, threshold=0.95).max() == 0

    def test_holes_are_filled(self):
        probability = discs((40, 50, 15))
        probability[38:43, 48:53] = 0
        labels = separate(probability)
        assert labels.max() == 1 and labels[40, 50] == 1

    @pytest.mark.parametrize("shape", [(1, 1), (1, 50), (7, 3)])
    @pytest.mark.parametrize("value", [0.0, 1.0])
    def test_any_size_and_anything_in_it(self, shape, value):
        labels = separate(np.full(shape, value, np.float32), smallest=1)
        assert labels.shape == shape and labels.max() == value

    def test_nuclei_of_synthetic_tissue_are_found_from_their_mask(self):
        _, truth = synthetic.tissue(seed=3, shape=(300, 300))
        scores = object_scores(separate((truth > 0).astype(np.float32)), truth)
        assert scores.dq > 0.85 and scores.aji > 0.7


def peaks(*places):
    """A wide band of nuclei without waists, and distances with a peak at each row and column."""
    y, x = np.mgrid[:80, :100]
    probability = np.where(np.abs(y - 40) < 15, 0.9, 0.1)
    closeness = [1 - np.hypot(y - row, x - column) / 20 for row, column in places]
    return np.stack([probability, np.clip(np.max(closeness, axis=0), 0, 1)], -1).astype(np.float32)


class TestSeparateByLearntDistance:
    def test_nuclei_without_a_waist_are_told_apart(self):
        maps = peaks((40, 20), (40, 48), (40, 80))
        labels = separate(maps)
        assert separate(maps[..., 0]).max() == separate(maps[..., :1]).max() == 1
        assert labels.max() == 3
        assert [labels[40, column] for column in (33, 35)] == [labels[40, 20], labels[40, 48]]
        np.testing.assert_array_equal(labels > 0, maps[..., 0] > 0.5)

    def test_depth_decides_which_peaks_stand_out(self):
        maps = peaks((40, 30), (40, 46))  # the saddle is 0.4 below them
        maps[40, 46, 1] = 0.99
        assert separate(maps, smoothing=0.1, depth=0.3).max() == 2
        assert separate(maps, smoothing=0.1, depth=0.5).max() == 1

    def test_peaks_outside_nuclei_do_not_count(self):
        maps = peaks((40, 50), (5, 50))
        assert separate(maps).max() == 1

    def test_touching_nuclei_are_found_again_from_their_targets(self):
        _, truth = synthetic.tissue(seed=3, shape=(300, 300))
        assert object_scores(separate(targets(truth)), truth).aji > 0.99


class TestScores:
    @pytest.mark.parametrize("channels", [1, 2])
    def test_what_the_network_is_less_sure_of_scores_less(self, channels):
        maps = targets(synthetic.tissue(seed=3, shape=(300, 300))[1])[..., :channels]
        maps[..., 0] *= np.linspace(0.52, 0.98, 300)[None]  # less sure on the left
        labels, scores = instances.separate(maps, min_score=0)
        assert scores.shape == (labels.max(),) and ((scores > 0) & (scores < 1)).all()
        centres = np.array(ndimage.center_of_mass(labels > 0, labels, np.arange(labels.max()) + 1))
        left, right = scores[centres[:, 1] < 100], scores[centres[:, 1] > 200]
        assert np.median(left) < 0.7 < 0.9 < np.median(right)

    def test_low_scores_are_left_out_and_the_others_stay_as_they_were(self):
        maps = discs((20, 20, 9), (60, 70, 9))
        maps[:40, :40] = np.where(maps[:40, :40] > 0.5, 0.6, 0.1)
        every, scores = instances.separate(maps, min_score=0)
        assert every.max() == 2 and scores[0] < 0.5 < scores[1]
        labels, kept = instances.separate(maps)
        np.testing.assert_array_equal(labels, every == 2)
        np.testing.assert_array_equal(kept, scores[1:])
        assert instances.separate(maps, min_score=1)[0].max() == 0

    def test_a_nucleus_has_no_hole_where_a_low_score_was_left_out(self):
        maps = peaks((40, 50))
        maps[36:45, 46:55] = (0.55, 0.1)
        maps[40, 50, 1] = 1  # a peak of its own
        assert separate(maps, smoothing=0, smallest=5).max() == 2
        labels, _ = instances.separate(maps, smoothing=0, smallest=5)
        np.testing.assert_array_equal(labels > 0, maps[..., 0] > 0.5)

    def test_features_are_those_of_each_object(self):
        maps = discs((20, 20, 9), (60, 70, 12))
        maps[maps > 0.5] = np.random.default_rng(0).uniform(0.9, 0.99, (maps > 0.5).sum())
        labels, areas, described = instances.divide(maps, smoothing=0)
        for number in np.unique(labels)[1:]:
            inside = labels == number
            mean, distance = maps[inside].mean(), ndimage.distance_transform_edt(inside).max()
            expected = np.log(mean / (1 - mean)), np.log(inside.sum()), np.log(distance)
            np.testing.assert_allclose(described[number], expected, rtol=0.03)
            assert areas[number] == inside.sum()

    def test_the_score_is_a_logistic_regression(self):
        described = np.array([[0.3, 4.0, 0.7]])
        for learnt in (True, False):
            linear = np.dot(described[0], confidence.WEIGHTS[learnt]) + confidence.BIASES[learnt]
            assert confidence.score(described, learnt) == pytest.approx(1 / (1 + np.exp(-linear)))


class TestRelativeDistance:
    def test_it_rises_from_the_border_of_each_nucleus_to_one_whatever_its_size(self):
        labels = np.zeros((40, 60), np.int32)
        labels[5:16, 5:16] = 2
        labels[5:10, 16:21] = 7  # touches the other
        relative = relative_distance(labels)
        assert relative.dtype == np.float32
        np.testing.assert_allclose(relative[10, 4:17], np.r_[0, 1:7, 5:0:-1, 0] / 6, rtol=1e-6)
        np.testing.assert_allclose(relative[7, 16:22], np.array([1, 2, 3, 2, 1, 0]) / 3, rtol=1e-6)
        assert (relative > 0).tolist() == (labels > 0).tolist()

    def test_a_nucleus_goes_on_beyond_the_image(self):
        labels = np.zeros((20, 20), np.int32)
        labels[:, :5] = 1
        expected = np.r_[np.arange(5, 0, -1) / 5, np.zeros(15)]
        np.testing.assert_allclose(relative_distance(labels), np.tile(expected, (20, 1)))

    def test_targets_are_mask_and_distance(self):
        _, labels = synthetic.tissue(seed=3, shape=(100, 120))
        both = targets(labels)
        assert both.shape == (100, 120, 2) and both.dtype == np.float32
        np.testing.assert_array_equal(both[..., 0], labels > 0)
        np.testing.assert_array_equal(both[..., 1], relative_distance(labels))

    @pytest.mark.parametrize("value", [0, 1])
    def test_an_image_of_one_thing_has_no_border(self, value):
        assert (relative_distance(np.full((6, 8), value, np.int32)) == value).all()


class TestTrainingTargets:
    """What the notebooks train on."""

    LABELS = np.pad(np.ones((2, 4, 4), np.int32), ((0, 0), (2, 2), (2, 2)))

    def test_masks_stay_and_distances_are_added_when_asked_for(self):
        masks = self.LABELS > 0
        np.testing.assert_array_equal(training_targets(masks, None), masks)
        both = training_targets(masks, self.LABELS, distance=True)
        np.testing.assert_array_equal(both, [targets(labels) for labels in self.LABELS])

    @pytest.mark.parametrize("labels", [None, [None, LABELS[0]]])
    def test_a_mask_alone_has_no_distance(self, labels):
        with pytest.raises(InputError, match="only a mask, .* nuclei check`, .* DISTANCE = False"):
            training_targets(self.LABELS > 0, labels, distance=True)


class TestHoles:
    def test_a_nucleus_has_no_hole_where_a_speck_was_left_out(self):
        maps = peaks((40, 50))
        maps[39:42, 49:52, 1] = 0.1
        maps[40, 50, 1] = 1  # a peak of its own, with the four pixels beside it
        assert separate(maps, smoothing=0, smallest=5).max() == 2
        labels = separate(maps, smoothing=0, smallest=9)
        np.testing.assert_array_equal(labels > 0, maps[..., 0] > 0.5)

    def test_what_several_nuclei_surround_is_background(self):
        labels = _fill_holes_of_one(self.frame(1, 2))
        assert (labels[8:32, 8:32] == 0).all()

    def test_what_one_nucleus_surrounds_is_its_own_whatever_its_size(self):
        labels = _fill_holes_of_one(self.frame(1, 1))
        assert (labels[8:32, 8:32] == 1).all()

    def test_a_nucleus_within_another_stays_itself(self):
        labels = self.frame(1, 1)
        labels[8:32, 8:32] = 2
        labels[15:18, 15:18] = 0
        labels = _fill_holes_of_one(labels)
        assert (labels[8:32, 8:32] == 2).all() and labels[5, 5] == 1

    def test_a_bay_is_no_hole(self):
        labels = self.frame(1, 1)
        labels[20, 28:] = 0
        np.testing.assert_array_equal(_fill_holes_of_one(labels.copy()), labels)

    @staticmethod
    def frame(left, right):
        labels = np.zeros((40, 40), np.int32)
        labels[3:37, 3:20], labels[3:37, 20:37] = left, right
        labels[8:32, 8:32] = 0
        return labels


def test_objects_that_stay_are_numbered_without_gaps():
    labels = np.array([[0, 4, 2], [1, 1, 3]])
    kept = np.array([True, False, True, False, True])
    found = instances.renumber(labels, kept)
    assert found.dtype == np.int32 and found.tolist() == [[0, 2, 1], [0, 0, 0]]
    assert not instances.renumber(labels, kept & False).any()
    np.testing.assert_array_equal(instances.renumber(labels, np.ones(5, bool)), labels)


@pytest.mark.parametrize("turns", range(4))
def test_a_gap_that_goes_on_beyond_the_image_is_no_hole(turns):
    probability = discs((40, 50, 20))
    probability[36:45, 46:55] = 0  # a hole, and cut through its middle a bay
    for image, inside in (probability, True), (probability[40:], False):
        image = np.rot90(image, turns)
        labels = separate(image)
        assert (labels > 0).sum() == (image > 0.5).sum() + 81 * inside


def test_gaps_between_nuclei_are_no_holes():
    ring = discs(
        *[(40 + 25 * np.sin(a), 50 + 25 * np.cos(a), 8) for a in np.arange(12) * np.pi / 6]
    )
    assert ring[40, 50] < 0.5 and separate(ring)[40, 50] == 0
    small = discs((40, 50, 20))
    small[30:52, 40:62] = 0  # 484 pixels
    assert separate(small)[40, 50] > 0


@pytest.mark.parametrize("channels", [1, 2])
def test_peaks_are_those_of_a_reconstruction(channels):
    """The same markers as from the h-maxima of scikit-image, so the same nuclei."""
    _, truth = synthetic.tissue(seed=8, shape=(300, 300))
    maps = targets(truth)[..., :channels]
    maps[..., 0] = ndimage.binary_fill_holes(maps[..., 0] > 0)
    distance = maps[..., 1] if channels == 2 else ndimage.distance_transform_edt(maps[..., 0])
    height = ndimage.gaussian_filter(distance, 1)
    depth = RELATIVE_DEPTH if channels == 2 else DEPTH
    markers, _ = ndimage.label(h_maxima(height, depth) * (maps[..., 0] > 0))
    expected = watershed(-height, markers, mask=np.isin(*_pieces(maps[..., 0] > 0, markers)))
    scores = object_scores(separate(maps, smallest=1), expected)
    assert scores.dq > 0.96 and scores.aji > 0.96


def _pieces(mask, markers):
    """Pieces of a mask, and the numbers of those that hold a marker."""
    pieces, _ = ndimage.label(mask)
    return pieces, np.unique(pieces[markers > 0])
