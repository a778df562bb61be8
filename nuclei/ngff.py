"""Maps and labels of whole slides as OME-NGFF 0.4, a chunked Zarr that napari and QuPath open."""

from functools import lru_cache

import cv2
import numcodecs
import numpy as np
import zarr

CHUNK = 1024
"""Side of a chunk in pixels."""

COLOURS = "00FFFF", "FF00FF"
"""Of the probability and of the distance within a nucleus."""

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
    levels = 1 + max(0, int(np.ceil(np.log2(max(shape) / SMALLEST))))
    for level in range(levels):
        height, width = (-(-length // 2**level) for length in shape)
        size, chunks = (len(channels), height, width), (1, CHUNK, CHUNK)
        _create_array(image, level, size, chunks, np.uint8)
        _create_array(labels, level, (height, width), (CHUNK, CHUNK), np.uint32)
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]

    def multiscales(first_axes, method):
        resolutions = (micrometres_per_pixel * 2**level for level in range(levels))
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


@lru_cache(maxsize=64)
def open_array(path, mode):
    """Open an array of a Zarr, once in each process."""
    return zarr.open_array(path, mode=mode)


def shrink(path, group, level, row, column):
    """Fill one chunk of a level from the four of the finer level that lie above it.

    Parameters
    ----------
    path : Path
        Of the Zarr.
    group : str
        "" for the maps, "labels/nuclei" for the labels.
    level : int
        From 1 up.
    row, column : int
        Of the chunk.
    """
    fine, coarse = (open_array(f"{path / group}/{n}", "r+") for n in (level - 1, level))
    top, left = row * CHUNK, column * CHUNK
    pixels = fine[..., 2 * top : 2 * (top + CHUNK), 2 * left : 2 * (left + CHUNK)]
    if not pixels.any():
        return
    if group:  # no mean of numbers
        small = pixels[::2, ::2]
    else:
        size = tuple(-(-length // 2) for length in pixels.shape[:0:-1])
        small = np.stack([cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in pixels])
    coarse[..., top : top + CHUNK, left : left + CHUNK] = small


def levels(path, group):
    """Count the chunks, rows and columns, of each level of a pyramid."""
    datasets = zarr.open_group(path / group, mode="r").attrs["multiscales"][0]["datasets"]
    sizes = (zarr.open_array(path / group / d["path"], mode="r").shape[-2:] for d in datasets)
    return [tuple(-(-length // CHUNK) for length in size) for size in sizes]


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
