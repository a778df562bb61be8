"""Images as files, for the tests of reading them."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image
from sentences import is_one_sentence

from nuclei.errors import InputError


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def encoded(pixels, kind, **options):
    """An image as the bytes of a file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def save(path, pixels, **options):
    """Write an image with Pillow and return its path."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def write_tiff(path, pixels, **options):
    """Write a TIFF with tifffile and return its path."""
    tifffile.imwrite(path, pixels, **{"photometric": "rgb", **options})
    return path


def refused(read, path, complaint):
    with pytest.raises(InputError, match=complaint) as error:
        read(path)
    assert is_one_sentence(error, path)
