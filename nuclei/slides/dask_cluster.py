"""Dask workers: in this process, in several processes, or on an existing cluster."""

import importlib
import logging
import os
import signal
import sys
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker

from tqdm import tqdm

from ..errors import InputError, SlideError, reason

LOCAL = {
    "distributed.dashboard.link": "http://127.0.0.1:{port}/status",
    # By default Dask monitors itself a hundred times a second, on the cores that do the work.
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.worker.profile.enabled": False,
    # By default a worker that was silent for five minutes is given up, even if all of the computer
    # slept. A worker in this process would not come back, and the run would wait for ever.
    "distributed.scheduler.worker-ttl": None,
}
"""Dask settings for workers on this machine."""

PATIENCE = "10s"
"""How long a scheduler may take to answer."""


@contextmanager
def connect(workers=1, scheduler=None, needed=()):
    """Start workers, or connect to those of a scheduler, and print the address of the dashboard.

    Parameters
    ----------
    workers : int
        With 1 the work is done in this process, in three threads, so that the network need not
        wait while nuclei are separated. More workers are processes that share the cores.
    scheduler : str, optional
        Address of a running Dask scheduler, such as tcp://10.0.0.1:8786. For tls:// the settings
        of Dask name the certificates.
    needed : sequence of str
        Files and folders that the workers of the scheduler must see.

    Yields
    ------
    distributed.Client

    Raises
    ------
    InputError
        If no scheduler answers at the address, it has no workers, or they lack this package or
        what is needed; or if a process of this machine cannot be started.
    """
    import dask
    import distributed

    logging.getLogger("distributed").setLevel(logging.ERROR)
    # They log a lost scheduler and a full disk with tracebacks; `_result` says it in a sentence.
    for part in ("client", "worker"):
        logging.getLogger(f"distributed.{part}").setLevel(logging.CRITICAL)
    with dask.config.set({"distributed.comm.timeouts.connect": PATIENCE} if scheduler else LOCAL):
        if scheduler:
            try:
                client = distributed.Client(scheduler)
            except (OSError, ValueError, TypeError, RuntimeError) as error:  # the last two: TLS
                raise InputError(
                    f"No Dask scheduler answers at {scheduler} ({reason(error)}): start one with "
                    "`dask scheduler`, check the address, and for TLS see deploy/README.md."
                ) from None
            owner = client
        else:
            owner = _local_cluster(distributed, workers)
            client = distributed.Client(owner)
        try:
            if scheduler:
                _check_workers(client, scheduler, needed)
            print(f"Dask dashboard: {client.dashboard_link}", file=sys.stderr)
            yield client
        finally:
            for one in client, owner:
                with suppress(TimeoutError):  # it ends with this process at the latest
                    one.close()


def in_order(client, function, job, todo):
    """Run a function on all tiles, with a progress bar, and return the results in order.

    Parameters
    ----------
    client : distributed.Client
    function : callable
        A function like `find.find`.
    job : Job
    todo : list of tuple of int
        Row and column of each tile.

    Yields
    ------
    tile : tuple of int
        The tiles in the order of `todo`, each as soon as it and all tiles before it are done.
    problem : str or None
        Why the tile could not be read, or None.

    Raises
    ------
    SlideError
        If workers crash at a tile; those of another slide may be sound.
    InputError
        If a worker fails in another way, or the scheduler is lost.
    """
    import distributed

    futures = {client.submit(function, job, tile, pure=False): tile for tile in todo}
    done, waiting, nuclei = {}, iter(todo), 0
    awaited = next(waiting, None)
    with tqdm(total=len(todo), desc="Tiles", unit="tile", file=sys.stderr) as bar:
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
    """Wait for tasks, with a progress bar if they take more than a second."""
    import distributed

    done = distributed.as_completed(futures)
    for future in tqdm(done, title, len(futures), leave=False, delay=1, file=sys.stderr):
        _result(future)


def _result(future):
    import distributed

    try:
        return future.result()
    except distributed.KilledWorker:
        raise SlideError(
            "A worker crashed several times at the same tile, perhaps because memory ran out: "
            "start fewer workers per machine, on a cluster with --memory-limit 0, then run the "
            "same command again to continue."
        ) from None
    except CancelledError:
        raise InputError(
            "The scheduler was lost: start it again, then run the same command again to continue."
        ) from None
    except OSError as error:
        raise InputError(
            f"A worker stopped ({reason(error)}): fix this, then run the same command again to "
            "continue."
        ) from None


def _local_cluster(distributed, workers):
    options = {"dashboard_address": "127.0.0.1:8787", "memory_limit": 0}
    if workers == 1:
        # Even a worker that is a thread has a page of its own, by default for all the network.
        options |= {"worker_dashboard_address": "127.0.0.1:0", "processes": False}
        return distributed.LocalCluster(1, threads_per_worker=3, **options)
    cores = str(max(1, (os.cpu_count() or 1) // workers))
    # Each process reads these when it imports TensorFlow.
    names = "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"
    options |= {"host": "127.0.0.1", "env": dict.fromkeys(names, cores), "preload": __name__}
    try:
        with _deaf_to_ctrl_c():
            return distributed.LocalCluster(workers, threads_per_worker=1, **options)
    except RuntimeError:  # the reason is in the log of Dask, which quotes its own code
        raise InputError(
            f"One of {workers} processes ended while it was started, perhaps because memory ran "
            "out: start fewer, then run the same command again to continue."
        ) from None


@contextmanager
def _deaf_to_ctrl_c():
    """Start threads, and processes from these threads, that Ctrl+C does not reach.

    Ctrl+C goes to all processes of a terminal. It is left to the first one, which ends the workers;
    else each would print a traceback of Dask, or of what it imports.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # lets Ctrl+C through when it is started
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def dask_setup(worker):
    """Called by Dask in each process of `_local_cluster`; what fails there is said here."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)


def _check_workers(client, scheduler, needed):
    """Fail early if a cluster has no workers, or they lack this package or what is needed."""
    try:
        client.wait_for_workers(1, timeout=60)
        client.run(_import_package)
        missing = client.run(_missing, needed)
    except TimeoutError:
        raise InputError(
            f"The scheduler at {scheduler} had no workers for a minute: start some with "
            f"`dask worker {scheduler}`."
        ) from None
    except ImportError as error:
        raise InputError(
            f"The workers at {scheduler} cannot import this package ({reason(error)}): start them "
            "with this repository as the current folder or in PYTHONPATH."
        ) from None
    for address, paths in missing.items():
        if paths:
            raise InputError(
                f"The worker at {address} does not see {paths[0]}: use a file system that all "
                "machines share."
            )


def _missing(paths):
    return [path for path in paths if not os.path.exists(path)]


def _import_package():
    importlib.import_module("nuclei.slides.find")
