"""Predict images of any size in large windows, which are blended where they overlap."""

import math
from functools import partial
from itertools import product

import numpy as np
from tqdm import tqdm

from ..errors import InputError
from .engines import as_engine
from .test_time_augmentation import test_time_augmentation

GRID = 32
"""The size and position of windows are multiples of this number, in pixels.

It is the coarsest stride of common networks. Two windows then pool the same pixels together
and differ only near their borders, and an image shifted by 32 pixels gives a map shifted by 32.
"""

MARGIN = 28
"""Pixels to discard on each side of a window, because the network's zero padding affects them.

The image is extended by as many pixels. 1000 + 2 * 28 = 33 * 32, so a MoNuSeg image is predicted in
one window, with only 12% more pixels than its own.
"""


def predict(model, image, **options):
    """Predict the probability of nucleus at every pixel of an image.

    Parameters
    ----------
    model, image
        As for `predict_maps`.
    **options
        Further arguments of `predict_maps`.

    Returns
    -------
    ndarray of float32, shape (H, W)
        Probability, in [0, 1].

    Raises
    ------
    InputError, ValueError
        As in `predict_maps`.
    """
    return np.ascontiguousarray(predict_maps(model, image, **options)[..., 0])


def predict_maps(
    model, image, window=1056, overlap=128, batch_size=1, augment=False, progress=False
):
    """Predict all output channels of a model for every pixel of an image, as it is.

    `image.predict_maps` is for tissue of any laboratory: ink, stain and resolution count there.

    The image is extended by reflection and cut into windows of one size. The borders of the windows
    are discarded, and the overlaps that remain are blended. Memory is needed for one batch of
    windows and for the maps: smaller windows need less memory, larger ones waste less on borders.

    Parameters
    ----------
    model : keras.Model or engine
        Maps raw RGB (B, H, W, 3) to C numbers from 0 to 1 at each pixel, (B, H, W, C), for H and W
        multiples of 32. The first channel is the probability of nucleus. `engines.load` loads
        engines.
    image : ndarray of uint8, shape (H, W, 3)
        RGB; H and W are at least 1.
    window : int
        Largest side of a window in pixels, a multiple of 32. It is reduced to the smallest side
        that covers the image with the same number of windows.
    overlap : int
        Pixels that neighbouring windows share, a multiple of 32, at least 64 and below `window`.
    batch_size : int
        Windows that go through the model together.
    augment : bool
        Test-time augmentation: average over the 8 flips and quarter turns of the image, which
        takes 8 times as long.
    progress : bool or callable
        Show a progress bar over the windows. A callable is given the list of batches and iterates
        over it, as `tqdm.tqdm` does.

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
    image = checked(image)
    if window % GRID or overlap % GRID or not 2 * MARGIN <= overlap < window or batch_size < 1:
        raise ValueError(
            f"window={window} and overlap={overlap} must be multiples of {GRID}, "
            f"{2 * MARGIN} <= overlap < window, and batch_size={batch_size} at least 1."
        )

    engine = as_engine(model)

    def predicted(view, title):
        bar = partial(tqdm, desc=title, unit="batch", leave=False, disable=not progress)
        bar = progress if callable(progress) else bar
        return _predict_view(engine, view, window, overlap, batch_size, bar)

    return test_time_augmentation(predicted, image, augment)


def checked(image):
    """Return an image as an array, or raise an InputError if it is not uint8 RGB of some pixels."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise InputError(
            f"An image must be 8-bit RGB, uint8 of shape (H, W, 3), but this one is {image.dtype} "
            f"of shape {image.shape}: convert it first, for example with images.read_rgb."
        )
    return image


def forward(model, batch):
    """Run a batch through the model, without windows or blending.

    Parameters
    ----------
    model : keras.Model or engine
    batch : ndarray of uint8, shape (B, H, W, 3)

    Returns
    -------
    ndarray of float32, shape (B, H, W, C)
    """
    return as_engine(model).forward(batch)


def _predict_view(engine, image, window, overlap, batch_size, bar):
    """Predict one view of an image, window by window."""
    height, width = image.shape[:2]
    rows, tops, row_weights = _cover(height, window, overlap)
    columns, lefts, column_weights = _cover(width, window, overlap)
    core_height, core_width = row_weights.shape[1], column_weights.shape[1]
    shape = tops[-1] + core_height, lefts[-1] + core_width, engine.channels
    blended = np.zeros(shape, np.float32)
    places = list(product(range(len(tops)), range(len(lefts))))
    batches = [places[i : i + batch_size] for i in range(0, len(places), batch_size)]
    for batch in bar(batches):
        windows = np.stack([image[np.ix_(rows[i], columns[j])] for i, j in batch])
        for (i, j), maps in zip(batch, engine.forward(windows), strict=True):
            weights = row_weights[i][:, None] * column_weights[j]
            core = blended[tops[i] : tops[i] + core_height, lefts[j] : lefts[j] + core_width]
            core += weights[..., None] * maps[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return blended[:height, :width]


def _cover(length, window, overlap):
    """Cover an axis of an image with N windows of S pixels.

    Returns
    -------
    source : ndarray of int, shape (N, S)
        For each window the indices of its pixels in the image.
    starts : ndarray of int, shape (N,)
        Where the core of each window, which is the window without its margins, begins.
    weights : ndarray of float32, shape (N, S - 2 * MARGIN)
        Weight of each core in the blend. The weights of all cores sum to 1 at every pixel, so
        the sum needs no division.
    """
    span = length + 2 * MARGIN
    count = max(1, math.ceil((span - overlap) / (window - overlap)))
    size = math.ceil((span + (count - 1) * overlap) / count / GRID) * GRID
    starts = np.arange(count) * (size - overlap)
    beyond = starts[-1] + size - MARGIN - length
    mirrored = np.pad(np.arange(length), (MARGIN, beyond), mode="reflect")
    source = mirrored[starts[:, None] + np.arange(size)]

    # The ramp rises smoothly from just above 0 at the border of a core to 1 at the overlap's end.
    core = size - 2 * MARGIN
    depth = np.minimum(np.arange(core), np.arange(core)[::-1]) + 0.5
    ramp = np.sin(np.pi / 2 * np.minimum(depth / (overlap - 2 * MARGIN), 1)) ** 2
    total = np.zeros(starts[-1] + core)
    for start in starts:
        total[start : start + core] += ramp
    weights = ramp / total[starts[:, None] + np.arange(core)]
    return source, starts, weights.astype(np.float32)
