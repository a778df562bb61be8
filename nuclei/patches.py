"""Cut an image into overlapping patches, keep them as PNG files, stitch them back."""

import os
import re
import shutil
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from skimage.util import view_as_windows
from tqdm import tqdm

from .files import InputError

SIZE = 256
STRIDE = 152
"""With these, 1000 x 1000 pixels make 6 x 6 windows that miss none: 256 + 5 * 152 = 1016."""

# Run lengths of row differences: nine times as fast as zlib's default on H&E, 15% larger.
PNG_OPTIONS = (
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
)

FOLDERS = ("TissueImages", "GroundTruth")


def count(length, size=SIZE, stride=STRIDE):
    """Windows it takes to cover `length` pixels of one axis; the last may reach beyond them."""
    if length < 1 or not 1 <= stride <= size:
        raise ValueError(f"cannot tile {length} pixels: need length >= 1 and 1 <= stride <= size.")
    return 1 + max(0, -(-(length - size) // stride))


def cut(image, size=SIZE, stride=STRIDE):
    """Cut an image into overlapping square patches that together hold every pixel.

    The right and the bottom are padded by reflection up to the end of the last window.

    Parameters
    ----------
    image : ndarray, shape (H, W) or (H, W, C)
        Any dtype and any size from 1 x 1 up.
    size, stride : int
        Side of a patch and step from one to the next, in pixels; ``stride <= size``.

    Returns
    -------
    ndarray, shape (N, size, size) or (N, size, size, C)
        Of the same dtype, never a view of `image`; the windows in row-major order.

    Raises
    ------
    ValueError
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
    """Row and column where each window of `cut` begins, in its order, for an image's `shape`."""
    return [
        (row * stride, column * stride)
        for row in range(count(shape[0], size, stride))
        for column in range(count(shape[1], size, stride))
    ]


def stitch(patches, shape, stride=STRIDE):
    """Put the patches of one image back together: the inverse of `cut`.

    Where windows overlap the result is their mean, rounded for whole numbers and a majority for
    bool. Windows that agree give their common value exactly.

    Parameters
    ----------
    patches : ndarray, shape (N, size, size) or (N, size, size, C)
        As `cut` returns them, or predictions for them; real numbers or bool.
    shape : tuple of int
        Shape of the image; only its height and width are read.
    stride : int
        The stride they were cut with.

    Returns
    -------
    ndarray, shape (H, W) or (H, W, C)
        Same dtype as `patches`.

    Raises
    ------
    ValueError
        If an image of this shape has another number of patches.
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


def write(samples, folder, progress=True):
    """Write every patch of every sample and of its mask as PNG.

    The files are ``TissueImages/<name>-PCH<i>.png`` (RGB) and ``GroundTruth/<name>-PCH<i>.png``
    (0/255) with i counted from 0 in row-major order. Earlier patches in `folder` are replaced,
    and only once all the new ones are complete: an interruption leaves it as it was.

    Parameters
    ----------
    samples : list of Sample
    folder : str or Path
    progress : bool
        Show a progress bar that counts images.

    Raises
    ------
    InputError
        If the folder holds anything but patches, or cannot be written.
    """
    with _whole_folder(folder) as temporary, ThreadPoolExecutor() as pool:
        for name in FOLDERS:
            (temporary / name).mkdir(parents=True)
        for sample in tqdm(samples, "Writing patches", unit="image", disable=not progress):
            for name in FOLDERS:
                paths = _paths(temporary / name, sample)
                for _ in pool.map(_encode, paths, cut(_pixels(sample, name))):
                    pass  # a look at each result raises the errors of its thread


def read(folder, samples):
    """Read the patches of these samples, as `write` left them.

    Parameters
    ----------
    folder : str or Path
    samples : list of Sample

    Returns
    -------
    images : ndarray of uint8, shape (N, 256, 256, 3)
        RGB, sample after sample, 36 for each image of 1000 x 1000.
    masks : ndarray of bool, shape (N, 256, 256)
        True inside nuclei.

    Or None if the folder does not hold exactly these samples' patches: a file is missing, left
    over, damaged, or was cut from other pixels (an old run, another mask).
    """
    with ThreadPoolExecutor() as pool:
        images = _read_folder(pool, Path(folder), samples, FOLDERS[0])
        masks = None if images is None else _read_folder(pool, Path(folder), samples, FOLDERS[1])
    return None if masks is None else (images, masks > 0)


def read_or_cut(folder, samples):
    """Read the patches of these samples where `folder` holds them, else cut them in memory.

    Either way they are the same; a printed sentence says which.

    Parameters
    ----------
    folder : str or Path
    samples : list of Sample

    Returns
    -------
    images : ndarray of uint8, shape (N, 256, 256, 3)
    masks : ndarray of bool, shape (N, 256, 256)
        As from `read`.
    """
    if found := read(folder, samples):
        print("The patches are those that patch_generator.ipynb wrote.")
        return found
    print("patch_generator.ipynb has not written the patches of these images: they are cut here.")
    images, masks = zip(*((cut(s.image), cut(s.mask)) for s in samples), strict=True)
    return np.concatenate(images), np.concatenate(masks)


def _read_folder(pool, folder, samples, name):
    paths = [_paths(folder / name, sample) for sample in samples]
    if set(sum(paths, [])) != set((folder / name).glob("*.png")):
        return None
    patches = []
    for sample, group in zip(samples, paths, strict=True):
        found = list(pool.map(_decode, group))
        if not all(map(np.array_equal, found, cut(_pixels(sample, name)))):
            return None
        patches += found
    return np.stack(patches)


def _pixels(sample, name):
    """What a folder keeps of a sample: RGB, or the mask as 0/255 so that any viewer shows it."""
    return sample.image if name == FOLDERS[0] else sample.mask * np.uint8(255)


def _paths(folder, sample):
    patches = np.prod([count(length) for length in sample.mask.shape])
    return [folder / f"{sample.name}-PCH{index}.png" for index in range(patches)]


def _encode(path, patch):
    """Write one PNG: Python writes the bytes, because OpenCV stays silent about a full disk."""
    if patch.ndim == 3:
        patch = cv2.cvtColor(patch, cv2.COLOR_RGB2BGR)
    path.write_bytes(cv2.imencode(".png", patch, PNG_OPTIONS)[1])


def _decode(path):
    """Pixels of one patch, or None where they cannot be decoded."""
    data = np.fromfile(path, np.uint8)
    patch = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if patch is None or patch.ndim == 2:
        return patch
    return cv2.cvtColor(patch, cv2.COLOR_BGR2RGB)


@contextmanager
def _whole_folder(folder):
    """Yield a folder beside `folder` that takes its place when the block ends well."""
    folder = Path(folder).resolve()
    for path in (folder, *folder.rglob("*")):
        patch = path.parent.name in FOLDERS and re.search(r"-PCH\d+\.png$", path.name)
        if path.is_file() and not patch and not path.name.startswith("."):
            raise InputError(
                f"{folder} would be replaced, but {path.name} is no patch: choose another folder."
            )
    for leftover in folder.parent.glob(f".{folder.name}-????????.*"):  # of runs that were killed
        if time.time() - leftover.stat().st_mtime > 3600:
            shutil.rmtree(leftover, ignore_errors=True)
    stem = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
    new, old = stem.with_suffix(".new"), stem.with_suffix(".old")
    try:
        new.mkdir(parents=True)
        yield new
        if folder.exists():
            os.replace(folder, old)
        os.replace(new, folder)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"{folder} could not be written ({reason}): free some space or choose another folder."
        ) from error
    finally:
        if old.exists() and not folder.exists():
            os.replace(old, folder)
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
