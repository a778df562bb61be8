"""Write files and folders completely or not at all, and lock a folder against a second run."""

import csv
import errno
import glob
import json
import os
import platform
import shutil
import tempfile
import threading
import time
import uuid
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InputError

CURES = {
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some space or choose another folder",
    errno.EACCES: "change its permissions or choose another folder",
    errno.EPERM: "change its permissions or choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOLCK: "choose a folder on another file system",
}
"""What to do when a file cannot be written, by the cause; else choose another folder."""


def expand(path):
    """Replace a `~` at the beginning of a path by the home folder, if there is one.

    Parameters
    ----------
    path : str or Path
        A file object, which has no path, is returned as it is.

    Returns
    -------
    Path
    """
    return path if hasattr(path, "read") else Path(os.path.expanduser(path))


@contextmanager
def atomic_write(path):
    """Write a file completely or not at all: under a temporary name first, then renamed.

    Parameters
    ----------
    path : str or Path
        The final name, see `expand`; missing parent folders are created.

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
    path = expand(path)
    # Only the end of a long name, because file systems allow 255 bytes and a letter has up to four.
    owner = f"{_MACHINE}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    temporary = path.with_name(f".{owner}-{path.name[-50:]}")
    try:
        with explain_write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_drafts(path.parent)
            yield temporary
            os.replace(temporary, path)
    finally:
        with suppress(OSError):  # the temporary file may not exist
            temporary.unlink()


def write_json(path, content):
    """Write JSON in UTF-8, one space for each level, completely or not at all.

    Parameters
    ----------
    path : str or Path
        As for `atomic_write`.
    content : object
        JSON-serialisable.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    text = json.dumps(content, indent=1) + "\n"
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_csv(path, rows, columns=None):
    """Write a table as CSV in UTF-8 with plain line feeds, completely or not at all.

    Parameters
    ----------
    path : str or Path
        As for `atomic_write`.
    rows : list of dict
        All with the same keys.
    columns : iterable of str, optional
        Their keys, for the heading; by default those of the first row.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    with (
        atomic_write(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, columns or rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _machine():
    """A name for this machine, or the container in it: where a process number means the same."""
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:  # only Linux has such spaces
        space = 0
    return f"{zlib.crc32(f'{platform.node()} {space}'.encode()):08x}"


_MACHINE, _SWEPT, _SWEEPING = _machine(), set(), threading.Lock()


def _remove_drafts(folder):
    """Remove what killed processes of this machine were writing; once in each folder."""
    import psutil

    with _SWEEPING:  # a thread may write only when no other one sweeps
        here = os.path.realpath(folder)  # the same by any name, or this process swept its own
        if here in _SWEPT:
            return
        _SWEPT.add(here)
        for draft in Path(here).glob(f".{_MACHINE}-*-????????-*"):
            number = int(draft.name.split("-")[1])
            # In a container that was started again, processes get the same numbers.
            if number == os.getpid() or not psutil.pid_exists(number):
                with suppress(OSError):
                    draft.unlink()


@contextmanager
def atomic_folder(folder):
    """Write a folder completely or not at all; an older one is replaced only at the end.

    Parameters
    ----------
    folder : str or Path
        The final name, see `expand`.

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
    folder = expand(folder).resolve()
    leftovers = f".{glob.escape(folder.name)}-????????.*"
    for leftover in folder.parent.glob(leftovers):  # left by killed runs
        with suppress(OSError):  # a run that is just ending renames or removes its own
            if time.time() - leftover.stat().st_mtime > 3600:
                shutil.rmtree(leftover, ignore_errors=True)
    stem = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
    new, old = (stem.with_name(stem.name + suffix) for suffix in (".new", ".old"))
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
        reason = error.strerror or str(error)
        if error.errno and "errno = " in reason:  # HDF5, which quotes the reason among internals
            reason = os.strerror(error.errno)
        cure = CURES.get(error.errno, "choose another folder")
        raise InputError(f"{path} could not be written ({reason}): {cure}.") from error


@contextmanager
def locked(path, task, error=InputError):
    """Hold a lock during the `with` block, so that a second run stops with an error.

    The lock is also released when the process ends. On a file system without locks, such as some
    network file systems, the file `<path>.held` is the lock. It is removed afterwards. If a run on
    another machine was killed, it stays, and the message says so.

    Parameters
    ----------
    path : Path
        The lock file; it is not removed afterwards.
    task : str
        What the other run is doing, for the error message, such as "predicting a.svs".
    error : type
        What to raise if another run holds the lock: InputError or a kind of it.

    Raises
    ------
    InputError
        If another run holds the lock, or the lock file cannot be written.
    """
    from filelock import FileLock, SoftFileLock, Timeout

    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if _has_locks(path.parent):
            lock, cure = FileLock(path, timeout=0), "choose another folder"
        else:
            held = path.with_name(f"{path.name}.held")
            lock = SoftFileLock(held, timeout=0)
            with suppress(Timeout):  # with filelock 3.22 it only removes what a killed run left
                lock.acquire()
            cure = f"remove {held} if that run was killed"
        try:
            if not lock.is_locked:
                lock.acquire()
        except Timeout:
            raise error(f"Another run is {task}: wait for it, or {cure}.") from None
    try:
        yield
    finally:
        lock.release()


def _has_locks(folder):
    """Whether the file system of a folder has locks; tried on a file that nobody else knows."""
    try:
        import fcntl
    except ImportError:  # Windows, where every file system has them
        return True
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True
