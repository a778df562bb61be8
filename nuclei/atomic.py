"""Write files and folders completely or not at all, and lock a folder against a second run."""

import os
import shutil
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InputError


@contextmanager
def atomic_write(path):
    """Write a file completely or not at all: under a temporary name first, then renamed.

    Parameters
    ----------
    path : str or Path
        The final name; missing parent folders are created.

    Yields
    ------
    Path
        A temporary name in the same folder, with the same suffixes, to write to. The file is
        renamed to `path` at the end of the `with` block, or removed if the block raises.

    Raises
    ------
    InputError
        If the file cannot be written (full disk, no permission, `path` is a folder).

    Examples
    --------
    >>> with atomic_write("scores.json") as temporary:  # doctest: +SKIP
    ...     temporary.write_text("{}")
    """
    path = Path(path)
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        with explain_write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, path)
    finally:
        with suppress(OSError):  # the temporary file may not exist
            temporary.unlink()


@contextmanager
def atomic_folder(folder):
    """Write a folder completely or not at all; an older one is replaced only at the end.

    Parameters
    ----------
    folder : str or Path
        The final name.

    Yields
    ------
    Path
        An empty temporary folder beside `folder` to write to. It is renamed to `folder` at the end
        of the `with` block, or removed if the block raises.

    Raises
    ------
    InputError
        If the folder cannot be written (full disk, no permission).
    """
    folder = Path(folder).resolve()
    for leftover in folder.parent.glob(f".{folder.name}-????????.*"):  # left by killed runs
        if time.time() - leftover.stat().st_mtime > 3600:
            shutil.rmtree(leftover, ignore_errors=True)
    stem = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
    new, old = stem.with_suffix(".new"), stem.with_suffix(".old")
    try:
        with explain_write_errors(folder):
            new.mkdir(parents=True)
            yield new
            if folder.exists():
                os.replace(folder, old)
            os.replace(new, folder)
    finally:
        if old.exists() and not folder.exists():
            os.replace(old, folder)
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def explain_write_errors(path):
    """Turn an OSError into one sentence that says which file or folder could not be written.

    Parameters
    ----------
    path : str or Path
        The file or folder to name in the message.

    Raises
    ------
    InputError
        In place of an OSError (full disk, no permission, `path` is a folder).
    """
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (")[0]  # cut off HDF5 internals
        raise InputError(
            f"{path} could not be written ({reason}): free some space or choose another folder."
        ) from error


@contextmanager
def locked(path, task):
    """Hold a lock during the `with` block, so that a second run stops with an error.

    The lock is also released when the process ends.

    Parameters
    ----------
    path : Path
        The lock file; it is not removed afterwards.
    task : str
        What the other run is doing, for the error message, such as "predicting a.svs".

    Raises
    ------
    InputError
        If another run holds the lock, or the lock file cannot be written.
    """
    from filelock import FileLock, Timeout

    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                f"Another run is {task}: wait for it, or choose another folder."
            ) from None
    try:
        yield
    finally:
        lock.release()
