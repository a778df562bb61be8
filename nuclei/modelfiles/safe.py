"""Read files of a model's folder, which may be a stranger's."""

import json
import stat
from pathlib import Path

from ..errors import InputError

LONGEST = 2**24
"""Bytes of a JSON file; those of the models here have up to 100,000."""


def inside(path):
    """Refuse a file of a folder that is a link to a place outside of it.

    Parameters
    ----------
    path : Path
        It need not exist.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    InputError
        If it leaves its folder.
    """
    if path.is_symlink() and not path.resolve().is_relative_to(path.parent.resolve()):
        raise InputError(
            f"{path} is a link that leaves the folder of its model: put the file itself there."
        )
    return path


def check(path, most=None):
    """Refuse what is no file, such as a pipe or a device, and what is longer than expected.

    Parameters
    ----------
    path : str or Path
    most : int, optional
        Bytes that it may have.

    Raises
    ------
    InputError
        If it is longer, or a pipe or device, of which reading may have no end.
    OSError
        If it is missing.
    """
    found = Path(path).stat()
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise InputError(f"{path} is a pipe or a device: put the file itself there.")
    if most is not None and found.st_size > most:
        raise InputError(
            f"{path} has {found.st_size:,} bytes, and {most:,} would be many: get a fresh copy."
        )


def read_json(path):
    """Read and parse a JSON file of a model's folder.

    Parameters
    ----------
    path : Path

    Returns
    -------
    object

    Raises
    ------
    InputError
        If the file is long, or leaves its folder.
    OSError, ValueError
        If it cannot be read, or is no JSON.
    """
    try:
        check(inside(path), LONGEST)
        return json.loads(path.read_bytes())  # as bytes in UTF-8, whatever the locale
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
