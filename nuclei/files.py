"""Read images and weights whole and write files whole, or say in one sentence why not."""

import os
import uuid
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")

SLIDE_SUFFIXES = (".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide", ".dcm")
"""Of files that are whole slides for certain; TIFFs can be either."""


class InputError(ValueError):
    """Something a person can cure: one sentence that names the file and the cure."""


class SlideError(InputError):
    """A slide, or a part of it, that cannot be read; others may be."""


@contextmanager
def whole(path):
    """Write a file whole or not at all: to a temporary name first, then renamed.

    Parameters
    ----------
    path : str or Path
        The final name; missing folders above it are made.

    Yields
    ------
    Path
        A name beside `path`, with the same suffixes, to write to. It takes the final name
        when the block ends well and is removed when the block raises.

    Raises
    ------
    InputError
        If the file cannot be written (full disk, no permission, a folder in the way).

    Examples
    --------
    >>> with whole("scores.json") as temporary:  # doctest: +SKIP
    ...     temporary.write_text("{}")
    """
    path = Path(path)
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, path)
    finally:
        with suppress(OSError):  # nothing to remove, or a file where a folder should be
            temporary.unlink()


@contextmanager
def writing(path):
    """Say in one sentence that a file or folder could not be written, where that fails.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    InputError
        In place of an OSError (full disk, no permission, a folder in the way).
    """
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (")[0]  # internals of HDF5 follow
        raise InputError(
            f"{path} could not be written ({reason}): free some space or choose another folder."
        ) from error


@contextmanager
def locked(path, what):
    """Keep a second run away for as long as the block takes, or the process lives.

    Parameters
    ----------
    path : Path
        Of the lock, a file that stays.
    what : str
        What is being done.

    Raises
    ------
    InputError
        If another run holds the lock, or the file cannot be written.
    """
    from filelock import FileLock, Timeout

    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                f"Another run is predicting {what}: wait for it, or choose another folder."
            ) from None
    try:
        yield
    finally:
        lock.release()


def find_images(paths):
    """Replace folders by the images in them, sorted by name; what lies deeper is left out.

    Parameters
    ----------
    paths : iterable of Path
        Files, which are taken as they are, and folders.

    Returns
    -------
    list of Path

    Raises
    ------
    InputError
        If a folder holds no image.
    """
    images, suffixes = [], IMAGE_SUFFIXES + SLIDE_SUFFIXES
    for path in paths:
        if not path.is_dir():
            images.append(path)
            continue
        # Hidden ones are none: a Mac leaves `._<name>` beside each image that it copies.
        names = sorted(p for p in path.iterdir() if not p.name.startswith("."))
        inside = [name for name in names if name.suffix.lower() in suffixes]
        if not inside:
            raise InputError(f"{path} holds no PNG, TIFF, JPEG or slide: name another folder.")
        images.extend(inside)
    return images


def read_rgb(path):
    """Read a colour image of any common format.

    Parameters
    ----------
    path : str or Path
        PNG, TIFF or JPEG; 8-bit RGB, or RGBA, which is laid over white.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        RGB.

    Raises
    ------
    InputError
        If the file is missing, cut short, no image, grey, or not 8-bit.
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
        If the file is missing, cut short, no image, or has several channels.
    """
    pixels = np.asarray(_decode(path))
    if pixels.ndim != 2:
        raise InputError(
            f"{path} has {pixels.shape[-1]} channels, but a mask has one: save it as a grey image."
        )
    return pixels


def load_weights(model, path, cure):
    """Load the weights of a network.

    Parameters
    ----------
    model : keras.Model
        Of the architecture that was saved, compiled if the file holds an optimizer's state.
    path : str or Path
        A `.weights.h5` of Keras, or an `.h5` of `keras.applications`.
    cure : str
        The end of the sentence.

    Raises
    ------
    InputError
        If the file is missing, cut short, not HDF5, or of another architecture.
    """
    if not Path(path).is_file():
        raise InputError(f"{path} is missing: {cure}")
    try:
        with warnings.catch_warnings(action="ignore"):  # Keras warns layer by layer, then raises
            model.load_weights(path)
    except (OSError, RuntimeError) as error:  # the latter from inside a damaged file
        raise InputError(f"{path} is cut short, damaged or not HDF5: {cure}") from error
    except (ValueError, KeyError) as error:
        raise InputError(f"{path} does not fit this {model.name}: {cure}") from error


def write_png(path, pixels):
    """Write an image or a mask as PNG, whole or not at all.

    Parameters
    ----------
    path : str or Path
    pixels : ndarray of uint8, shape (H, W, 3) or (H, W), or of uint16, shape (H, W)

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    with whole(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")


def _decode(path):
    """Decode every pixel now: Pillow, unlike OpenCV, refuses a file that is cut short."""
    try:
        image = Image.open(path)
        # Pillow would keep the upper byte of 16-bit colour, and says so only before it decodes.
        image.info["deep"] = image.mode.startswith("RGB") and ";16" in str(image.tile)
        image.load()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path} does not exist: check the path.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder: name the image files in it.") from None
    except PermissionError:
        raise InputError(f"{path} may not be read: change its permissions.") from None
    except UnidentifiedImageError:
        raise InputError(
            f"{path} is not an image that can be read: use PNG, TIFF or JPEG."
        ) from None
    except Image.DecompressionBombError:
        raise InputError(
            f"{path} is too large to open at once: cut it into smaller images."
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise InputError(f"{path} is damaged or cut short ({error}): get a fresh copy.") from None
    return image
