"""Cut an image into overlapping patches that miss no pixel, and stitch them back."""

import numpy as np
from skimage.util import view_as_windows

from ..errors import InputError

SIZE = 256
STRIDE = 152
"""With SIZE and STRIDE, 6 x 6 patches cover all 1000 x 1000 pixels: 256 + 5 * 152 = 1016."""


def count(length, size=SIZE, stride=STRIDE):
    """Number of patches that cover `length` pixels of one axis; the last may extend beyond.

    Raises
    ------
    InputError
        If `length` is below 1 or the stride would leave gaps.
    """
    if length < 1 or not 1 <= stride <= size:
        raise InputError(
            f"Patches of {size} pixels, one every {stride}, do not cover {length} pixels: set "
            "STRIDE to a number from 1 to PATCH_SIZE."
        )
    return 1 + max(0, -(-(length - size) // stride))


def cut(image, size=SIZE, stride=STRIDE):
    """Cut an image into overlapping square patches that together hold every pixel.

    The image is padded by reflection on the right and at the bottom, to the end of the last patch.

    Parameters
    ----------
    image : ndarray, shape (H, W) or (H, W, C)
        Any dtype and any size from 1 x 1 up.
    size, stride : int
        Side of a patch and step from one to the next, in pixels; ``stride <= size``.

    Returns
    -------
    ndarray, shape (N, size, size) or (N, size, size, C)
        The patches in row-major order, with the dtype of `image`; always a copy.

    Raises
    ------
    InputError
        If the image is empty or the stride would leave gaps.

    Examples
    --------
    >>> cut(np.zeros((1000, 1000, 3), np.uint8)).shape
    (36, 256, 256, 3)
    """
    grid = [count(length, size, stride) for length in image.shape[:2]]
    padding = [
        (0, size + (windows - 1) * stride - length)
        for windows, length in zip(grid, image.shape, strict=False)
    ]
    channels = image.shape[2:]
    padded = np.pad(image, padding + [(0, 0)] * len(channels), mode="reflect")
    windows = view_as_windows(padded, (size, size, *channels), (stride, stride, *channels))
    return windows.reshape(-1, size, size, *channels)


def corners(shape, size=SIZE, stride=STRIDE):
    """Row and column of the top left corner of each patch, in the order of `cut`.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image; only its height and width are used.
    size, stride : int
        As for `cut`, in pixels.

    Returns
    -------
    list of tuple of int

    Raises
    ------
    InputError
        As in `cut`.
    """
    return [
        (row * stride, column * stride)
        for row in range(count(shape[0], size, stride))
        for column in range(count(shape[1], size, stride))
    ]


def stitch(patches, shape, stride=STRIDE):
    """Put the patches of one image back together: the inverse of `cut`.

    Where patches overlap, the result is their mean: rounded for integers, a majority vote for
    bool. Where they all agree, the result is exactly their value.

    Parameters
    ----------
    patches : ndarray, shape (N, size, size) or (N, size, size, C)
        As `cut` returns them, or predictions for them; real numbers or bool.
    shape : tuple of int
        Shape of the image; only its height and width are used.
    stride : int
        The stride that the patches were cut with, in pixels.

    Returns
    -------
    ndarray, shape (H, W) or (H, W, C)
        Same dtype as `patches`.

    Raises
    ------
    InputError
        As in `cut`.
    ValueError
        If the number of patches does not fit an image of this shape.
    """
    height, width = shape[:2]
    size, channels = patches.shape[1], patches.shape[3:]
    rows, columns = count(height, size, stride), count(width, size, stride)
    if len(patches) != rows * columns:
        raise ValueError(
            f"{height} x {width} pixels have {rows * columns} patches, not {len(patches)}."
        )

    extent = (size + (rows - 1) * stride, size + (columns - 1) * stride)
    # float64 holds the sum of a few equal integers or float32 without rounding.
    total = np.zeros((*extent, *channels))
    overlap = np.zeros((*extent, *(1 for _ in channels)))
    for patch, (top, left) in zip(patches, corners(shape, size, stride), strict=True):
        window = np.s_[top : top + size, left : left + size]
        total[window] += patch
        overlap[window] += 1
    mean = (total / overlap)[:height, :width]
    if not np.issubdtype(patches.dtype, np.floating):
        mean = np.rint(mean)
    return mean.astype(patches.dtype)
