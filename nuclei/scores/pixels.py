"""Pixel scores of a predicted mask against the true mask.

Dice = 2 TP / (2 TP + FP + FN). It equals F1, the harmonic mean of precision and recall, of the
class nucleus, so the score is given only once, as `dice`.
"""

from dataclasses import astuple, dataclass

import numpy as np


@dataclass(frozen=True)
class Scores:
    """How well a predicted mask agrees with the true one. Scores are in [0, 1]; 1 is best.

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
    """Counts of pixels. To pool several images, add them: `sum(confusions, Confusion())`."""

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0
    true_negative: int = 0

    def __add__(self, other):
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Confusion(*(one + two for one, two in pairs))

    @property
    def pixels(self):
        """Number of pixels counted."""
        return sum(astuple(self))

    def scores(self):
        """Turn the counts into scores.

        If both masks are empty, every score is 1.0. Any other 0 / 0 (precision of an empty
        prediction, recall of an empty truth) is 0.0.

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
    """Count the true and false, positive and negative pixels of a predicted mask.

    Parameters
    ----------
    prediction, truth : ndarray of bool, of the same shape
        True inside nuclei.

    Returns
    -------
    Confusion

    Raises
    ------
    ValueError
        If the shapes differ or an array is not bool: threshold probabilities first.

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

    It is not the Dice of two masks: every correct background pixel scores 1. If a fraction f of
    the pixels is nuclei, an empty prediction still scores 1 - f / 2, which is about 0.89 on
    MoNuSeg. Use it only to compare with those older figures.

    Parameters
    ----------
    probability : ndarray of float
        p, in [0, 1].
    truth : ndarray of bool, same shape
        y.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes differ or `truth` is not bool.
    """
    _check(probability, truth)
    p, y = probability.astype(np.float64), truth.astype(np.float64)
    return float(np.mean((2 * y * p + 1) / (y**2 + p**2 + 1)))


def binary_cross_entropy(probability, truth):
    """Binary cross-entropy, averaged over pixels, in nats.

    Parameters
    ----------
    probability : ndarray of float
        In [0, 1]; clipped to 1e-7 .. 1 - 1e-7, as in Keras, so that the result is finite.
    truth : ndarray of bool, same shape
        True inside nuclei.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes differ or `truth` is not bool.
    """
    _check(probability, truth)
    p = np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-np.mean(np.log(np.where(truth, p, 1 - p))))


def _check(prediction, truth):
    if prediction.shape != truth.shape:
        raise ValueError(f"Prediction {prediction.shape} and truth {truth.shape} differ in shape.")
    if truth.dtype != bool:
        raise ValueError(f"The true mask must be bool, not {truth.dtype}.")
