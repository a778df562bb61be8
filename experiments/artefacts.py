"""What is excluded as ink, glass or too large: false nuclei in made cases, and the loss on MoNuSeg.

    python experiments/artefacts.py [--models unet ...] [--cases unet unet_instances]

Prints, for MoNuSeg train and val, how near annotated nuclei come to each limit and what is taken
away of them; the scores of the models on val with and without the exclusions; what ink does to the
nuclei beside it; the objects that models find in ink, black borders and glass, before and after;
and the time. The test images are not read. The models are all, the cases those of two models.
"""

import argparse
from dataclasses import asdict
from time import perf_counter

import cv2
import numpy as np

from nuclei import modelfiles, modelzoo
from nuclei.data import monuseg, synthetic
from nuclei.errors import run_script
from nuclei.images.resolution import MPP
from nuclei.prediction import artefacts, instances, windows
from nuclei.scores import pixels
from nuclei.scores.objects import object_scores

SIZE = 1000
INKS = {
    "blue": (30, 60, 180),
    "light blue": (60, 110, 210),
    "navy": (25, 30, 90),
    "green": (20, 120, 60),
    "dark green": (15, 60, 40),
    "red": (200, 30, 40),
    "crimson": (160, 20, 50),
    "black": (15, 15, 18),
    "worn black": (40, 38, 42),
}
"""RGB of the light that ink on glass lets through."""


def write_on(image, rgb):
    """Draw a stroke 65 um wide of uneven ink; return the image and where the stroke is."""
    generator = np.random.default_rng(0)
    stroke = np.zeros(image.shape[:2], np.uint8)
    corners = np.array([[-50, 300], [300, 420], [600, 350], [1050, 700]])
    cv2.polylines(stroke, [corners], False, 255, 260)
    amount = cv2.GaussianBlur(stroke, (0, 0), 4).astype(np.float32) / 255
    unevenness = cv2.GaussianBlur(generator.normal(size=stroke.shape), (0, 0), 6)
    amount *= np.clip(1 + 0.12 * unevenness / unevenness.std(), 0.6, 1.4)
    light = (image + 1.0) * (np.array(rgb) / 255) ** amount[..., None] - 1
    light += generator.normal(size=light.shape) * 3 * (amount > 0)[..., None]
    return np.clip(light, 0, 255).astype(np.uint8), amount > 0.3


def cases(tissue):
    """Yield the group, name, image and area without nuclei of each made case."""
    generator = np.random.default_rng(1)

    def noisy(grey, deviation):
        light = grey + deviation * generator.normal(size=(SIZE, SIZE, 3))
        return np.clip(light, 0, 255).astype(np.uint8)

    everywhere = np.ones((SIZE, SIZE), bool)
    for place, image in {**tissue, "glass": noisy(243, 2)}.items():
        for name, rgb in INKS.items():
            yield f"{len(INKS)} inks on {place}", name, *write_on(image, rgb)
    for place, image in tissue.items():
        border = np.zeros((SIZE, SIZE), bool)
        border[:200] = border[:, -150:] = True
        bordered = np.where(border[..., None], np.uint8(5), image)
        yield "black border, twice", place, bordered, border
    plain = {
        "black": ("black image, twice", 0, 0),
        "black with noise": ("black image, twice", 8, 4),
        "white": ("glass and grey, four times", 255, 0),
        "glass with noise": ("glass and grey, four times", 240, 15),
        "grey": ("glass and grey, four times", 128, 0),
        "grey with noise": ("glass and grey, four times", 128, 10),
    }
    for name, (group, grey, deviation) in plain.items():
        yield group, name, noisy(grey, deviation), everywhere
    dust = noisy(243, 2)
    for x, y, radius, grey in generator.integers((0, 0, 3, 60), (SIZE, SIZE, 20, 180), (60, 4)):
        cv2.circle(dust, (int(x), int(y)), int(radius), [int(grey)] * 3, -1)
    yield "glass with dust", "grey", cv2.GaussianBlur(dust, (0, 0), 2), everywhere


def count(labels, area):
    """Number of objects that lie mostly in an area, and um2 of the largest."""
    size = np.bincount(labels.ravel())
    inside = np.bincount(labels[area], minlength=len(size)) > size / 2
    inside[0] = False
    return inside.sum(), size[inside].max(initial=0) * MPP**2


def found(model, image):
    """Labels, excluded pixels and probability before and after the exclusions."""
    maps = windows.predict_maps(model, image)
    before = instances.separate(maps)[0], maps[..., 0] >= 0.5
    covered, ink = artefacts.cover_ink(image, MPP)
    if ink.any():
        maps = windows.predict_maps(model, covered)
    labels, _, excluded = artefacts.nuclei_in_tissue(maps, covered, ink, MPP)
    return before, (labels, maps[..., 0] >= 0.5), excluded


