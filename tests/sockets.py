"""Where a process and those that it started listen for others."""

import contextlib

import psutil


def listening(process):
    """List the addresses at which a process, or one of its children, takes connections.

    Parameters
    ----------
    process : int
        Its number.

    Returns
    -------
    set of tuple of (str, int)
        Address and port. Empty if the process has ended.
    """
    found = set()
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process)
        for one in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                sockets = one.net_connections("tcp")
                found |= {tuple(each.laddr) for each in sockets if each.status == "LISTEN"}
    return found
