"""The allocator of memory, where it is that of glibc."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Settings of `mallopt`, as in malloc.h."""


def keep_freed_memory():
    """Keep the memory of large arrays for the next ones, in this process.

    By default it is given back to the system, which has to clear its pages again each time.
    TensorFlow and Dask ask to give back even more. Does nothing where the C library is not glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_MMAP_THRESHOLD, 2**25)  # bytes; glibc takes no more
    mallopt(M_TRIM_THRESHOLD, 2**28)
