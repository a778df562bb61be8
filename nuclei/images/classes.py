"""Tell the two classes of a mask apart, and masks from labels, by their pixels alone."""

import numpy as np

UNCLEAR = 0.5
"""Most pixels that may be far from the typical colours of both classes, as a share of the smaller
class. Far is a quarter of the way from one to the other. Masks have up to 0.13 after JPEG and up to
0.44 after enlarging or reducing them fourfold; tissue has 1 and more."""

FLAT = 0.75
"""Least share of pixels with an equal neighbour beside and above or below, in labels; the pixels
of the two most common values do not count. Labels have 0.83 and more, JPEG 0.72 at most."""

_LUMA = np.array([0.299, 0.587, 0.114])


def split(pixels):
    """Find the pixels of the brighter of two classes.

    Labels are no two classes: all of them are found.

    Parameters
    ----------
    pixels : ndarray, shape (H, W) or (H, W, 3)
        Greys of any type, or 8-bit RGB.

    Returns
    -------
    ndarray of bool, shape (H, W)
        Exactly those of the brighter colour if there are two colours. Else those above half
        between the typical colours of the two classes. Of one colour: none if it is black, all if
        it is white.

    Raises
    ------
    ValueError
        If there are more than two classes, or neither of two is brighter.
    """
    if pixels.ndim == 3:
        return _split_colours(pixels)
    low, high = pixels.min(), pixels.max()
    if low == high:
        return _one(low, pixels.shape)
    inside = pixels == high
    if (inside | (pixels == low)).all():
        return inside
    if not np.isfinite(pixels).all():
        raise ValueError("has greys that are no numbers")
    count, share = flatness(pixels)
    flat = share >= FLAT
    if flat and _are_labels(pixels, count):
        return pixels > 0
    return _split_near(pixels[..., None], flat)


def flatness(labels):
    """Measure how flat a label image is, on every fourth row if it is large.

    Parameters
    ----------
    labels : ndarray, shape (H, W)

    Returns
    -------
    count : int
        Pixels that are of neither of the two most common values.
    share : float
        The share of them that has an equal neighbour to the left or right, and one above or below.
    """
    values, counts = np.unique(_sample(labels, 128), return_counts=True)
    common = values[np.argsort(counts)[-2:]]
    step = 1 if len(labels) < 256 else 4
    above, rows, below = (labels[start : len(labels) - 2 + start : step] for start in range(3))
    rest = (rows != common[0]) & (rows != common[-1])
    equal = rows[:, 1:] == rows[:, :-1]
    beside = np.zeros(rows.shape, bool)
    beside[:, 1:] = equal
    beside[:, :-1] |= equal
    count = np.count_nonzero(rest)
    flat = rest & beside & ((rows == above) | (rows == below))
    return count, np.count_nonzero(flat) / max(count, 1)


def count_colours(pixels):
    """Number of different greys or colours of pixels as for `split`."""
    return np.unique(pixels if pixels.ndim == 2 else _packed(pixels)).size


def _packed(pixels):
    """Each 8-bit colour as one number."""
    packed = pixels[..., 0].astype(np.int32) << 16
    packed |= pixels[..., 1].astype(np.int32) << 8
    packed |= pixels[..., 2]
    return packed


def _sample(pixels, side=256):
    """Pixels that are evenly spread, at least `side` in a line if there are so many."""
    step = max(1, min(pixels.shape[:2]) // side)
    return pixels[::step, ::step]


def _one(value, shape):
    """The pixels of an image of one grey."""
    if value == 0:
        return np.zeros(shape, bool)
    if value == 1 or (value.dtype.kind in "iu" and value in (255, np.iinfo(value.dtype).max)):
        return np.ones(shape, bool)
    raise ValueError(f"has only one grey, {value}")


def _split_colours(pixels):
    """The brighter of exactly two colours if there are two, else of two classes."""
    packed = _packed(pixels)
    low, high = packed.min(), packed.max()
    if low == high:
        raise ValueError("has only one colour")
    inside = packed == high
    if not (inside | (packed == low)).all():
        return _split_near(pixels, flatness(packed)[1] >= FLAT)
    colours = [[value >> 16, value >> 8 & 255, value & 255] for value in (low, high)]
    return inside if _is_brighter(*colours) else ~inside


def _split_near(pixels, flat):
    """Halve the way between two typical colours, if pixels are near them or lie on soft edges.

    Pixels that are near neither and are flat are a third class.
    """
    several = f"has more than two {'greys' if pixels.shape[-1] == 1 else 'colours'}"
    sample = _sample(pixels).reshape(-1, pixels.shape[-1]).astype(np.float32)

    def way(colour):
        return np.linalg.norm(sample - colour, axis=1)

    first = sample[way(sample.mean(axis=0)).argmax()]
    second = sample[way(first).argmax()]
    for _ in range(10):
        nearer = way(second) < way(first)
        if nearer.all() or not nearer.any():
            raise ValueError(several)
        first, second = np.median(sample[~nearer], axis=0), np.median(sample[nearer], axis=0)
    unclear = np.minimum(way(first), way(second)) > np.linalg.norm(second - first) / 4
    number, smaller = np.count_nonzero(unclear), min(nearer.sum(), (~nearer).sum())
    if number > UNCLEAR * smaller or (flat and number):
        raise ValueError(several)
    if not _is_brighter(first, second):
        first, second = second, first
    direction = second - first
    half = (first + second) @ direction / 2
    inside = np.empty(pixels.shape[:2], bool)
    for row, line in enumerate(pixels):  # by rows, to need little memory
        inside[row] = line @ direction > half
    return inside


def _is_brighter(first, second):
    """Whether the second of two greys or colours is brighter than the first."""
    if len(first) == 1:
        return second[0] > first[0]
    first, second = _LUMA @ np.asarray(first), _LUMA @ np.asarray(second)
    if abs(second - first) < 1:
        raise ValueError("has two colours of the same brightness")
    return second > first


def _are_labels(pixels, count):
    """Whether greys that are flat, and more than two, are whole numbers from 0.

    A few 8-bit greys close to black or to the brightest are what JPEG makes of a small mask.
    """
    high = pixels.max()
    if pixels.dtype == np.uint8 and high >= 64 and count < 200:
        close = high // 16
        if not ((pixels > close) & (pixels < high - close)).any():
            return False
    return pixels.min() == 0 and (pixels.dtype.kind != "f" or (pixels == np.rint(pixels)).all())