def margins(samples):
    """Print how near annotated nuclei come to the limits, and what is taken of them."""
    highest, taken, spots, nuclei, largest = [], 0, 0, 0, 0
    for sample in samples:
        factor = artefacts.INK_MPP / MPP
        size = [round(n / factor) for n in sample.mask.shape[::-1]]
        small = cv2.resize(sample.image, size, interpolation=cv2.INTER_AREA)
        mask = sample.mask.astype(np.float32)
        inside = cv2.resize(mask, size, interpolation=cv2.INTER_AREA) > 0
        density = artefacts.smooth_density(small)
        red, green, blue = np.moveaxis(density, -1, 0)
        rules = density.min(axis=-1), red - blue, red - green, blue - red
        highest.append([[rule[inside].max(), rule.max()] for rule in rules])
        out = artefacts.find_ink(sample.image, MPP) | artefacts.find_glass(sample.image, MPP)
        taken += np.count_nonzero(out & sample.mask)
        spots += np.count_nonzero(artefacts.find_ink(sample.image, MPP))
        areas = np.bincount(sample.labels.ravel())[1:]
        nuclei += np.count_nonzero(areas)
        largest = max(largest, areas.max())
    print(
        f"{len(samples)} images with {nuclei:,} nuclei, the largest of {largest * MPP**2:.1f} um2"
    )
    limits = artefacts.BLACK, artefacts.BLUE, artefacts.GREEN, artefacts.RED
    names = "black", "blue", "green", "red"
    reached = np.max(highest, axis=0)
    for name, limit, (of_nuclei, of_all) in zip(names, limits, reached, strict=True):
        print(f"{name}: nuclei up to {of_nuclei:.2f}, tissue up to {of_all:.2f}, limit {limit}")
    print(f"{taken} pixels of annotated nuclei taken away, {spots} pixels of ink")


def scores(name, samples):
    """Print the mean Dice, AJI and PQ of a model before and after."""
    model, rows, largest, excluded = modelzoo.load(name), [], 0, 0
    for sample in samples:
        *both, out = found(model, sample.image)
        largest = max(largest, np.bincount(both[0][0].ravel())[1:].max(initial=0))
        excluded += np.count_nonzero(out)
        for labels, mask in both:
            dice = pixels.confusion(mask, sample.mask).scores().dice
            objects = asdict(object_scores(labels, sample.labels))
            rows.append([dice, objects["aji"], objects["pq"]])
    means = np.mean(np.reshape(rows, (-1, 2, 3)), axis=0)
    print(
        f"{name}: Dice, AJI, PQ {np.round(means[0], 5)} before, {np.round(means[1], 5)} after; "
        f"{excluded} pixels excluded; largest object {largest * MPP**2:.0f} um2",
        flush=True,
    )


def beside(name, model, samples):
    """Print the Dice beside a blue stroke: without it, with it, and with it covered."""
    rows = []
    for sample in samples:
        written, _ = write_on(sample.image, INKS["blue"])
        covered, ink = artefacts.cover_ink(written, MPP)
        rows.append([])
        for image in (sample.image, written, covered):
            mask = windows.predict(model, image) >= 0.5
            rows[-1].append(pixels.confusion(mask[~ink], sample.mask[~ink]).scores().dice)
    print(f"{name}: Dice beside ink, without, with, covered: {np.mean(rows, axis=0).round(3)}")


def main():
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=modelfiles.names())
    parser.add_argument("--cases", nargs="*", default=["unet", "unet_instances"])
    options = parser.parse_args()
    margins(monuseg.load("trainval"))
    val = monuseg.load("val")
    for name in options.models:
        scores(name, val)
    tissue = {"synthetic tissue": synthetic.tissue(seed=3)[0], "val tissue": val[0].image}
    for name in options.cases:
        model = modelzoo.load(name)
        beside(name, model, val)
        groups = {}
        for group, case, image, area in cases(tissue):
            (before, _), (after, _), _ = found(model, image)
            counts = *count(before, area), *count(after, area)
            groups.setdefault(group, []).append(counts)
            print(
                "{}, {}, {}: {} of up to {:.0f} um2, then {} of up to {:.0f} um2".format(
                    name, group, case, *counts
                ),
                flush=True,
            )
        for group, counts in groups.items():
            total, largest = np.sum(counts, axis=0), np.max(counts, axis=0)
            print(f"| {group} | {total[0]:,.0f} | {largest[1]:,.0f} | {total[2]:,.0f} |")
    seconds = []
    for _ in range(20):
        start = perf_counter()
        artefacts.find_ink(val[0].image, MPP)
        artefacts.find_glass(val[0].image, MPP)
        seconds.append(perf_counter() - start)
    print(f"Ink and glass of {SIZE} x {SIZE} pixels: {min(seconds):.4f} s (fastest of 20)")


if __name__ == "__main__":
    run_script(main)
