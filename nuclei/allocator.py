"""The allocator of memory, where it is that of glibc. Elsewhere nothing here does anything."""

import ctypes
import os
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Settings of `mallopt`, as in malloc.h."""


def keep_freed_memory():
    """Keep the memory of large arrays for the next ones, in this process.

    By default it is given back to the system, which has to clear its pages again each time.
    TensorFlow and Dask ask to give back even more.
    """
    _set(M_MMAP_THRESHOLD, 2**25)  # bytes; glibc takes no more
    _set(M_TRIM_THRESHOLD, 2**28)


def share_memory():
    """Let new threads use the memory that earlier ones have freed. Call it before any work.

    glibc gives threads memory in up to eight parts for each core, and keeps what is freed in each.
    Every slide has new threads, so that a command with many slides would grow.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        _set(M_ARENA_MAX, 2)


def _set(setting, value):
    with suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(setting, value)
