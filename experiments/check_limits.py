"""Where the limits of `python -m nuclei check` lie: what right and wrong data sets measure.

    python experiments/check_limits.py [--others 1]

Measures the training and validation images of MoNuSeg; the test images are not read. Each line of
the table has the limit and what was found on both sides of it: the fit of annotations with their
own image and with others, of annotations turned and mirrored, the error of a shift that is known,
and how alike whole images and patches of them are.
"""

import argparse
from itertools import combinations

import cv2
import numpy as np

from nuclei.commands.predict import whole
from nuclei.data import loading, monuseg, overlap
from nuclei.data.alignment import FIT, VIEWS, align
from nuclei.data.check_image import SHIFT
from nuclei.data.overlap import Reduced
from nuclei.errors import run_script

SHIFTS = ((3, 0), (-12, 7))
"""Down and right, in pixels, by which annotations are moved."""


def turned_fits(samples):
    """Fits of annotations that are turned or mirrored in each of the ways that check undoes."""
    return [
        align(one.image, np.ascontiguousarray(view(one.mask))).fit
        for one in samples
        for view in VIEWS.values()
    ]


def shift_errors(samples, own):
    """Largest error of the shift that is found, relative to where each annotation lay before."""
    errors = []
    for sample, before in zip(samples, own, strict=True):
        for down, right in SHIFTS:
            found = align(sample.image, np.roll(sample.mask, (down, right), (0, 1)))
            error = found.down - before.down - down, found.right - before.right - right
            errors.append(np.hypot(*error))
    return errors


def copies(image):
    """The image as check has to know it again: turned, mirrored, and as JPEG."""
    yield np.ascontiguousarray(np.rot90(image))
    yield np.ascontiguousarray(image[:, ::-1])
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 50])
    yield cv2.imdecode(data, cv2.IMREAD_COLOR)


def with_glass(image):
    """The image as a disc of half its area, in glass: all outlines are then the same."""
    y, x = (np.linspace(-1, 1, side) for side in image.shape[:2])
    outside = np.hypot(y[:, None], x) > np.sqrt(2 / np.pi)
    return np.where(outside[..., None], np.uint8(241), image)


def shared_fits(sample):
    """For each patch of an image, the best fit with the image as JPEG that is cut differently."""
    *_, jpeg = copies(sample.image[3:, 5:])
    return Reduced(sample.image).parts(Reduced(jpeg))


def main():
    """Print the table, line by line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    text = "with so many other images each annotation is compared (default 1)"
    parser.add_argument("--others", type=whole, default=1, help=text)
    options = parser.parse_args()
    samples = monuseg.load("trainval")
    print(f"{len(samples)} images of {loading.source(None)}, training and validation")
    print(f"{'measured':38} {'limit':>6} {'number':>7} {'lowest':>7} {'median':>7} {'highest':>8}")
    for title, limit, values in measured(samples, options.others):
        low, middle, high = np.min(values), np.median(values), np.max(values)
        print(
            f"{title:38} {limit:6.2f} {len(values):7} {low:7.3f} {middle:7.3f} {high:8.3f}",
            flush=True,
        )


def measured(samples, others):
    """Yield the title, the limit and the values of each line."""
    reduced = [Reduced(one.image) for one in samples]
    # Images of one patient may show the same tissue, so they are no example of other tissue.
    numbers = [
        (i, j)
        for i, j in combinations(range(len(samples)), 2)
        if samples[i].patient != samples[j].patient
    ]
    pairs = [(reduced[i], reduced[j]) for i, j in numbers]
    discs = [Reduced(with_glass(one.image)) for one in samples]
    pairs_of_discs = [(discs[i], discs[j]) for i, j in numbers]
    copied = [
        (one, Reduced(copy))
        for sample, one in zip(samples, reduced, strict=True)
        for copy in copies(sample.image)
    ]
    for title, measure in (
        ("likeness", Reduced.likeness),
        ("likeness of details", Reduced.likeness_of_details),
    ):
        for whose, some in (
            (f"{title}: a copy", copied),
            ("  another patient", pairs),
            ("  another patient, same glass", pairs_of_discs),
        ):
            yield whose, overlap.SAME, [measure(one, two) for one, two in some]
    own = [align(one.image, one.mask) for one in samples]
    yield "fit of an annotation with its image", FIT, [one.fit for one in own]
    yield "shift of an annotation, pixels", SHIFT, [np.hypot(one.down, one.right) for one in own]
    number = len(samples)
    wrong = [
        align(samples[i].image, samples[(i + 1 + step) % number].mask).fit
        for i in range(number)
        for step in range(min(others, number - 1))
    ]
    yield "fit with another image", FIT, wrong
    yield "error of a shift that is known, pixels", SHIFT, shift_errors(samples, own)
    patches = [fit for sample in samples for fit in shared_fits(sample)]
    yield "fit of a patch with its image", overlap.SHARED, patches
    patches = [fit for one, two in pairs for fit in one.parts(two)]
    yield "  another patient", overlap.SHARED, patches
    patches = [fit for one, two in pairs_of_discs for fit in one.parts(two)]
    yield "  another patient, same glass", overlap.SHARED, patches
    yield "fit of a turned or mirrored annotation", FIT, turned_fits(samples)


if __name__ == "__main__":
    run_script(main)
