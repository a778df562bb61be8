"""Fit the score of objects (`nuclei/prediction/confidence.py`), and see what it brings.

    python experiments/confidence.py [MODEL ...]

Predicts the 24 training images with each model, divides the masks into objects, and fits a
logistic regression: an object that shares a pixel with an annotated nucleus counts as 1, any other
as 0. Models with a learnt distance have weights of their own. Then prints Dice of the pixels of
all nuclei, AJI, shared AJI and PQ on the 6 validation images, for several values of `min_score`.
"""

import argparse

import numpy as np
from tqdm import tqdm

from nuclei import modelfiles, modelzoo
from nuclei.data import monuseg
from nuclei.errors import run_script
from nuclei.prediction import confidence, instances, windows
from nuclei.scores.objects import Overlaps, object_scores
from nuclei.scores.pixels import confusion

THRESHOLDS = (0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
SMALLEST = 30
PENALTY = 1e-3
"""Of the squared weights, for features with a mean of 0 and a standard deviation of 1."""


def objects(maps, truth):
    """Features of the objects in an image, and which of them share a pixel with a nucleus."""
    labels, areas, described = instances.divide(maps)
    large = areas >= SMALLEST
    large[0] = False
    real = np.zeros(large.sum())
    real[Overlaps(instances.renumber(labels, large), truth).predicted] = 1
    return described[large], real


def fit(described, real):
    """Fit a logistic regression by Newton's method; return weights and bias."""
    mean, spread = described.mean(axis=0), described.std(axis=0)
    columns = np.column_stack([(described - mean) / spread, np.ones(len(described))])
    penalty = PENALTY * np.diag([1.0] * described.shape[1] + [0.0])
    found = np.zeros(columns.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-columns @ found))
        slope = columns.T @ (chance - real) / len(real) + penalty @ found
        bend = (columns.T * (chance * (1 - chance))) @ columns / len(real) + penalty
        found -= np.linalg.solve(bend, slope)
    weights = found[:-1] / spread
    return weights, found[-1] - weights @ mean


def main():
    """Fit, print the constants, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL")
    names = parser.parse_args().models or modelfiles.names()
    samples = {split: monuseg.load(split) for split in ("train", "val")}
    found, val = {True: [], False: []}, {}
    for name in names:
        model = modelzoo.load(name)
        learnt = model.output_shape[-1] > 1
        for sample in tqdm(samples["train"], desc=name, unit="image"):
            found[learnt].append(objects(windows.predict_maps(model, sample.image), sample.labels))
        val[name] = [windows.predict_maps(model, sample.image) for sample in samples["val"]]
    for learnt, columns in found.items():
        if columns:
            described, real = map(np.concatenate, zip(*columns, strict=True))
            weights, bias = fit(described, real)
            print(f"learnt distance: {learnt}, objects: {len(real)}, nuclei: {real.mean():.3f}")
            print(f"  WEIGHTS {np.round(weights, 3).tolist()}, BIAS {bias:.3f}")
            confidence.WEIGHTS[learnt], confidence.BIASES[learnt] = weights, bias
    print(f"{'model':24}{'min_score':>10}{'Dice':>8}{'AJI':>8}{'shared':>8}{'PQ':>8}")
    for name, images in val.items():
        for least in THRESHOLDS:
            rows = []
            for maps, sample in zip(images, samples["val"], strict=True):
                labels, _ = instances.separate(maps, smallest=SMALLEST, min_score=least)
                nuclei = object_scores(labels, sample.labels)
                dice = confusion(labels > 0, sample.mask).scores().dice
                rows.append((dice, nuclei.aji, nuclei.aji_shared, nuclei.pq))
            means = "".join(f"{value:8.4f}" for value in np.mean(rows, axis=0))
            print(f"{name:24}{least:>10}{means}")


if __name__ == "__main__":
    run_script(main)
