"""Segmentation of nuclei in H&E tissue: the code that the notebooks share."""

import os
import sys


def _leave_current_folder():
    """Keep files of the current folder, such as a `random.py`, from being imported as modules.

    `python -m nuclei` puts the current folder first in `sys.path`. Here, before anything else is
    imported, it is removed. If this package comes from it, it is put last.
    """
    asked = sys.orig_argv[-len(sys.argv)] if sys.argv[:1] == ["-m"] else ""
    if asked.removeprefix("-m") not in ("nuclei", "nuclei.__main__"):
        return
    try:
        here = os.getcwd()
    except OSError:  # the folder was removed
        return
    if not sys.flags.safe_path and sys.path[:1] == [here]:
        del sys.path[0]
        if os.path.dirname(os.path.dirname(__file__)) == here:
            sys.path.append(here)


_leave_current_folder()

# Weights may lie on file systems without locks, and are replaced whole, never changed. HDF5 reads
# this when h5py is first imported.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")

if os.path.expanduser("~") == "~":  # no HOME and an unknown user, as in some containers
    import tempfile

    os.environ["HOME"] = tempfile.gettempdir()  # libraries of Dask's dashboard need one

from pathlib import Path  # noqa: E402 - from the current folder until it was left

ROOT = Path(__file__).resolve().parent.parent
"""The repository, with the folders `data/`, `models/`, `Graphs/` and `Images/`."""
