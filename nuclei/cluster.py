"""Dask: workers in this process, in others, or on a cluster that is there already."""

import importlib
import logging
import os
import sys
from contextlib import contextmanager

from tqdm import tqdm

from .files import InputError

LOCAL = {
    "distributed.dashboard.link": "http://127.0.0.1:{port}/status",
    # Dask watches itself a hundred times a second, on the cores that do the work.
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.worker.profile.enabled": False,
}
"""Settings of Dask for workers on this machine."""


@contextmanager
def connect(workers=1, scheduler=None):
    """Start workers, or find those of a scheduler, and print where the dashboard is.

    Parameters
    ----------
    workers : int
        1 works in this process, in three threads, so that finding nuclei does not hold up the
        network; more are processes, which share the cores.
    scheduler : str, optional
        Address of a scheduler, as in tcp://10.0.0.1:8786.

    Yields
    ------
    distributed.Client

    Raises
    ------
    InputError
        If nothing answers at that address, or its workers cannot do this.
    """
    import dask
    import distributed

    logging.getLogger("distributed").setLevel(logging.ERROR)
    settings = {"distributed.comm.timeouts.connect": "10s"}
    if not scheduler:
        settings |= LOCAL
    with dask.config.set(settings):
        if scheduler:
            try:
                client = distributed.Client(scheduler)
            except (OSError, ValueError) as error:
                raise InputError(
                    f"No Dask scheduler answers at {scheduler} ({error}): start one with "
                    "`dask scheduler`, or check the address."
                ) from None
            owner = client
        else:
            owner = _local_cluster(distributed, workers)
            client = distributed.Client(owner)
        try:
            if scheduler:
                _check_workers(client, scheduler)
            print(f"Dask dashboard: {client.dashboard_link}", file=sys.stderr)
            yield client
        finally:
            client.close()
            owner.close()


def in_order(client, function, job, todo):
    """Work on all blocks, with a progress bar of blocks and nuclei.

    Parameters
    ----------
    client : distributed.Client
    function : callable
        As `blocks.find`.
    job : blocks.Job
    todo : list of tuple of int
        Row and column of each block.

    Yields
    ------
    block : tuple of int
        In the order of `todo`, as soon as it and all before it are done.
    problem : str or None
        What is wrong with it.
    """
    import distributed

    futures = {client.submit(function, job, block, pure=False): block for block in todo}
    done, waiting, nuclei = {}, iter(todo), 0
    awaited = next(waiting, None)
    with tqdm(total=len(todo), desc="Blocks", unit="block", file=sys.stderr) as bar:
        for future in distributed.as_completed(list(futures)):
            count, problem = _result(future)
            nuclei += count
            done[futures.pop(future)] = problem
            bar.set_postfix_str(f"{nuclei:,} nuclei", refresh=False)
            bar.update()
            while awaited in done:
                yield awaited, done.pop(awaited)
                awaited = next(waiting, None)


def wait(futures, title):
    """Wait for tasks, with a progress bar where it takes long."""
    import distributed

    done = distributed.as_completed(futures)
    for future in tqdm(done, title, len(futures), leave=False, delay=1, file=sys.stderr):
        _result(future)


def _result(future):
    import distributed

    try:
        return future.result()
    except distributed.KilledWorker:
        raise InputError(
            "A worker ended several times at the same block, perhaps for want of memory: "
            "start fewer workers on a machine; the same command then goes on."
        ) from None
    except OSError as error:
        raise InputError(
            f"A worker could not go on ({error}): once that is mended, so does the same command."
        ) from None


def _local_cluster(distributed, workers):
    options = {"dashboard_address": "127.0.0.1:8787", "memory_limit": 0}
    if workers == 1:
        return distributed.LocalCluster(1, threads_per_worker=3, processes=False, **options)
    cores = str(max(1, (os.cpu_count() or 1) // workers))
    # TensorFlow reads these when it is imported, in each of the processes.
    names = "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"
    environment = {**dict.fromkeys(names, cores), "TF_CPP_MIN_LOG_LEVEL": "3"}
    options |= {"host": "127.0.0.1", "env": environment}
    return distributed.LocalCluster(workers, threads_per_worker=1, **options)


def _check_workers(client, scheduler):
    """Fail early where a cluster has no workers, or these lack this package."""
    try:
        client.wait_for_workers(1, timeout=60)
        client.run(_import_blocks)
    except TimeoutError:
        raise InputError(
            f"The scheduler at {scheduler} has had no workers for a minute: start some with "
            f"`dask worker {scheduler}`."
        ) from None
    except ImportError as error:
        raise InputError(
            f"The workers at {scheduler} cannot import this package ({error}): start them with "
            "this repository as the current folder or in PYTHONPATH."
        ) from None


def _import_blocks():
    importlib.import_module("nuclei.blocks")
