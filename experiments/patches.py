"""Train a UNet on patch files or on patches cut anew from whole images: which is better?

    python experiments/patches.py [--epochs 8] [--seeds 2]

Both ways use the same number of patches, the same number of steps and the same augmentation. A
patch from a file shows the same tissue in each epoch, and its corners are mirrored when it is
turned. A patch that is cut anew is shifted by up to half a stride, and its corners show real tissue
when it is turned. Prints the Dice of the validation patches after each epoch. After an
interruption, the same command continues after the last epoch.
"""

import argparse

import numpy as np

from nuclei import ROOT
from nuclei.commands.predict import whole
from nuclei.data import loading, monuseg, patch_files
from nuclei.data.batches import AugmentedBatches
from nuclei.errors import run_script
from nuclei.networks import unet
from nuclei.training import Checkpoint, Dice, accelerate, adamw, bce_dice_loss, devices
from nuclei.training.history import read_history

WIDTH, BATCH_SIZE = 16, 8


def train(images, masks, val, steps, epochs, seed, folder):
    """Train a UNet and return the validation Dice of each epoch."""
    device = devices.prepare(seed)
    network = unet(width=WIDTH)
    accelerate(network)
    network.compile(
        adamw(epochs * steps), bce_dice_loss, metrics=[Dice()], jit_compile=device["jit_compile"]
    )
    batches = AugmentedBatches(images, masks, BATCH_SIZE, seed)
    settings = {"data": loading.source(None), "epochs": epochs}
    checkpoint = Checkpoint(folder, batches, steps, settings=settings)
    done = checkpoint.restore(network)
    network.fit(
        batches.starting(done * steps),
        steps_per_epoch=steps,
        epochs=epochs,
        initial_epoch=done,
        validation_data=(val.images, val.masks[..., None]),
        validation_batch_size=BATCH_SIZE,
        callbacks=[checkpoint],
        shuffle=False,
        verbose=2,
    )
    return [row["val_dice"] for row in read_history(folder)]


def main():
    """Train both ways with each seed and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=whole, default=8)
    parser.add_argument("--seeds", type=whole, default=2)
    options = parser.parse_args()
    samples, val = monuseg.load("train"), patch_files.cut_all(monuseg.load("val"))
    files = patch_files.cut_all(samples)  # the pixels that patch_generator.ipynb writes
    ways = {
        "images": ([sample.image for sample in samples], [sample.mask for sample in samples]),
        "files": (files.images, files.masks),
    }
    steps = len(files.images) // BATCH_SIZE
    runs = {way: [] for way in ways}
    for seed in range(options.seeds):
        for way, (images, masks) in ways.items():
            folder = ROOT / "checkpoints" / "experiments" / f"patches_{way}_{seed}"
            runs[way].append(train(images, masks, val, steps, options.epochs, seed, folder))
    print(f"{steps} steps of {BATCH_SIZE} patches per epoch; pooled Dice of validation patches:")
    print(f"{'patches':10}{'seed':>5}" + "".join(f"{e:>7}" for e in range(1, options.epochs + 1)))
    for way, of_seeds in runs.items():
        for seed, scores in enumerate(of_seeds):
            print(f"{way:10}{seed:>5}" + "".join(f"{score:7.3f}" for score in scores))
    means = {way: np.mean([scores[-1] for scores in of_seeds]) for way, of_seeds in runs.items()}
    print("mean at the end: " + ", ".join(f"{way} {mean:.4f}" for way, mean in means.items()))


if __name__ == "__main__":
    run_script(main)
