"""Run-length encoding: nuclei as runs of pixels in the rows of a label image.

Runs need little memory, and can be clipped and painted quickly anywhere on a slide.
"""

import numpy as np


def encode(labels, top=0, left=0):
    """List the runs of equal labels in the rows of an image.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
        0 = background.
    top, left : int
        Position of the image, which is added to the coordinates, in pixels.

    Returns
    -------
    ndarray of int32, shape (N, 4)
        For each run its label, y, first x, and last x + 1.
    """
    flat, width = np.pad(labels, ((0, 0), (1, 1))).ravel(), labels.shape[1] + 2
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    label = flat[changes + 1]
    y, x = np.divmod(changes, width)
    # Each row ends in background, so that each run ends at the next change.
    runs = np.stack([label[:-1], y[:-1] + top, x[:-1] + left, x[1:] + left], axis=1)
    return runs[label[:-1] > 0].astype(np.int32)


def clip(runs, top, left, height, width):
    """Clip runs to a rectangle and convert them to its coordinates.

    Parameters
    ----------
    runs : ndarray of int32, shape (N, 4)
        As from `encode`.
    top, left, height, width : int
        The rectangle, in pixels.

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
    """List the pixels of runs in an image.

    Parameters
    ----------
    runs : ndarray of int32, shape (N, 4)
        As from `encode`.
    width : int
        Width of the image in pixels.

    Returns
    -------
    positions : ndarray of int, shape (P,)
        y * width + x of each pixel.
    labels : ndarray of int32, shape (P,)
        Label of each pixel.
    """
    lengths = runs[:, 3] - runs[:, 2]
    starts = runs[:, 1].astype(np.int64) * width + runs[:, 2] - (np.cumsum(lengths) - lengths)
    return np.repeat(starts, lengths) + np.arange(lengths.sum()), np.repeat(runs[:, 0], lengths)


def paint(runs, height, width):
    """Draw runs as a label image; where they overlap, the lower label is kept.

    Parameters
    ----------
    runs : ndarray of int, shape (N, 4)
        As from `encode` or `clip`.
    height, width : int
        Size of the image in pixels.

    Returns
    -------
    ndarray of uint32, shape (height, width)
        0 = background.
    """
    image = np.zeros(height * width, np.uint32)
    positions, labels = pixels(runs[np.argsort(-runs[:, 0], kind="stable")], width)
    image[positions] = labels
    return image.reshape(height, width)
