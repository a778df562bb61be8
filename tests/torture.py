"""Kill runs at random moments, break their disks, and see whether they end as if nothing happened.

`make torture` does all of it; docs/reliability.md says how long that takes. For a part of it:

    python tests/torture.py slide --kills 5

Needs Linux; the disks that are full or read-only need root, to be mounted.
"""

import argparse
import contextlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path

import psutil
import torture_disk
import torture_runs
from torture_runs import RUNS, difference

SIGNALS = signal.SIGKILL, signal.SIGTERM, signal.SIGINT
KILLS = {"slide": 50, "training": 20, "download": 10}
"""How often each run is killed by `make torture`."""

FORKED = 0.8
"""Share of the runs that are forked; the others are commands of their own."""

FORKS = multiprocessing.get_context("forkserver")

PATIENCE = 400
"""Seconds in which a run has to end after a signal, or at all once it is left alone."""


class Started:
    """A run, and all processes that it starts; a variable in their environment tells which.

    Parameters
    ----------
    module : str
        Of which `main()` is called.
    arguments : list of str
        As on the command line.
    folder : Path
        For what it says.
    environment : dict
    forked : bool
        Fork it from a process that has imported everything: that saves most of the seconds.
    prefix : sequence of str
        Of the command line, if it is not forked.
    """

    def __init__(self, module, arguments, folder, environment, forked=True, prefix=()):
        self.mark = uuid.uuid4().hex
        self.said = folder / f"{self.mark}.txt"
        self.said.touch()
        environment = {**environment, "TORTURE": self.mark}
        if forked and not prefix:
            words = module, arguments, environment, str(self.said)
            self.process = FORKS.Process(target=torture_runs.run, args=words)
            self.process.start()
            self.pid, self.wait_for = self.process.pid, self.process.join
        else:
            with open(self.said, "wb") as file:
                self.process = subprocess.Popen(
                    [*prefix, sys.executable, "-m", module, *arguments],
                    env={**os.environ, **environment},
                    stdout=file,
                    stderr=file,
                    preexec_fn=_own_signals,
                )
            self.pid, self.wait_for = self.process.pid, self._wait

    def _wait(self, seconds):
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def code(self):
        """The exit code, or None while it runs."""
        if isinstance(self.process, subprocess.Popen):
            return self.process.poll()
        return self.process.exitcode

    def family(self):
        """All processes of the run, but not the first one."""
        return [
            one
            for one in psutil.process_iter(["environ"])
            if (one.info["environ"] or {}).get("TORTURE") == self.mark
            and one.pid != self.pid
            and one.status() != psutil.STATUS_ZOMBIE
        ]

    def wait(self):
        """Return the exit code, None if it hangs, and what is still alive some seconds later."""
        self.wait_for(PATIENCE)
        if (code := self.code()) is None:
            self.process.kill()
            self.wait_for(PATIENCE)
        until = time.monotonic() + 60
        while (left := self.family()) and time.monotonic() < until:
            time.sleep(0.1)
        for one in left:
            one.kill()
        return code, left

    def output(self):
        return self.said.read_text(errors="replace")


def _own_signals():
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # which `nohup` and `&` turn off


def drafts(out):
    """Names of what is being written: by the package, and by Zarr."""
    names = [name for _, folders, files in os.walk(out) for name in (*folders, *files)]
    return [name for name in names if (name[0] == "." and "-" in name) or ".partial" in name]


