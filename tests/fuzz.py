"""Damage sound files in thousands of ways, and read them: only an InputError may come of it.

`make fuzz` runs it for all readers. A finding is any other exception, a crash of the process, more
than ten seconds or more than 1 GB. Its file is kept in runs/fuzz/, and `python tests/fuzz.py FILE`
reads it again.
"""

import argparse
import contextlib
import faulthandler
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from fuzz_files import READERS
from tqdm import tqdm

from nuclei import ROOT
from nuclei.errors import InputError

SECONDS, BYTES = 10, 1 << 30
"""Most processor time and memory for one file."""

NUMBERS = [0, 1, 2, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1]
TEXTS = [b"", b"0", b"-1", b"1e400", b"nan", b"99999999999999999999", b"0.5", b'"', b"null", b"[]"]


def flip(data, rng):
    """Change a few bytes."""
    for _ in range(rng.choice((1, 1, 2, 8))):
        data[place(data, rng)] = rng.randrange(256)


def cut(data, rng):
    """Cut the file short."""
    del data[rng.randrange(len(data)) :]


def remove(data, rng):
    """Remove a block."""
    start = place(data, rng)
    del data[start : start + rng.choice((1, 4, 64, 1000))]


def insert(data, rng):
    """Insert a block of noise."""
    start = place(data, rng)
    data[start:start] = rng.randbytes(rng.choice((1, 4, 64, 1000)))


def duplicate(data, rng):
    """Copy a block elsewhere: into the file, or over what is there."""
    start, target = place(data, rng), place(data, rng)
    block = data[start : start + rng.choice((2, 4, 12, 100))]
    data[target : target + (len(block) if rng.random() < 0.7 else 0)] = block


def number(data, rng):
    """Write a special number over one."""
    size, order = rng.choice((1, 2, 2, 4, 4, 8)), rng.choice(("little", "big"))
    start = place(data, rng)
    data[start : start + size] = (rng.choice(NUMBERS) % 256**size).to_bytes(size, order)


def text(data, rng):
    """Write something else for a number or an attribute, or seldom for a word, of a text."""
    kind = rb"\w+" if rng.random() < 0.1 else rb"-?\d[\d.]*|(?<==\")[^\"]*"
    words = list(re.finditer(kind, bytes(data[:100_000])))
    if words:
        word = rng.choice(words)
        data[word.start() : word.end()] = rng.choice([*TEXTS, rng.choice(words)[0]])


MUTATIONS = [flip, flip, cut, remove, insert, duplicate, number, number, number, text]


def place(data, rng):
    """A place in a file, as often as not near its beginning or end, where headers are."""
    kind, last = rng.random(), max(len(data) - 1, 0)
    if kind < 0.4:
        return min(rng.randrange(600), last)
    return max(0, last - rng.randrange(600)) if kind < 0.5 else rng.randint(0, last)


def mutate(sound, rng):
    """Damage a file, in one to four ways, and a text so that most often it is still one."""
    data, ways = bytearray(sound), MUTATIONS
    if b"\0" not in data and rng.random() < 0.8:
        ways = [text]
    for _ in range(rng.choice((1, 1, 2, 4))):
        if data:
            rng.choice(ways)(data, rng)
    return mend_png(data) if rng.random() < 0.7 else bytes(data)


def mend_png(data):
    """Correct the checksums of a PNG, which else hide all that comes after them."""
    start = 8
    while data.startswith(b"\x89PNG") and start + 12 <= len(data):
        end = start + 8 + int.from_bytes(data[start : start + 4], "big")
        if end + 4 <= len(data):
            data[end : end + 4] = zlib.crc32(data[start + 4 : end]).to_bytes(4, "big")
        start = end + 4
    return bytes(data)


def complaint(read, path):
    """Read a file; return what is wrong with the way in which that ended, or None."""
    try:
        read(path)
    except InputError as error:
        words = str(error)
        if "\n" in words or not words.endswith(".") or len(words) > 600:
            return f"not one sentence: {words[:600]!r}"
    except Exception:
        return traceback.format_exc()
    return None


