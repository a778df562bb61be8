"""Read a file as a mask or as a label image, however it was saved."""

import numpy as np

from ..errors import InputError
from . import classes
from .decode import decode

FEW = 20
"""Up to this number of labels it is checked whether they number nuclei."""


def read_grey(path):
    """Read an image with one channel, with the values of the file.

    Parameters
    ----------
    path : str, Path or binary file object
        Colours that are all grey count as one channel.

    Returns
    -------
    ndarray of int, float or bool, shape (H, W)

    Raises
    ------
    InputError
        If the file is missing, damaged, not an image, or has colours or several images.
    """
    pixels = _flattened(path)
    if pixels.ndim != 2:
        raise InputError(
            f"{path} has {pixels.shape[-1]} channels, but a mask has one: save it as a grey image."
        )
    return pixels


def read_mask(path):
    """Read a mask, whatever its two greys or colours are.

    Parameters
    ----------
    path : str, Path or binary file object
        An image of two classes, exact or nearly so, as JPEG leaves them: `classes.split` says
        how they are told apart. Nuclei are what is brighter; in a label image what is not 0; where
        all that can be seen has one colour, what is more opaque.

    Returns
    -------
    ndarray of bool, shape (H, W)
        True inside nuclei.

    Raises
    ------
    InputError
        If the file cannot be read, or does not have two classes.
    """
    pixels = _flattened(path)
    try:
        return classes.split(pixels)
    except ValueError as error:
        raise InputError(
            f"{path} {error}, so nuclei cannot be told from the rest: save the mask as a PNG of 0 "
            "and 255."
        ) from None


def count_colours(path):
    """Number of different greys or colours that `read_mask` sees in a file."""
    return classes.count_colours(_flattened(path))


def read_labels(path):
    """Read a label image.

    Parameters
    ----------
    path : str, Path or binary file object
        Whole numbers of any type: 0 in the background, one number inside each nucleus.

    Returns
    -------
    ndarray of int32, shape (H, W)

    Raises
    ------
    InputError
        If the file cannot be read, shows labels as colours, has numbers that are no labels, was
        blurred or saved as JPEG, or gives many nuclei one number, as a mask does.
    """
    pixels = _flattened(path)
    if pixels.ndim != 2:
        raise InputError(
            f"{path} shows labels as colours: save one whole number for each nucleus, as a 16-bit "
            "grey PNG or TIFF."
        )
    low, high = pixels.min(), pixels.max()
    whole = pixels.dtype.kind != "f" or (pixels == np.rint(pixels)).all()
    if not (low >= 0 and high < 2**31 and whole):
        raise InputError(
            f"{path} has values from {low:g} to {high:g} that are no labels: save 0 for the "
            "background and one whole number for each nucleus."
        )
    rest, flat = classes.flatness(pixels)
    if rest >= 100 and flat < classes.FLAT:
        raise InputError(
            f"{path} was blurred or saved as JPEG, which changes the numbers of nuclei: save the "
            "labels as PNG or TIFF, without resampling."
        )
    if _are_shared(pixels):
        raise InputError(
            f"{path} gives many nuclei the same number, as masks and maps of classes do: number "
            "the nuclei, or use the file as the mask."
        )
    return pixels.astype(np.int32)


def _are_shared(labels):
    """Whether a few numbers mark so many pieces that they cannot be those of nuclei."""
    if len(np.unique(labels[::16, ::16])) > FEW + 1:
        return False
    numbers = np.unique(labels)
    numbers = numbers[numbers > 0]
    if not 0 < len(numbers) <= FEW:
        return False
    import cv2  # not at the top, because most images do without it

    pieces = sum(
        cv2.connectedComponents((labels == number).astype(np.uint8))[0] - 1 for number in numbers
    )
    kind = labels.dtype.kind
    white = kind == "b" or (kind == "u" and list(numbers) == [np.iinfo(labels.dtype).max])
    return pieces > (1 if white else 3 * len(numbers))


def _flattened(path):
    """Decode a file to greys if all that it shows is grey, else to RGB."""
    picture = decode(path)
    pixels = picture.pixels
    if pixels is None:
        raise InputError(
            f"{path} has {picture.words}, but a mask has two greys or colours and labels have one "
            "channel: save it as a grey PNG."
        )
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[-1] in (2, 4):
        colours, alpha = pixels[..., :-1], pixels[..., -1:]
        if not alpha.any() and _varies(colours):
            raise InputError(f"{path} is wholly transparent: save it without transparency.")
        if alpha.min() < 255:  # as on black
            colours = (colours * alpha.astype(np.uint16) // 255).astype(np.uint8)
        pixels = alpha if _varies(alpha) and not _varies(colours) else colours
    if (pixels == pixels[..., :1]).all():
        return np.ascontiguousarray(pixels[..., 0])
    return pixels


def _varies(pixels):
    return (pixels != pixels[0, 0]).any()
