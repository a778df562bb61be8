"""Which nuclei of one label image are in another, counted plainly."""

import numpy as np


def share_matched(labels, others, least):
    """The share of nuclei in `labels` that have an intersection over union of `least` with one."""
    overlap, counts = np.unique([labels.ravel(), others.ravel()], axis=1, return_counts=True)
    area, other_area = np.bincount(labels.ravel()), np.bincount(others.ravel())
    both = (overlap > 0).all(axis=0)
    (one, other), counts = overlap[:, both], counts[both]
    matched = counts / (area[one] + other_area[other] - counts) >= least
    return matched.sum() / (len(np.unique(labels)) - 1)
