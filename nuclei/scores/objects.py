"""Scores of nuclei, not pixels: match predicted nuclei to true ones and compare their shapes.

Every score is computed from the overlaps of two label images: 0 = background, any other number one
nucleus. Labels may have gaps and any order.
"""

from dataclasses import dataclass

import numpy as np
from skimage.segmentation import relabel_sequential


@dataclass(frozen=True)
class ObjectScores:
    """How well predicted nuclei agree with true ones. Scores are in [0, 1]; 1 is best.

    Attributes
    ----------
    aji : float
        Aggregated Jaccard index; see `Overlaps.aji`.
    aji_shared : float
        The same index, but one predicted nucleus may match several true ones.
    pq : float
        Panoptic quality (Kirillov et al., CVPR 2019): `dq` times `sq`.
    dq : float
        Detection quality: the F1 of nuclei at an IoU above 0.5.
    sq : float
        Segmentation quality: mean IoU of the matched nuclei.
    f1_70 : float
        F1 of nuclei at an IoU above 0.7.
    predicted, true : int
        Numbers of nuclei.
    """

    aji: float
    aji_shared: float
    pq: float
    dq: float
    sq: float
    f1_70: float
    predicted: int
    true: int


class Overlaps:
    """The pairs of nuclei in two label images that share pixels, and how many pixels they share.

    Parameters
    ----------
    prediction, truth : ndarray of int, shape (H, W)
        0 = background, any other number one nucleus.

    Raises
    ------
    ValueError
        If the shapes differ or a label is not a whole number from 0 up.
    """

    def __init__(self, prediction, truth):
        if prediction.shape != truth.shape:
            raise ValueError(
                f"Prediction {prediction.shape} and truth {truth.shape} differ in shape."
            )
        self.predicted_areas, prediction = _areas(prediction)
        self.true_areas, truth = _areas(truth)
        both = (prediction > 0) & (truth > 0)
        codes = truth[both] * (len(self.predicted_areas) + 1) + prediction[both]
        codes, self.common = np.unique(codes, return_counts=True)
        self.true, self.predicted = np.divmod(codes, len(self.predicted_areas) + 1)
        self.true -= 1
        self.predicted -= 1
        areas = self.true_areas[self.true] + self.predicted_areas[self.predicted]
        self.iou = self.common / (areas - self.common)

    def aji(self, shared=False):
        """Aggregated Jaccard index (Kumar et al., IEEE TMI 36(7), 2017, algorithm 1).

        Each matched pair adds its intersection to the numerator and its union to the denominator.
        Each unmatched nucleus, true or predicted, adds its area to the denominator. All nuclei of
        an image go into one index, so large nuclei weigh more.

        Parameters
        ----------
        shared : bool
            Whether several true nuclei may match the same predicted one. By default each predicted
            nucleus is matched once, to the true nucleus with the highest IoU. The first MATLAB code
            of the MoNuSeg challenge also matches each prediction once, but in the order of the true
            labels; its final code, of July 2018, lets true nuclei share a prediction. Here the best
            pairs are matched first, so the result does not depend on the label numbers.

        Returns
        -------
        float
            In [0, 1]; 1 if both images are empty.
        """
        if not len(self.true_areas) + len(self.predicted_areas):
            return 1.0
        used_true, used_predicted, matched = set(), set(), []
        # Highest IoU first; among equal ones the larger overlap, so that no label is preferred.
        for pair in np.lexsort((-self.common, -self.iou)):
            i, j = self.true[pair], self.predicted[pair]
            if i not in used_true and (shared or j not in used_predicted):
                used_true.add(i)
                used_predicted.add(j)
                matched.append(pair)
        common = self.common[matched].sum()
        union = self.true_areas.sum() - common  # every true nucleus counts once
        union += self.predicted_areas[self.predicted[matched]].sum()  # once per match
        union += np.delete(self.predicted_areas, list(used_predicted)).sum()
        return float(common / union)

    def found(self, threshold):
        """IoU of the pairs above a threshold; from 0.5 up each nucleus is in at most one pair."""
        return self.iou[self.iou > threshold]

    def f1(self, threshold):
        """F1 of nuclei: 2 TP / (2 TP + FP + FN).

        A pair of nuclei is a true positive (TP) if its IoU is above the threshold.

        Parameters
        ----------
        threshold : float
            At least 0.5.

        Returns
        -------
        float
            In [0, 1]; 1 if both images are empty.
        """
        count = len(self.true_areas) + len(self.predicted_areas)
        return 2 * len(self.found(threshold)) / count if count else 1.0


def object_scores(prediction, truth):
    """Compare two label images.

    Parameters
    ----------
    prediction, truth : ndarray of int, shape (H, W)
        0 = background, any other number one nucleus.

    Returns
    -------
    ObjectScores

    Raises
    ------
    ValueError
        If the shapes differ or a label is not a whole number from 0 up.
    """
    overlaps = Overlaps(prediction, truth)
    found, dq = overlaps.found(0.5), overlaps.f1(0.5)
    nothing = not len(overlaps.true_areas) + len(overlaps.predicted_areas)
    sq = float(found.mean()) if len(found) else float(nothing)
    return ObjectScores(
        aji=overlaps.aji(),
        aji_shared=overlaps.aji(shared=True),
        pq=dq * sq,
        dq=dq,
        sq=sq,
        f1_70=overlaps.f1(0.7),
        predicted=len(overlaps.predicted_areas),
        true=len(overlaps.true_areas),
    )


def _areas(labels):
    """Area of each nucleus in pixels, and the label image renumbered to 1..N."""
    if not np.issubdtype(labels.dtype, np.integer) or labels.min(initial=0) < 0:
        kind = f"{labels.dtype} from {labels.min(initial=0)}"
        raise ValueError(f"A label image has whole numbers from 0 up, not {kind}.")
    renumbered, _, _ = relabel_sequential(labels)
    renumbered = renumbered.astype(np.int64)
    return np.bincount(renumbered.ravel(), minlength=1)[1:], renumbered
