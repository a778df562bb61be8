"""Compare the time of `patch_files.write` with `skimage.io.imsave` called for each patch.

    python benchmarks/patches.py

It uses the data that `monuseg.load` finds.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from skimage.io import imsave
from tqdm import tqdm

from nuclei.data import monuseg, patch_files, patches
from nuclei.errors import run_script


def write_one_by_one(samples, folder):
    """Write patches as a notebook would without `patch_files.write`: the baseline."""
    for name in patch_files.FOLDERS:
        (folder / name).mkdir(parents=True)
    for sample in tqdm(samples, "skimage.io.imsave", unit="image"):
        arrays = sample.image, sample.mask * np.uint8(255), sample.labels.astype(np.uint16)
        for name, pixels in zip(patch_files.FOLDERS, arrays, strict=True):
            for index, patch in enumerate(patches.cut(pixels)):
                path = folder / name / f"{sample.name}-PCH{index}.png"
                imsave(path, patch, check_contrast=False)


def timed(function, *arguments):
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def main():
    """Print the seconds and megabytes of both ways of writing, and the seconds of reading."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    samples = monuseg.load("trainval") + monuseg.load("test")
    with tempfile.TemporaryDirectory() as folder:
        fast, slow = Path(folder, "fast"), Path(folder, "slow")
        seconds = {fast: timed(patch_files.write, samples, fast)}
        reading = timed(patch_files.read, fast)
        seconds[slow] = timed(write_one_by_one, samples, slow)
        megabytes = {
            path: sum(file.stat().st_size for file in path.rglob("*.png")) / 1e6 for path in seconds
        }
    print(f"{len(samples)} images, patches of {patches.SIZE} pixels, stride {patches.STRIDE}")
    print(f"patch_files.write      {seconds[fast]:6.1f} s  {megabytes[fast]:5.0f} MB")
    print(f"patch_files.read       {reading:6.1f} s")
    print(f"skimage.io.imsave      {seconds[slow]:6.1f} s  {megabytes[slow]:5.0f} MB")
    print(f"speed-up               {seconds[slow] / seconds[fast]:6.1f} x")


if __name__ == "__main__":
    run_script(main)
