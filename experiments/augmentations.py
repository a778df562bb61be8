"""Which augmentation helps on tissue that was never seen?

    python experiments/augmentations.py [--unseen val kidney stomach] [--epochs 6]
        [--ways default uncompressed strong stains] [--seed 0] [--precision auto]

`val` trains on the 24 training images and scores the 6 of validation. An organ trains on the
training and validation images of all other organs, and scores those of the organ. For each way to
augment, a UNet of width 16 is trained from random weights, with the same seed and number of steps:

- default: the augmentation of the notebooks
- strong: `STRONGER`
- uncompressed: the same without JPEG
- stains: uncompressed, and three quarters of the patches are from an image that was given the
  stains of another training image, chosen at random

Prints the mean scores of the whole unseen images, as they are and altered by `data.alterations`.
After an interruption, the same command continues after the last epoch.
"""

import argparse

import cv2
import numpy as np

from nuclei import ROOT, evaluation, modelzoo
from nuclei.data import monuseg, patches
from nuclei.data.alterations import ALTERATIONS, altered
from nuclei.data.augmentation import STRONGER, AugmentedBatches
from nuclei.data.stains import STAINS, optical_density
from nuclei.training import Checkpoint, Dice, accelerate, adamw, bce_dice_loss, devices

CONFIG = {"network": "unet", "arguments": {"width": 16}}
BATCH_SIZE = 8
UNCOMPRESSED = STRONGER | {"jpeg": None}
WAYS = {"default": {}, "uncompressed": UNCOMPRESSED, "strong": STRONGER, "stains": UNCOMPRESSED}
COPIES = 3
TISSUE = 0.15
"""Least mean optical density of a pixel that counts as stained."""


def train(images, masks, epochs, folder, augmentation, precision="auto", seed=0, steps=None):
    """Train a UNet on whole images, or continue it; return it with averaged weights, in float32."""
    batches = AugmentedBatches(images, masks, BATCH_SIZE, seed, **augmentation)
    steps = steps or batches.steps_per_epoch
    device = devices.prepare(seed, precision)
    network = accelerate(modelzoo.build(CONFIG, device["precision"]))
    network.compile(
        adamw(epochs * steps), bce_dice_loss, metrics=[Dice()], jit_compile=device["jit_compile"]
    )
    checkpoint = Checkpoint(folder, batches, steps, monitor=None)
    done = checkpoint.restore(network)
    network.fit(
        batches.starting(done * steps),
        steps_per_epoch=steps,
        epochs=epochs,
        initial_epoch=done,
        callbacks=[checkpoint],
        shuffle=False,
        verbose=2,
    )
    return modelzoo.trained(CONFIG, folder / "best.weights.h5")


def restained(images, seed=0):
    """Return the images, and `COPIES` of each with the stains of another, drawn at random.

    In a copy, the mean and standard deviation of each stain over the stained pixels are those of
    the other image (Reinhard et al., IEEE CG&A 21(5), 2001, here for optical densities of
    haematoxylin, eosin and a residual).
    """
    rng = np.random.default_rng(seed)
    styles = [_style(image) for image in images]
    copies = list(images)
    for _ in range(COPIES):
        for number, image in enumerate(images):
            other = (number + rng.integers(1, len(images))) % len(images)
            copies.append(_restain(image, styles[number], styles[other]))
    return copies


def _style(image):
    """Return the mean and standard deviation of each stain over the stained pixels."""
    density = optical_density(image)
    amounts = density[density.mean(2) > TISSUE] @ np.linalg.inv(STAINS)
    return amounts.mean(0), amounts.std(0)


def _restain(image, style, other):
    """Return an image with the other style in place of its own."""
    factor = other[1] / style[1]
    change = np.linalg.inv(STAINS) @ np.diag(factor) @ STAINS
    density = optical_density(image) @ change + (other[0] - factor * style[0]) @ STAINS
    return cv2.convertScaleAbs(np.minimum(np.exp(-density), 1), alpha=256, beta=-1)


def main():
    """Train each way for each unseen set and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unseen", nargs="+", default=["val", "kidney", "stomach"])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    for name in options.unseen:
        seen, unseen = _split(name, parser)
        steps = len(seen) * len(patches.corners(seen[0].image.shape)) // BATCH_SIZE
        for way in options.ways:
            images = [sample.image for sample in seen]
            masks = [sample.mask for sample in seen]
            if way == "stains":
                images, masks = restained(images), masks * (1 + COPIES)
            folder = ROOT / "checkpoints" / "experiments" / f"without_{name}_{way}_{options.seed}"
            settings = WAYS[way], options.precision, options.seed
            model = train(images, masks, options.epochs, folder, *settings, steps=steps)
            for change in (None, *ALTERATIONS):
                samples = altered(unseen, change) if change else unseen
                mean = evaluation.evaluate(model, samples, whole_only=True)["mean"]
                scores = ", ".join(
                    f"{key} {mean[key]['mean']:.4f}" for key in ("dice", "aji", "pq")
                )
                print(f"{name}, {way}, {change or 'as they are'}: {scores}", flush=True)


def _split(name, parser):
    """Return the images to train on and those to score."""
    if name == "val":
        return monuseg.load("train"), monuseg.load("val")
    samples = monuseg.load("trainval")
    unseen = [sample for sample in samples if sample.organ == name]
    if not unseen:
        organs = ", ".join(sorted({sample.organ for sample in samples}))
        parser.error(f"No training image shows {name!r}: choose val, or from {organs}.")
    return [sample for sample in samples if sample.organ != name], unseen


if __name__ == "__main__":
    main()
