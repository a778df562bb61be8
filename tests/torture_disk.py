"""Disks and folders that fail a run: full, read-only, gone, shared with a second run."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

from slide_files import replaced
from torture_runs import RUNS, SlideRun, difference


class Trouble:
    """One kind of run in a folder of its own, and what it gives where nothing is wrong."""

    def __init__(self, run, folder, start):
        self.run, self.folder, self._start = run, folder, start
        folder.mkdir(parents=True)
        run.prepare(folder)
        assert self.go(folder / "undisturbed")[0] == 0
        self.expected = run.result(folder / "undisturbed")

    def start(self, out, prefix=(), **environment):
        command = self.run.command(out, random.Random(0))
        environment = self.run.environment | environment
        return self._start(*command, self.folder, environment, prefix=prefix)

    def go(self, out, prefix=(), **environment):
        """Run to the end; return the exit code and the last line that was said."""
        return self.end(self.start(out, prefix, **environment))

    def end(self, started):
        code, left = started.wait()
        said = started.output()
        assert code is not None, f"it hangs: {said[-1000:]}"
        assert not left, f"processes are left: {left}"
        return code, said.strip().splitlines()[-1].rpartition("\r")[2] if said.strip() else ""

    def refused(self, code, last, *words):
        """Assert that a run has ended with one sentence that holds one of these words, if any."""
        known = not words or any(word in last for word in words)
        assert code == 1 and last.endswith(".") and known, f"exit code {code}, and it says: {last}"

    def completes(self, out):
        code, last = self.go(out)
        assert code == 0, f"the same command fails afterwards: {last}"
        what = difference(self.expected, self.run.result(out))
        assert not what, f"{what} is not as in an undisturbed run"

    def begun(self, out, started, pattern):
        """Wait until a file of this pattern is there."""
        until = time.monotonic() + 60
        while not any(out.glob(pattern)) and time.monotonic() < until:
            if started.code() is not None:
                return
            time.sleep(0.002)


def full(trouble):
    """A disk that is full at one moment after another, each time a little later."""
    with mounted(trouble.folder / "full", "100k") as disk:
        refused = 0
        for size in range(100, 2000, 300):
            mount("-o", f"remount,size={size}k", disk)
            code, last = trouble.go(disk / "out")
            if code == 0:
                break
            trouble.refused(code, last, "No space left")
            if (disk / "out").exists():
                assert not (problem := trouble.run.check(disk / "out")), problem
            refused += 1
        assert refused, "the disk was never full"
        mount("-o", "remount,size=100m", disk)
        trouble.completes(disk / "out")


def files_that_may_not_grow(trouble):
    """A limit on the size of files, which needs no rights and fails where a full disk does."""
    out = trouble.folder / "limit"
    code, last = trouble.go(out, ("prlimit", "--fsize=2000"))
    trouble.refused(code, last, "could not be written", "could not be fetched", "stopped")
    trouble.completes(out)


def read_only(trouble):
    """A disk that takes no files."""
    with mounted(trouble.folder / "read-only", "100m") as disk:
        mount("-o", "remount,ro", disk)
        trouble.refused(*trouble.go(disk / "out"), "ead-only", "cannot be written")
        mount("-o", "remount,rw", disk)
        trouble.completes(disk / "out")


def gone(trouble):
    """A folder that is moved away while a run writes to it."""
    out = trouble.folder / "gone"
    for attempt in range(3):
        started = trouble.start(out)
        trouble.begun(out, started, "*")
        time.sleep(attempt)
        moved = trouble.folder / f"moved{attempt}"
        os.rename(out, moved)
        code, last = trouble.end(started)
        if code:
            trouble.refused(code, last)
    trouble.completes(out)


def other_places_for_temporary_files(trouble):
    """TMPDIR on another file system, or nowhere."""
    for number, place in enumerate(("/dev/shm", "/nonexistent")):
        out = trouble.folder / f"temporary{number}"
        code, last = trouble.go(out, TMPDIR=place)
        assert code == 0, last
        what = difference(trouble.expected, trouble.run.result(out))
        assert not what, f"{what} is not as in an undisturbed run"


def two_runs(trouble):
    """Two runs into one place, at once."""
    out = trouble.folder / "two"
    both = [trouble.start(out) for _ in range(2)]
    ends = sorted(trouble.end(one) for one in both)
    assert ends[0][0] == 0, ends
    if ends[1][0]:  # else one began when the other had ended
        trouble.refused(*ends[1], "Another run is")
    trouble.completes(out)


def another_slide(trouble):
    """A slide that is replaced, by one of as many bytes, after a run was killed."""
    out, slide = trouble.folder / "replaced", trouble.run.slide
    started = trouble.start(out)
    trouble.begun(out, started, "slide.work/nuclei/[0-9]*.npy")
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    true = slide.read_bytes()
    slide.write_bytes(replaced(true))
    trouble.refused(*trouble.go(out), "another slide")
    slide.write_bytes(true)
    trouble.completes(out)


EVERY = full, files_that_may_not_grow, read_only, gone, other_places_for_temporary_files, two_runs
NEED_ROOT = full, read_only


class SlowSlide(SlideRun):
    """The slide with one worker alone, so that what happens is the same each time."""

    workers_of = (1,)


def torture(folder, start):
    """Meet every trouble with every kind of run; return a row of the table, and the findings."""
    started, findings, count = time.monotonic(), [], 0
    for run in (SlowSlide(), RUNS["training"], RUNS["download"]):
        trouble = Trouble(run, folder / run.name, start)
        for meet in [*EVERY, *([another_slide] if run.has_workers else [])]:
            if meet in NEED_ROOT and os.geteuid():
                print(f"{meet.__name__} of {run.name} needs root: left out.", file=sys.stderr)
                continue
            count += 1
            print(f"disk: {run.name}, {meet.__name__}", file=sys.stderr, flush=True)
            try:
                meet(trouble)
            except AssertionError as error:
                findings.append(f"{run.name}, {meet.__name__}: {error}")
                print("FOUND", findings[-1], file=sys.stderr, flush=True)
    good = count - len(findings)
    row = f"| disk and folders | {count} troubles | {good} of {count} | {len(findings)} |"
    return f"{row} {time.monotonic() - started:.0f} |", findings


def mount(*words):
    subprocess.run(["mount", *map(str, words)], check=True, capture_output=True)


@contextmanager
def mounted(folder, size):
    """A small file system in memory, for the `with` block; needs root."""
    folder.mkdir()
    mount("-t", "tmpfs", "-o", f"size={size}", "none", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        shutil.rmtree(folder, ignore_errors=True)
