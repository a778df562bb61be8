"""Probability maps of whole images of any size: large windows, blended where they overlap."""

import math
from itertools import product

import numpy as np
from tqdm import tqdm

from .files import InputError

GRID = 32
"""Windows are multiples of this in size and lie at multiples of it.

It is the coarsest stride of common networks. Two windows then pool the same pixels together
and differ only near their borders, and an image shifted by 32 pixels gives a map shifted by 32.
"""

MARGIN = 28
"""Pixels thrown away on each side of a window, where zero padding of the network shows.

The image is extended by as many. 1000 + 2 * 28 is 33 * 32: a MoNuSeg image costs 12% more than
its own pixels, and no more.
"""


def predict(model, image, **options):
    """Predict the probability of nucleus at every pixel of an image.

    Parameters
    ----------
    model, image
        As for `predict_maps`.
    **options
        Those of `predict_maps`.

    Returns
    -------
    ndarray of float32, shape (H, W)
        Probability, in [0, 1].

    Raises
    ------
    InputError, ValueError
        As `predict_maps`.
    """
    return np.ascontiguousarray(predict_maps(model, image, **options)[..., 0])


def predict_maps(
    model, image, window=1056, overlap=128, batch_size=1, augment=False, progress=False
):
    """Predict all that a model tells of every pixel of an image.

    The image is extended by reflection and cut into windows of one size; their borders are
    thrown away, and what then still overlaps is cross-faded. Memory is that of one batch of
    windows and of the map: smaller windows need less, larger ones waste less on borders.

    Parameters
    ----------
    model : keras.Model
        Maps raw RGB (B, H, W, 3) to C numbers from 0 to 1 at each pixel, (B, H, W, C), for H and W
        multiples of 32. The first is the probability of nucleus.
    image : ndarray of uint8, shape (H, W, 3)
        RGB; H and W from 1 up.
    window : int
        Largest side of a window in pixels, a multiple of 32. The side that is used is the
        smallest that covers the image with as many windows.
    overlap : int
        Pixels that neighbouring windows share, a multiple of 32, at least 64 and below `window`.
    batch_size : int
        Windows that go through the model together.
    augment : bool
        Average over the 8 flips and quarter turns of the image; takes 8 times as long.
    progress : bool
        Show a progress bar over the windows.

    Returns
    -------
    ndarray of float32, shape (H, W, C)
        In [0, 1].

    Raises
    ------
    InputError
        If the image is not uint8 RGB or has no pixels.
    ValueError
        If `window`, `overlap` or `batch_size` is not as above.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise InputError(
            f"An image must be 8-bit RGB, uint8 of shape (H, W, 3), but this one is {image.dtype} "
            f"of shape {image.shape}: convert it first, for example with files.read_rgb."
        )
    if window % GRID or overlap % GRID or not 2 * MARGIN <= overlap < window or batch_size < 1:
        raise ValueError(
            f"window={window} and overlap={overlap} must be multiples of {GRID}, "
            f"{2 * MARGIN} <= overlap < window, and batch_size={batch_size} at least 1."
        )

    def predicted(view, title):
        return _slide(model, view, window, overlap, batch_size, title if progress else None)

    return over_views(predicted, image, augment)


def over_views(predicted, image, augment):
    """Average what is predicted of an image over its 8 flips and quarter turns.

    Parameters
    ----------
    predicted : callable
        Maps an image (H, W, 3) and a title, as in "view 3 of 8", to maps (H, W, C).
    image : ndarray of uint8, shape (H, W, 3)
    augment : bool
        False takes the image as it is, and nothing else.

    Returns
    -------
    ndarray of float32, shape (H, W, C)
        In [0, 1].
    """
    views = list(product(range(4), (1, -1))) if augment else [(0, 1)]
    mean = 0
    for number, (turns, step) in enumerate(views, start=1):
        view = np.rot90(image, turns)[:, ::step]  # step -1 mirrors
        maps = predicted(view, f"view {number} of {len(views)}")
        mean = mean + np.rot90(maps[:, ::step], -turns)
    mean /= len(views)
    return np.clip(mean, 0, 1, out=mean)  # the weights may sum to 1.0000001


def forward(model, batch):
    """Run a batch through the model, as it is.

    Parameters
    ----------
    model : keras.Model
    batch : ndarray of uint8, shape (B, H, W, 3)

    Returns
    -------
    ndarray of float32, shape (B, H, W, C)
    """
    # Not predict(), which sets up a data pipeline at each call; not model(batch), which holds
    # every activation of the network at once.
    return np.asarray(model.predict_on_batch(batch), dtype=np.float32)


def _slide(model, image, window, overlap, batch_size, bar):
    """Predict one view of an image, window by window."""
    height, width = image.shape[:2]
    rows, tops, row_weights = _cover(height, window, overlap)
    columns, lefts, column_weights = _cover(width, window, overlap)
    core_height, core_width = row_weights.shape[1], column_weights.shape[1]
    shape = tops[-1] + core_height, lefts[-1] + core_width, model.output_shape[-1]
    blended = np.zeros(shape, np.float32)
    places = list(product(range(len(tops)), range(len(lefts))))
    batches = [places[i : i + batch_size] for i in range(0, len(places), batch_size)]
    for batch in tqdm(batches, desc=bar, unit="batch", leave=False, disable=bar is None):
        tiles = np.stack([image[np.ix_(rows[i], columns[j])] for i, j in batch])
        for (i, j), tile in zip(batch, forward(model, tiles), strict=True):
            weights = row_weights[i][:, None] * column_weights[j]
            core = blended[tops[i] : tops[i] + core_height, lefts[j] : lefts[j] + core_width]
            core += weights[..., None] * tile[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return blended[:height, :width]


def _cover(length, window, overlap):
    """Lay N windows, S pixels long, along an axis of an image.

    Returns
    -------
    source : ndarray of int, shape (N, S)
        The pixels of the image that each window sees.
    starts : ndarray of int, shape (N,)
        Where on the axis the core of each window begins: the window without its margins.
    weights : ndarray of float32, shape (N, S - 2 * MARGIN)
        Share of each core in the blend. The shares of all cores sum to 1 at every pixel, so
        that nothing is left to divide by.
    """
    span = length + 2 * MARGIN
    count = max(1, math.ceil((span - overlap) / (window - overlap)))
    size = math.ceil((span + (count - 1) * overlap) / count / GRID) * GRID
    starts = np.arange(count) * (size - overlap)
    beyond = starts[-1] + size - MARGIN - length
    mirrored = np.pad(np.arange(length), (MARGIN, beyond), mode="reflect")
    source = mirrored[starts[:, None] + np.arange(size)]

    # Rises smoothly from just above 0 at the border of a core to 1 where the overlap ends.
    core = size - 2 * MARGIN
    depth = np.minimum(np.arange(core), np.arange(core)[::-1]) + 0.5
    ramp = np.sin(np.pi / 2 * np.minimum(depth / (overlap - 2 * MARGIN), 1)) ** 2
    total = np.zeros(starts[-1] + core)
    for start in starts:
        total[start : start + core] += ramp
    weights = ramp / total[starts[:, None] + np.arange(core)]
    return source, starts, weights.astype(np.float32)
