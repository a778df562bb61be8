"""Many images and slides in one command, of which every tenth is broken: memory and seconds.

    python benchmarks/load.py [--images 200] [--slides 20] [--model unet_instances]

The tissue is synthetic: images of 512 pixels a side and slides of 2048. A second run with --resume
follows, after three tables were removed and one image was changed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from nuclei import ROOT, modelfiles
from nuclei.data import synthetic
from nuclei.errors import run_script
from nuclei.slides.pyramid import write_pyramid

BROKEN = 10
"""One in so many files is cut in half."""


def make_files(folder, images, slides):
    """Write images and slides; those of a multiple of `BROKEN` are cut in half."""
    tissues = [synthetic.tissue(seed, (512, 512))[0] for seed in range(10)]
    for number in range(images):
        path = folder / f"image{number:04d}.png"
        Image.fromarray(np.roll(tissues[number % 10], number, axis=1)).save(path)
        _break(path, number)
    for number in range(slides):
        image = np.tile(np.roll(tissues[number % 10], number, axis=0), (4, 4, 1))
        _break(write_pyramid(folder / f"slide{number:04d}.tif", image), number)


def _break(path, number):
    if number % BROKEN == 0:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def run(arguments, report, stderr=subprocess.DEVNULL):
    """Run `nuclei predict`; return its exit code, its report and (seconds, bytes) of its memory."""
    words = ("predict", *arguments, "--instances", "--json", str(report))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": stderr}
    process = subprocess.Popen([sys.executable, "-m", "nuclei", *words], env=environment, **quiet)
    started, samples, watched = time.perf_counter(), [], psutil.Process(process.pid)
    while process.poll() is None:
        try:
            samples.append((time.perf_counter() - started, watched.memory_info().rss))
        except psutil.Error:
            break
        time.sleep(0.05)
    code = process.wait()
    return code, json.loads(report.read_text()), samples


def quarters(samples, start, end):
    """The mean and the highest memory in the first and last quarter of a time, in MB."""
    quarter = (end - start) / 4
    parts = (start, start + quarter), (end - quarter, end)
    used = [[used for when, used in samples if a <= when <= b] for a, b in parts]
    return [(np.mean(one) / 1e6, max(one) / 1e6) for one in used]


def main():
    """Make the files, predict them, and predict what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--slides", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--model", default="unet_instances", help="default: %(default)s")
    options = parser.parse_args()
    if options.images < 5 or options.slides < 2:
        parser.error("take --images 5 and --slides 2 or more, because the first are broken")
    modelfiles.find(options.model)  # before minutes of work
    with tempfile.TemporaryDirectory() as folder:
        inputs, out, report = (Path(folder, name) for name in ("in", "out", "report.json"))
        inputs.mkdir()
        make_files(inputs, options.images, options.slides)
        arguments = (options.model, str(inputs), "--out", str(out), "--mpp", "0.25")
        code, outcomes, samples = run(arguments, report)
        show(code, outcomes, samples)
        # Slides come first, images last.
        end, kinds = samples[-1][0], ("image", "slide")
        for kind in kinds:
            spent = sum(o["seconds"] for o in outcomes if Path(o["path"]).name.startswith(kind))
            first, last = quarters(samples, end - spent, end)
            print(
                f"{kind}s, {spent:.0f} s: memory of the first quarter {first[0]:.0f} MB, at most "
                f"{first[1]:.0f}; of the last {last[0]:.0f}, at most {last[1]:.0f}: "
                f"{last[0] / first[0] - 1:+.1%} and {last[1] / first[1] - 1:+.1%}"
            )
            end -= spent
        for number in (1, 2, 3):
            (out / f"image{number:04d}.csv").unlink()
        changed = inputs / "image0004.png"
        Image.fromarray(255 - np.asarray(Image.open(changed))).save(changed)
        print("again with --resume, without three tables and with one other image:")
        show(*run((*arguments, "--resume"), report))


def show(code, outcomes, samples):
    """Print how a run ended."""
    counts = Counter(outcome["state"] for outcome in outcomes)
    said = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    print(f"{len(outcomes)} files in {samples[-1][0]:.0f} s: {said}; exit code {code}")


if __name__ == "__main__":
    run_script(main)
