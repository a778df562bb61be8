"""Read and write images and masks, and find the image files and slides in folders.

`decode` reads every file, with `tiff` and `png` for what Pillow refuses. `colour` makes images of
it, `masks` makes masks and labels, `classes` tells the two apart.
`resolution` knows micrometres per pixel, and `scaling` scales. `files` finds and writes files.
"""

from .colour import LargeImage, over_white, read_rgb
from .files import (
    IMAGE_SUFFIXES,
    OTHER_SUFFIXES,
    SLIDE_SUFFIXES,
    find_images,
    name_of,
    walk,
    write_png,
)
from .masks import read_grey, read_labels, read_mask
from .resolution import read_mpp

__all__ = [
    "IMAGE_SUFFIXES",
    "OTHER_SUFFIXES",
    "SLIDE_SUFFIXES",
    "LargeImage",
    "find_images",
    "name_of",
    "over_white",
    "read_grey",
    "read_labels",
    "read_mask",
    "read_mpp",
    "read_rgb",
    "walk",
    "write_png",
]
