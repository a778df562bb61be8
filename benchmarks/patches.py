"""Time `patches.write` against `skimage.io.imsave` called for one patch after the other.

Run it as ``python benchmarks/patches.py`` on the data that `dataset.load` finds.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from skimage.io import imsave
from tqdm import tqdm

from nuclei import dataset, patches


def write_one_by_one(samples, folder):
    """The baseline: what a notebook does without `patches.write`."""
    for name in patches.FOLDERS:
        (folder / name).mkdir(parents=True)
    for sample in tqdm(samples, "skimage.io.imsave", unit="image"):
        for name, pixels in zip(
            patches.FOLDERS, (sample.image, sample.mask * np.uint8(255)), strict=True
        ):
            for index, patch in enumerate(patches.cut(pixels)):
                path = folder / name / f"{sample.name}-PCH{index}.png"
                imsave(path, patch, check_contrast=False)


def timed(function, *arguments):
    """Seconds that a call takes."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def main():
    """Print seconds and megabytes of both ways, and of reading back."""
    samples = dataset.load("Training") + dataset.load("Test")
    with tempfile.TemporaryDirectory() as folder:
        fast, slow = Path(folder, "fast"), Path(folder, "slow")
        seconds = {fast: timed(patches.write, samples, fast)}
        reading = timed(patches.read, fast, samples)
        seconds[slow] = timed(write_one_by_one, samples, slow)
        megabytes = {
            path: sum(file.stat().st_size for file in path.rglob("*.png")) / 1e6 for path in seconds
        }
    print(f"{len(samples)} images, windows of {patches.SIZE} pixels, stride {patches.STRIDE}")
    print(f"patches.write      {seconds[fast]:6.1f} s  {megabytes[fast]:5.0f} MB")
    print(f"patches.read       {reading:6.1f} s  checked against the images")
    print(f"skimage.io.imsave  {seconds[slow]:6.1f} s  {megabytes[slow]:5.0f} MB")
    print(f"speed-up           {seconds[slow] / seconds[fast]:6.1f} x")


if __name__ == "__main__":
    main()
