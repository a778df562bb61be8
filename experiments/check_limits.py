"""Measure the figures of MoNuSeg behind the limits of `python -m nuclei check`.

    python experiments/check_limits.py [--others 10]

For each figure, the worst value over the images that are there: how well annotations fit their own
image and other images, how far they are shifted, and how alike two images are, or an image and its
copy that was saved as JPEG. Nothing is trained, so the test images count too.
"""

import argparse
from itertools import combinations

import cv2
import numpy as np
from tqdm import tqdm

from nuclei.data import monuseg, overlap
from nuclei.data.alignment import FIT, VIEWS, align
from nuclei.data.check import SHIFT
from nuclei.data.overlap import Reduced

QUALITY = 50
"""Of the copies that are saved as JPEG."""

PART = np.s_[37:637, 53:653]
"""A part that starts between the pixels of the reduced image."""


def as_jpeg(image):
    """Save an image as JPEG and read it back."""
    written = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return np.ascontiguousarray(cv2.imdecode(written, cv2.IMREAD_COLOR)[..., ::-1])


def main():
    """Print a line for each figure, with the limit that it belongs to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--others", type=int, default=10, help="annotations to try on each image (%(default)s)"
    )
    others = parser.parse_args().others
    samples = [sample for split in ("train", "val", "test") for sample in monuseg.load(split)]
    own, wrong, turned, shifts, same, shared = ([] for _ in range(6))
    for number, sample in enumerate(tqdm(samples, "Images", unit="image")):
        found = align(sample.image, sample.mask)
        own.append(found.fit)
        shifts.append(np.hypot(found.down, found.right))
        for step in range(1, others + 1):
            other = samples[(number + step) % len(samples)]
            wrong.append(align(sample.image, other.mask).fit)
        for view in VIEWS.values():
            turned.append(align(sample.image, np.ascontiguousarray(view(sample.mask))).fit)
        reduced = Reduced(sample.image)
        same.append(reduced.likeness(Reduced(as_jpeg(sample.image))))
        shared.append(reduced.best_match(Reduced(as_jpeg(sample.image[PART]))))
    pairs = [*combinations([Reduced(sample.image) for sample in samples], 2)]
    pairs = tqdm(pairs, "Pairs", unit="pair")
    found = [(one.likeness(two), one.best_match(two)) for one, two in pairs]
    alikes, matches = zip(*found, strict=True)
    print(f"{len(samples)} images, {others} other annotations on each, JPEG of quality {QUALITY}")
    print(f"fit (at least {FIT}): own annotation {min(own):.2f} and more, turned or mirrored")
    print(f"  {max(turned):.2f} and less, of another image {max(wrong):.2f} and less")
    print(f"shift (below {SHIFT} pixels): {max(shifts):.1f} and less")
    for title, limit, copies, strangers in (
        ("same image", overlap.SAME, same, alikes),
        ("shared part", overlap.SHARED, shared, matches),
    ):
        print(
            f"{title} (at least {limit}): saved as JPEG {min(copies):.2f} and more, "
            f"other images {max(strangers):.2f} and less"
        )


if __name__ == "__main__":
    main()