def work(seed, tasks, folder, pipe):
    """Read damaged files in a process of its own, and send what is wrong with each."""
    faulthandler.enable()
    faulthandler.register(signal.SIGPROF, chain=True)  # ends the process, C or not
    os.dup2(os.open(folder / "said.txt", os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 2)
    random.seed(seed)  # the weights that Keras draws, which are damaged too
    sound = {reader: write_sound(reader, folder / "sound" / reader) for reader, _ in tasks}
    before = peak()
    # What is used counts, not what is reserved. This limit only protects the machine.
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + 8 * BYTES,) * 2)
    for reader, number in tasks:
        rng = random.Random(f"{seed} {reader} {number}")
        origin = rng.choice(sound[reader])
        case = folder / reader / f"{seed}-{number}"
        case.mkdir(parents=True)
        (case / origin.name).write_bytes(mutate(origin.read_bytes(), rng))
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        problem = complaint(READERS[reader][1], case / origin.name)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if (more := peak() - before) > BYTES:
            problem, before = f"{more / 1e9:.1f} GB", peak()
        if not problem:
            shutil.rmtree(case)
        pipe.send(problem)


@cache
def write_sound(reader, folder):
    """Write the sound files of a reader, and read them; return their paths."""
    write, read = READERS[reader]
    folder.mkdir(parents=True, exist_ok=True)
    write(folder)
    paths = sorted(folder.iterdir())
    for path in paths:
        read(path)
    return paths


def peak():
    """The most memory that this process has used so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run(readers, seed, count, kept, done=lambda: None):
    """Damage and read files; return the findings.

    Parameters
    ----------
    readers : sequence of str
        Keys of `READERS`. All of them run in one process, and in another one after a crash.
    seed, count : int
        `count` damaged files for each reader.
    kept : Path
        Folder for the files of the findings.
    done : callable
        Called after each file.

    Returns
    -------
    list of (str, str)
        Path of the file, and what went wrong with it.
    """
    findings, context = [], multiprocessing.get_context("spawn")
    tasks = [(reader, number) for reader in readers for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)

        def keep(task, problem):
            case = Path(task[0], f"{seed}-{task[1]}")
            shutil.copytree(folder / case, kept / case, dirs_exist_ok=True)
            (kept / case / "finding.txt").write_text(problem)
            path = next(path for path in (folder / case).iterdir() if path.is_file())
            findings.append((str(kept / case / path.name), problem))

        while tasks:
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=work, args=(seed, tasks, folder, theirs))
            process.start()
            theirs.close()
            with contextlib.suppress(EOFError):
                while tasks:
                    if not ours.poll(120):  # it waits for something
                        process.kill()
                    if problem := ours.recv():
                        keep(tasks[0], problem)
                    del tasks[0]
                    done()
            process.join()
            if tasks:
                said = (folder / "said.txt").read_text(errors="replace")[-3000:]
                if not Path(folder, tasks[0][0], f"{seed}-{tasks[0][1]}").exists():
                    raise RuntimeError(said)  # the sound files cannot be written or read
                slow = -process.exitcode in (signal.SIGPROF, signal.SIGKILL)
                keep(tasks.pop(0), f"{'hang' if slow else f'crash {process.exitcode}'}\n{said}")
                done()
    return findings


def by_kind(findings):
    """Sort findings by the error, and the last line of the package before it."""
    kinds = {}
    for path, problem in findings:
        lines = problem.strip().splitlines()
        raised = lines[0].startswith("Traceback")
        what = lines[-1].partition(":")[0] if raised else lines[0][:60]
        places = re.findall(r'nuclei/(\S+\.py)", line (\d+)', problem)
        place = ":".join(places[-1 if raised else 0]) if places else ""
        kinds.setdefault(f"{what} {place}".strip(), []).append(path)
    return kinds


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", nargs="*", help="readers (all), or one file of a finding")
    parser.add_argument("--count", type=int, default=2000, help="damaged files for each reader")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.what and (path := Path(options.what[0])).is_file():
        print(complaint(READERS[path.parent.parent.name][1], path) or "This file is no finding.")
        return 0
    readers, kept, findings = options.what or list(READERS), ROOT / "runs" / "fuzz", []
    with (
        tqdm(total=options.count * len(readers), unit="file") as bar,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):

        def one(reader):
            started = time.perf_counter()
            found = run([reader], options.seed, options.count, kept, bar.update)
            return found, time.perf_counter() - started

        for reader, (found, seconds) in zip(readers, pool.map(one, readers), strict=True):
            findings += found
            for kind, paths in by_kind(found).items():
                bar.write(f"{kind}: {len(paths)} times, as in {paths[0]}")
            bar.write(
                f"{reader}: {options.count} files, seed {options.seed}, {seconds:.0f} s: "
                f"{len(found)} findings"
            )
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
