"""Find image files and slides in folders, and write PNG files."""

import os
import zlib
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..atomic import atomic_write
from ..errors import InputError

IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")

SLIDE_SUFFIXES = (".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide", ".dcm")
"""Suffixes that only whole slides have; a TIFF can be an image or a slide."""

OTHER_SUFFIXES = (".gif", ".webp", ".heic", ".heif", ".avif", ".jfif", ".jp2", ".czi", ".vsi")
"""Suffixes of images and slides that are left out of folders, which is said."""


def name_of(path):
    """How the names of the results of an image or slide begin.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str
        Its name without the suffix. The last number of a DICOM identifier is no suffix.
    """
    return path.name if path.suffix[1:].isdigit() else path.stem


def find_images(paths):
    """Replace each folder by the images directly in it, sorted by name.

    Parameters
    ----------
    paths : iterable of Path
        Files, which are returned as they are, and folders. Subfolders are not searched.

    Returns
    -------
    list of Path
        The images and slides, in the order of `paths`.

    Raises
    ------
    InputError
        If a folder contains no image.
    """
    images, suffixes = [], IMAGE_SUFFIXES + SLIDE_SUFFIXES
    for path in paths:
        if not path.is_dir():
            images.append(path)
            continue
        # Skip hidden files: macOS puts a file `._<name>` beside each image that it copies.
        names = sorted(p for p in path.iterdir() if not p.name.startswith("."))
        inside = [name for name in names if name.suffix.lower() in suffixes and not name.is_dir()]
        if not inside:
            raise InputError(
                f"{path} has no PNG, TIFF, JPEG or slide directly in it: name the folder that "
                "holds the images."
            )
        images.extend(inside)
    return images


def walk(folder, refused=None):
    """Go through a folder and all in it, as `os.walk`, also into folders that are links.

    Parameters
    ----------
    folder : str or Path
    refused : callable, optional
        Called with the OSError of each folder that cannot be read; by default it is passed over.

    Yields
    ------
    tuple
        As of `os.walk`. A link to a folder that it lies in is passed over, or there were no end.
    """
    for place, folders, names in os.walk(folder, onerror=refused, followlinks=True):
        if any(map(Path(place).samefile, Path(os.path.abspath(place)).parents)):
            folders.clear()
        else:
            yield place, folders, names


def write_png(path, pixels):
    """Write an image or a mask as PNG, completely or not at all.

    Parameters
    ----------
    path : str or Path
    pixels : ndarray of uint8, shape (H, W, 3) or (H, W), or of uint16, shape (H, W)

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    with atomic_write(path) as temporary:
        save_png(temporary, pixels)


def save_png(path, pixels, texts=None):
    """Write a PNG as `write_png` does, but under its name at once; an OSError if that fails.

    `texts`, a dict of str to str, are texts for the file to keep, by keyword.
    """
    kept = PngInfo()
    for keyword, text in (texts or {}).items():
        kept.add_text(keyword, text)
    # To look for repetitions takes far longer, and tissue repeats nothing.
    options = {"pnginfo": kept, "compress_type": zlib.Z_RLE}
    Image.fromarray(pixels).save(path, format="PNG", **options)
