"""Read and write images and masks, and find the image files and slides in folders."""

import numpy as np
from PIL import Image, UnidentifiedImageError

from .atomic import atomic_write
from .errors import InputError

IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")

SLIDE_SUFFIXES = (".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide", ".dcm")
"""Suffixes that only whole slides have; a TIFF can be an image or a slide."""


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
        inside = [name for name in names if name.suffix.lower() in suffixes]
        if not inside:
            raise InputError(f"{path} contains no PNG, TIFF, JPEG or slide: use another folder.")
        images.extend(inside)
    return images


def read_rgb(path):
    """Read a colour image of any common format.

    Parameters
    ----------
    path : str or Path
        PNG, TIFF or JPEG; 8-bit RGB, or RGBA, which is composited over white.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        RGB.

    Raises
    ------
    InputError
        If the file is missing, damaged, not an image, grey, or not 8-bit.
    """
    image = _decode(path)
    if image.mode not in ("RGB", "RGBA", "P", "PA") or image.info.get("deep"):
        pixels = "16-bit colour" if image.info.get("deep") else f"the pixel format {image.mode}"
        raise InputError(
            f"{path} has {pixels}, not 8-bit colour: save the H&E image as 8-bit RGB and try again."
        )
    if image.mode in ("RGBA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def read_grey(path):
    """Read a mask or label image with one channel, e.g. 0/255 or uint16 labels.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    ndarray of uint8, uint16, int32 or bool, shape (H, W)

    Raises
    ------
    InputError
        If the file is missing, damaged, not an image, or has several channels.
    """
    pixels = np.asarray(_decode(path))
    if pixels.ndim != 2:
        raise InputError(
            f"{path} has {pixels.shape[-1]} channels, but a mask has one: save it as a grey image."
        )
    return pixels


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
        Image.fromarray(pixels).save(temporary, format="PNG")


def _decode(path):
    """Decode all pixels at once, so that errors show here.

    Pillow, unlike OpenCV, raises an error for a truncated file.
    """
    try:
        image = Image.open(path)
        # Pillow reduces 16-bit colour to the upper byte, and only shows this before decoding.
        image.info["deep"] = image.mode.startswith("RGB") and ";16" in str(image.tile)
        image.load()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path} does not exist: check the path.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder: give the image files in it.") from None
    except PermissionError:
        raise InputError(f"{path} cannot be read: change its permissions.") from None
    except UnidentifiedImageError:
        raise InputError(f"{path} is not an image: use PNG, TIFF or JPEG.") from None
    except Image.DecompressionBombError:
        raise InputError(
            f"{path} is too large to open at once: cut it into smaller images."
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise InputError(f"{path} is damaged or cut short ({error}): get a fresh copy.") from None
    return image
