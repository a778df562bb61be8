"""Maps and labels of whole slides as OME-NGFF 0.4, a chunked Zarr that napari and QuPath open."""

import os
from functools import lru_cache

import cv2
import numcodecs
import numpy as np
import zarr

CHUNK = 1024
"""Side of a chunk in pixels."""

COLOURS = "00FFFF", "FF00FF"
"""Of the probability and of the distance within a nucleus."""

OWN = 2
"""Levels whose chunks halve with the pixels, so that each part of the image fills its own."""

SMALLEST = 1024
"""The coarsest level of a pyramid has no longer side."""


def create(path, shape, channels, micrometres_per_pixel, name):
    """Lay out a Zarr for maps and labels, with nothing in it yet.

    Parameters
    ----------
    path : Path
        Of a folder; what is in it stays only where it is the same layout.
    shape : tuple of int
        Height and width.
    channels : sequence of str
        What the maps are of.
    micrometres_per_pixel : float
    name : str
        Of the image.
    """
    image = zarr.open_group(path, mode="a", zarr_format=2)
    labels = image.require_group("labels").require_group("nuclei")
    for level in range(levels(shape)):
        height, width = (-(-length // 2**level) for length in shape)
        side = CHUNK >> level if level < OWN else CHUNK
        _create_array(image, level, (len(channels), height, width), (1, side, side), np.uint8)
        _create_array(labels, level, (height, width), (side, side), np.uint32)
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]

    def multiscales(first_axes, method):
        resolutions = (micrometres_per_pixel * 2**level for level in range(levels(shape)))
        scales = ([1.0] * len(first_axes) + [resolution] * 2 for resolution in resolutions)
        datasets = [
            {"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
            for n, scale in enumerate(scales)
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


def levels(shape):
    """Count the levels of the pyramid of an image, given by height and width."""
    return 1 + max(0, int(np.ceil(np.log2(max(shape) / SMALLEST))))


def open_array(path):
    """Open an array of a Zarr, once in each process unless it was laid out anew."""
    return _open_array(path, os.stat(f"{path}/.zarray").st_mtime_ns)


@lru_cache(maxsize=64)
def _open_array(path, _modified):
    # To find out whether a chunk is empty takes as long as to compress it.
    with zarr.config.set({"array.write_empty_chunks": True}):
        return zarr.open_array(path, mode="r+")


def write(path, group, top, left, pixels):
    """Write a part of the finest level, and the same of the next ones below `OWN`.

    Parameters
    ----------
    path : str
        Of the Zarr.
    group : str
        "" for the maps, "labels/nuclei" for the labels.
    top, left : int
        Where it lies, multiples of `CHUNK`.
    pixels : ndarray, shape (..., H, W)
        Of up to `CHUNK` a side.
    """
    shape = open_array(f"{path}/{group}/0").shape[-2:]
    for level in range(min(OWN, levels(shape))):
        if level:
            pixels, top, left = _half(pixels, group), top // 2, left // 2
        here = slice(top, top + pixels.shape[-2]), slice(left, left + pixels.shape[-1])
        open_array(f"{path}/{group}/{level}")[..., *here] = pixels


def shrink(path, group, level, row, column):
    """Fill one chunk of a level from the finer level that lies above it.

    Parameters
    ----------
    path, group : str
        As for `write`.
    level : int
        From `OWN` up.
    row, column : int
        Of the chunk.
    """
    fine, coarse = (open_array(f"{path}/{group}/{n}") for n in (level - 1, level))
    top, left = row * CHUNK, column * CHUNK
    pixels = fine[..., 2 * top : 2 * (top + CHUNK), 2 * left : 2 * (left + CHUNK)]
    if pixels.any():
        coarse[..., top : top + CHUNK, left : left + CHUNK] = _half(pixels, group)


def _half(pixels, group):
    """Halve both sides, by the mean of pixels but not of labels."""
    if group:
        return pixels[::2, ::2]
    size = tuple(-(-length // 2) for length in pixels.shape[:0:-1])
    return np.stack([cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in pixels])


def _create_array(group, level, shape, chunks, dtype):
    if str(level) in group:
        return
    group.create_array(
        str(level),
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        fill_value=0,
        chunk_key_encoding={"name": "v2", "separator": "/"},
        compressors=numcodecs.Blosc("zstd", 1, numcodecs.Blosc.NOSHUFFLE),  # QuPath knows it
    )
