"""Pixel scores of a mask against the truth. Dice here is the F1 of the nucleus class.

For two sets of pixels Dice = 2 TP / (2 TP + FP + FN), which is also the harmonic mean of
precision and recall, F1: one number with two names, given once, as `dice`.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Scores:
    """How well a mask agrees with the truth; each in [0, 1], 1 is best.

    Attributes
    ----------
    dice : float
        2 TP / (2 TP + FP + FN), the pixel F1.
    iou : float
        TP / (TP + FP + FN), the Jaccard index.
    precision : float
        TP / (TP + FP).
    recall : float
        TP / (TP + FN).
    accuracy : float
        (TP + TN) / all pixels.
    """

    dice: float
    iou: float
    precision: float
    recall: float
    accuracy: float


@dataclass(frozen=True)
class Confusion:
    """Counts of pixels. Confusions of several images add up: `sum(confusions, Confusion())`."""

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0
    true_negative: int = 0

    def __add__(self, other):
        return Confusion(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
            self.true_negative + other.true_negative,
        )

    @property
    def pixels(self):
        """Number of pixels counted."""
        return self.true_positive + self.false_positive + self.false_negative + self.true_negative

    def scores(self):
        """Turn the counts into scores.

        Nothing predicted where there is nothing to find is perfect: every score is 1.0. Any
        other 0 / 0 (precision of an empty prediction, recall of an empty truth) is 0.0.

        Returns
        -------
        Scores
        """
        hit, extra, missed = self.true_positive, self.false_positive, self.false_negative
        empty = 1.0 if hit + extra + missed == 0 else 0.0

        def ratio(part, whole):
            return part / whole if whole else empty

        return Scores(
            dice=ratio(2 * hit, 2 * hit + extra + missed),
            iou=ratio(hit, hit + extra + missed),
            precision=ratio(hit, hit + extra),
            recall=ratio(hit, hit + missed),
            accuracy=ratio(hit + self.true_negative, self.pixels),
        )


def confusion(prediction, truth):
    """Count the pixels on which a mask and the truth agree and differ.

    Parameters
    ----------
    prediction, truth : ndarray of bool, any one shape
        True inside nuclei.

    Returns
    -------
    Confusion

    Raises
    ------
    ValueError
        If the shapes differ or an array is not bool: probabilities want a threshold first.

    Examples
    --------
    >>> counts = confusion(np.array([True, True, False]), np.array([True, False, False]))
    >>> counts
    Confusion(true_positive=1, false_positive=1, false_negative=0, true_negative=1)
    >>> counts.scores().precision
    0.5
    """
    _check(prediction, truth)
    if prediction.dtype != bool:
        raise ValueError(f"A predicted mask must be bool, not {prediction.dtype}.")
    hit = int(np.count_nonzero(prediction & truth))
    predicted, positive = int(np.count_nonzero(prediction)), int(np.count_nonzero(truth))
    return Confusion(
        true_positive=hit,
        false_positive=predicted - hit,
        false_negative=positive - hit,
        true_negative=truth.size - predicted - positive + hit,
    )


def soft_dice_per_pixel(probability, truth):
    """The "Dice coefficient" of older figures: (2 y p + 1) / (y^2 + p^2 + 1), mean over pixels.

    It is not the Dice of two masks. It gives each background pixel that is left empty a full
    score, so that an empty prediction on an image with nuclei on a share f of its pixels still
    scores 1 - f / 2: about 0.89 on MoNuSeg. Use it only to compare with those figures.

    Parameters
    ----------
    probability : ndarray of float
        p, in [0, 1].
    truth : ndarray of bool, same shape
        y.

    Returns
    -------
    float
    """
    _check(probability, truth)
    p, y = probability.astype(np.float64), truth.astype(np.float64)
    return float(np.mean((2 * y * p + 1) / (y**2 + p**2 + 1)))


def binary_cross_entropy(probability, truth):
    """Mean over pixels of -log(probability given to the true class), in nats.

    Parameters
    ----------
    probability : ndarray of float
        In [0, 1]; clipped to 1e-7 from both ends, as Keras does, so that the mean is finite.
    truth : ndarray of bool, same shape

    Returns
    -------
    float
    """
    _check(probability, truth)
    p = np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-np.mean(np.log(np.where(truth, p, 1 - p))))


def bootstrap_interval(values, level=0.95, resamples=10_000, seed=0):
    """Percentile bootstrap interval of a mean (Efron, Annals of Statistics 7, 1979).

    Parameters
    ----------
    values : sequence of float
        One value an image: images, not pixels, are what is drawn again with replacement.
    level : float
        Share of the resampled means inside the interval.
    resamples : int
    seed : int
        The same seed gives the same interval.

    Returns
    -------
    low, high : float

    Raises
    ------
    ValueError
        If there are no values.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.size == 0:
        raise ValueError("A bootstrap interval needs at least one value.")
    drawn = np.random.default_rng(seed).integers(values.size, size=(resamples, values.size))
    tail = (1 - level) / 2
    low, high = np.quantile(values[drawn].mean(axis=1), [tail, 1 - tail])
    return float(low), float(high)


def paired_test(first, second):
    """Ask whether one model is better than another on the same images.

    Parameters
    ----------
    first, second : sequence of float
        A score of each model, one value an image, images in the same order.

    Returns
    -------
    mean, low, high : float
        Mean of `second` - `first` with its 95% bootstrap interval.
    p : float
        Two-sided Wilcoxon signed-rank test (Biometrics Bulletin 1(6), 1945), exact for few images
        without ties: how often differences as one-sided as these come about by chance. 1 if there
        are no differences.

    Raises
    ------
    ValueError
        If there are no values, or the numbers of values differ.
    """
    if len(first) != len(second):
        raise ValueError(f"Pairs are needed, not {len(first)} and {len(second)} values.")
    differences = np.subtract(second, first)
    low, high = bootstrap_interval(differences)
    p = stats.wilcoxon(differences).pvalue if differences.any() else 1.0
    return float(differences.mean()), low, high, float(p)


def _check(prediction, truth):
    if prediction.shape != truth.shape:
        raise ValueError(f"Prediction {prediction.shape} and truth {truth.shape} differ in shape.")
    if truth.dtype != bool:
        raise ValueError(f"The true mask must be bool, not {truth.dtype}.")
