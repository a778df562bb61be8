"""Nuclei as runs of pixels, the rows of a label image: small, and quick to paint anywhere."""

import numpy as np


def encode(labels, top=0, left=0):
    """List the runs of equal labels in the rows of an image.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
        0 = background.
    top, left : int
        Where the image lies.

    Returns
    -------
    ndarray of int32, shape (N, 4)
        Label, y, first x, and the x after the last, of each run.
    """
    flat, width = np.pad(labels, ((0, 0), (1, 1))).ravel(), labels.shape[1] + 2
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    label = flat[changes + 1]
    y, x = np.divmod(changes, width)
    # Each row ends in background, so that a run ends where the next change is.
    runs = np.stack([label[:-1], y[:-1] + top, x[:-1] + left, x[1:] + left], axis=1)
    return runs[label[:-1] > 0].astype(np.int32)


def clip(runs, top, left, height, width):
    """Keep what lies in a window, in coordinates of the window.

    Returns
    -------
    ndarray of int32, shape (M, 4)
    """
    inside = (runs[:, 1] >= top) & (runs[:, 1] < top + height)
    inside &= (runs[:, 3] > left) & (runs[:, 2] < left + width)
    runs = runs[inside] - np.array([0, top, left, left], np.int32)
    np.clip(runs[:, 2:], 0, width, out=runs[:, 2:])
    return runs


def pixels(runs, width):
    """List the pixels of runs.

    Returns
    -------
    positions : ndarray of int, shape (P,)
        y * width + x.
    labels : ndarray of int32, shape (P,)
        Of each.
    """
    lengths = runs[:, 3] - runs[:, 2]
    starts = runs[:, 1].astype(np.int64) * width + runs[:, 2] - (np.cumsum(lengths) - lengths)
    return np.repeat(starts, lengths) + np.arange(lengths.sum()), np.repeat(runs[:, 0], lengths)


def paint(runs, height, width):
    """Make a label image of runs; where they overlap the lower label lies on top.

    Returns
    -------
    ndarray of uint32, shape (height, width)
    """
    image = np.zeros(height * width, np.uint32)
    positions, labels = pixels(runs[np.argsort(-runs[:, 0], kind="stable")], width)
    image[positions] = labels
    return image.reshape(height, width)