class Killer:
    """Kills one kind of run, again and again.

    Parameters
    ----------
    run : an entry of `RUNS`
    folder : Path
        For everything that is written.
    seed : int
    """

    def __init__(self, run, folder, seed):
        self.run, self.folder, self.rng = run, folder, random.Random(f"{run.name} {seed}")
        self.killed, self.findings, self.completed = Counter(), [], 0
        folder.mkdir(parents=True, exist_ok=True)
        run.prepare(folder)
        imported = FORKS.Process(target=int)  # the first one waits for the imports of all
        imported.start()
        imported.join()
        out, started = folder / "undisturbed", time.monotonic()
        first = self._start(out, forked=True)
        code, left = first.wait()
        if code or left:
            said = f"exit code {code}, processes {left}:\n{first.output()[-3000:]}"
            raise RuntimeError(f"The undisturbed {run.name} failed, {said}")
        self.seconds, self.expected = time.monotonic() - started, run.result(out)
        print(f"{run.name}: undisturbed in {self.seconds:.1f} s", file=sys.stderr, flush=True)

    def _start(self, out, with_workers=False, forked=None):
        forked = forked or self.rng.random() < FORKED
        command = self.run.command(out, self.rng)
        if with_workers:
            command = self.run.with_workers(*command)
        return Started(*command, self.folder, self.run.environment, forked)

    def episode(self, number, kills):
        """Kill a run up to `kills` times, each time resumed; then let it end and compare."""
        out = self.folder / f"{number}"
        for _ in range(kills):
            self._kill_once(out)
        last = self._start(out)
        code, left = last.wait()
        self._judge(last, code, left, {0})
        if code == 0:
            self.completed += 1
            if what := difference(self.expected, self.run.result(out)):
                self._find(f"{out}: {what} is not as in a run that was not killed")
        self.run.forget(out)

    def _kill_once(self, out):
        signum = self.rng.choice(SIGNALS)
        of_worker = self.run.has_workers and self.rng.random() < 0.3
        at_draft = not of_worker and self.rng.random() < 0.5
        delay = self.rng.uniform(0, 0.05 if at_draft else self.seconds)
        began, started = time.monotonic(), self._start(out, of_worker)
        until, found = time.monotonic() + PATIENCE, not (at_draft or of_worker)
        while started.code() is None and time.monotonic() < until and not found:
            found = self.run.workers(started.family()) if of_worker else drafts(out)
            time.sleep(0.002)
        if started.code() is None:  # or until it ends
            started.wait_for(delay)
        target = started.pid
        if of_worker and (workers := self.run.workers(started.family())):
            target = self.rng.choice(workers).pid
        else:
            of_worker = False
        try:
            if started.code() is None:
                os.kill(target, signum)
                self.killed[signum.name, "worker" if of_worker else "process"] += 1
        except ProcessLookupError:
            pass
        if started.code() == 0:  # too late: it had less to do, or a less busy machine
            self.seconds = min(self.seconds, time.monotonic() - began)
        code, left = started.wait()
        # A run that loses a worker goes on, or ends with a sentence.
        interrupted = {130} if signum == signal.SIGINT else set()
        self._judge(started, code, left, {0, 1} if of_worker else {0, -signum} | interrupted)
        if out.exists() and (problem := self.run.check(out)):
            self._find(f"{out}: {problem} after {signum.name}")

    def _judge(self, started, code, left, allowed):
        said = started.output()
        if code is None:
            self._find(f"it hangs: {said[-600:]}")
        elif said.startswith("Fatal Python error: init") or (
            130 in allowed and code == 1 and not said
        ):
            pass  # SIGINT while Python itself was starting: no line of this project has run
        elif code not in allowed or ("Traceback" in said and code in (0, 1, 130)):
            self._find(f"exit code {code}, not {allowed}: {said[-2000:]}")
        if left:
            self._find(f"processes are left: {left}")

    def _find(self, problem):
        self.findings.append(problem)
        print(f"FOUND in {self.run.name}: {problem}", file=sys.stderr, flush=True)


def kill(name, count, seed, folder):
    """Kill a run `count` times; return a row of the table, and the findings."""
    started, killer, number = time.monotonic(), Killer(RUNS[name], folder / name, seed), 0
    while (done := killer.killed.total()) < count:
        killer.episode(number, min(killer.rng.randint(2, 8), count - done))
        number += 1
        print(f"{name}: {killer.killed.total()} of {count} kills", file=sys.stderr, flush=True)
    kinds = Counter()
    for (signum, target), times in killer.killed.items():
        kinds[signum + " of a worker" * (target == "worker")] += times
    words = ", ".join(f"{times} {kind}" for kind, times in sorted(kinds.items()))
    row = f"| {name} | {killer.killed.total()} ({words}) | {killer.completed} of {number} |"
    return f"{row} {len(killer.findings)} | {time.monotonic() - started:.0f} |", killer.findings


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", nargs="*", help=f"of {', '.join(RUNS)}, disk; all by default")
    parser.add_argument("--kills", type=int, help="of each run")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ.update(torture_runs.ENVIRONMENT)
    names = options.what or [*RUNS, "disk"]
    kinds = RUNS if "disk" in names else names
    FORKS.set_forkserver_preload(sum((torture_runs.PRELOAD[kind] for kind in kinds), []))
    rows, findings = [], []
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        folder = Path(folder)
        for name in names:
            if name == "disk":
                row, found = torture_disk.torture(folder / "disk", Started)
            else:
                row, found = kill(name, options.kills or KILLS[name], options.seed, folder)
            rows.append(row)
            findings += found
    print("| What | Kills or troubles | Ended as undisturbed | Findings | Seconds |")
    print("| --- | --- | ---: | ---: | ---: |", *rows, sep="\n")
    print(f"Seed {options.seed}.")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
