"""Look through an HDF5 file of weights before they are read: it may be a stranger's.

HDF5 files can name other files, which are then read in their place, ask for filters that are loaded
as code from folders of the system, and declare numbers that unpack to terabytes.
"""

import math

from ..errors import InputError

FILTERS = {1: "deflate", 2: "shuffle", 3: "checksum"}
"""Filters that every HDF5 library contains, by their number."""

KINDS = "fiub"
"""NumPy's letters for the kinds of numbers of weights. Others hold text, references or records."""


def check(file, path, most):
    """Refuse a file of weights that holds more than numbers of its own.

    Parameters
    ----------
    file : binary file object
        The content.
    path : Path
        Its name, for the message.
    most : int
        Bytes that all numbers together, once unpacked, may have.

    Raises
    ------
    InputError
        If it has links, data in other files, filters that HDF5 would load, or more than `most`
        bytes.
    Exception
        h5py raises many kinds for damaged files.
    """
    import h5py  # not at the top, because it is needed only with weights

    with h5py.File(file, "r") as opened:
        if problem := _problem(opened, most):
            raise InputError(f"{path} has {problem}: get the weights from someone you trust.")


def _problem(opened, left):
    """What is wrong with a file, in words, or None; `left` is the number of bytes it may have."""
    import h5py

    waiting, seen = [opened], set()
    while waiting:
        item = waiting.pop()
        if isinstance(item, h5py.Dataset):
            if problem := _of_numbers(item):
                return problem
            shapes = item.shape or (), item.chunks or ()
            left -= item.dtype.itemsize * max(map(math.prod, shapes))
            if left < 0:
                return "far more numbers than this network"
            continue
        for name in item:
            if not isinstance(item.get(name, getlink=True), h5py.HardLink):
                return "a link in place of weights"
            place = h5py.h5o.get_info(item[name].id).addr
            if place not in seen:  # a group may contain itself
                seen.add(place)
                waiting.append(item[name])
    return None


def _of_numbers(item):
    """What is wrong with a data set, in words, or None."""
    layout = item.id.get_create_plist()
    if item.is_virtual or layout.get_external_count():
        return "weights that lie in other files"
    unknown = {layout.get_filter(i)[0] for i in range(layout.get_nfilters())} - set(FILTERS)
    if unknown:
        return f"weights that are packed by filter {min(unknown)}"
    return None if item.dtype.kind in KINDS else f"weights of the type {item.dtype}"
