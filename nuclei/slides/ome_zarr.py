"""Write maps and labels of whole slides as OME-NGFF 0.4, a chunked Zarr for napari and QuPath."""

import math
import os
import threading
from functools import lru_cache

import cv2
import numcodecs
import numpy as np
import zarr

from .tiles import SIDE

COLOURS = "00FFFF", "FF00FF"
"""Display colours (RGB) of the probability and of the relative distance."""

OWN = 2
"""Number of finest levels in which each tile has chunks of its own: their side halves at each
level, so a tile fills whole chunks. Coarser levels have chunks of `SIDE` pixels."""

SMALLEST = 1024
"""Longest side of the coarsest level of a pyramid, in pixels."""


def create(path, shape, channels, mpp, name, corner=(0.0, 0.0)):
    """Create a Zarr for maps and labels, without pixels, in place of what is there.

    Parameters
    ----------
    path : Path
        Folder of the Zarr.
    shape : tuple of int
        Height and width in pixels.
    channels : sequence of str
        Names of the maps.
    mpp : float
        Micrometres per pixel of the finest level.
    name : str
        Name of the image.
    corner : tuple of float
        The y and x of the corner of the slide in its file, in micrometres.
    """
    image = zarr.open_group(path, mode="w", zarr_format=2)
    labels = image.create_group("labels").create_group("nuclei")
    for level in range(levels(shape)):
        height, width = (-(-length // 2**level) for length in shape)
        side = SIDE >> level if level < OWN else SIDE
        _create_array(image, level, (len(channels), height, width), (1, side, side), np.uint8)
        _create_array(labels, level, (height, width), (side, side), np.uint32)
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]

    def multiscales(first_axes, method):
        resolutions = (mpp * 2**level for level in range(levels(shape)))
        scales = ([1.0] * len(first_axes) + [resolution] * 2 for resolution in resolutions)
        steps = [[{"type": "scale", "scale": scale}] for scale in scales]
        if any(corner):
            corners = [0.0] * len(first_axes) + list(corner)
            steps = [[*step, {"type": "translation", "translation": corners}] for step in steps]
        datasets = [
            {"path": str(n), "coordinateTransformations": step} for n, step in enumerate(steps)
        ]
        described = {"version": "0.4", "name": name, "axes": first_axes + axes}
        return [{**described, "datasets": datasets, "type": method}]

    image.attrs["multiscales"] = multiscales([{"name": "c", "type": "channel"}], "mean")
    window = {"start": 0, "end": 255, "min": 0, "max": 255}
    image.attrs["omero"] = {
        "channels": [
            {"label": label, "color": colour, "window": window, "active": label == channels[0]}
            for label, colour in zip(channels, COLOURS, strict=False)
        ]
    }
    image["labels"].attrs["labels"] = ["nuclei"]
    labels.attrs["multiscales"] = multiscales([], "nearest")
    labels.attrs["image-label"] = {"version": "0.4", "source": {"image": "../../"}}


def is_whole(path, shape, tiles=0):
    """Return whether the arrays and metadata of a Zarr exist, and the chunks of all tiles.

    Parameters
    ----------
    path : Path
        Folder of the Zarr.
    shape : tuple of int
        Height and width in pixels.
    tiles : int
        Number of tiles that were written, each to a chunk of its own in the levels below `OWN`.
    """
    try:
        image = zarr.open_group(path, mode="r")
        for group in (image, image["labels/nuclei"]):
            (described,) = group.attrs["multiscales"]
            if len(described["datasets"]) != levels(shape):
                return False
            for level, dataset in enumerate(described["datasets"]):
                *first, height, width = group[dataset["path"]].shape
                if (height, width) != tuple(-(-length // 2**level) for length in shape):
                    return False
                folder = path / group.path / dataset["path"]
                if level < OWN and _chunks(folder) < tiles * math.prod(first):
                    return False
        return image["labels"].attrs["labels"] == ["nuclei"]
    except (OSError, KeyError, ValueError, TypeError):
        return False


def _chunks(folder):
    """Number of chunks of an array that are written."""
    files = (file for file in folder.rglob("*") if not file.name.startswith("."))
    return sum(file.is_file() and file.stat().st_size > 0 for file in files)


def levels(shape):
    """Number of levels of the pyramid for an image of this height and width."""
    return 1 + max(0, int(np.ceil(np.log2(max(shape) / SMALLEST))))


def open_array(path):
    """Open an array of a Zarr once in each process; again only if it was created anew."""
    return _open_array(path, os.stat(f"{path}/.zarray").st_mtime_ns)


@lru_cache(maxsize=64)
def _open_array(path, _modified):
    # Write empty chunks too, because checking for them takes as long as compressing them, and
    # `is_whole` counts them. One thread at a time, because the setting is one for all threads.
    with _OPENING, zarr.config.set({"array.write_empty_chunks": True}):
        return zarr.open_array(path, mode="r+")


_OPENING = threading.Lock()


def remove_drafts(path):
    """Remove the files that Zarr was writing when a run was killed."""
    for draft in path.rglob("*.partial"):
        draft.unlink()


def write(path, group, top, left, pixels):
    """Write a tile to the finest levels of the pyramid, those below `OWN`.

    Parameters
    ----------
    path : str
        Folder of the Zarr.
    group : str
        "" for the maps, "labels/nuclei" for the labels.
    top, left : int
        Position of the tile in pixels of the finest level, multiples of `SIDE`.
    pixels : ndarray, shape (..., H, W)
        Pixels of the tile, H and W at most `SIDE`.
    """
    shape = open_array(f"{path}/{group}/0").shape[-2:]
    for level in range(min(OWN, levels(shape))):
        if level:
            pixels, top, left = _half(pixels, group), top // 2, left // 2
        here = slice(top, top + pixels.shape[-2]), slice(left, left + pixels.shape[-1])
        open_array(f"{path}/{group}/{level}")[..., *here] = pixels


def shrink(path, group, level, row, column):
    """Fill one chunk of a level from the next finer level.

    Parameters
    ----------
    path, group : str
        As for `write`.
    level : int
        Level to write, at least `OWN`.
    row, column : int
        Row and column of the chunk.
    """
    fine, coarse = (open_array(f"{path}/{group}/{n}") for n in (level - 1, level))
    top, left = row * SIDE, column * SIDE
    pixels = fine[..., 2 * top : 2 * (top + SIDE), 2 * left : 2 * (left + SIDE)]
    if pixels.any():
        coarse[..., top : top + SIDE, left : left + SIDE] = _half(pixels, group)


def _half(pixels, group):
    """Halve both sides: maps are averaged, labels are subsampled."""
    if group:
        return pixels[::2, ::2]
    size = tuple(-(-length // 2) for length in pixels.shape[:0:-1])
    return np.stack([cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in pixels])


def _create_array(group, level, shape, chunks, dtype):
    group.create_array(
        str(level),
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        fill_value=0,
        chunk_key_encoding={"name": "v2", "separator": "/"},
        compressors=numcodecs.Blosc("zstd", 1, numcodecs.Blosc.NOSHUFFLE),  # QuPath can read it
    )
