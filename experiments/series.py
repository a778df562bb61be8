"""Train the networks that docs/training.md compares, one run at a time.

    python experiments/series.py RUN [--encoder-weights FILE]

`RUNS` lists the runs. Each is trained on the 24 training patients and scored on the patches of the
6 validation patients after each epoch. After an interruption, the same command continues after the
last epoch; the state is in checkpoints/experiments/RUN.
"""

import argparse

import numpy as np

from nuclei import ROOT
from nuclei.data import monuseg, patch_files
from nuclei.data.augmentation import STRONGER, AugmentedBatches
from nuclei.data.targets import targets
from nuclei.networks import unet
from nuclei.training import (
    Accuracy,
    Checkpoint,
    Dice,
    accelerate,
    adamw,
    devices,
    mask_distance_loss,
)

BATCH_SIZE, WIDTH = 8, 16

RUNS = {
    "unet_plain": {"epochs": 25},
    "unet_strong": {"epochs": 25, **STRONGER},
    "lite0_strong": {
        "epochs": 12,
        "encoder": "efficientnet_lite0",
        "learning_rate": 1e-3,
        **STRONGER,
    },
    "lite0_plain": {"epochs": 25, "encoder": "efficientnet_lite0", "learning_rate": 1e-3},
}


def train(name, epochs, encoder=None, learning_rate=2e-3, seed=0, weights=None, **augmentation):
    """Train one run, or continue it, with a mask and a distance as targets."""
    samples, val = monuseg.load("train"), patch_files.cut_all(monuseg.load("val"))
    images = [sample.image for sample in samples]
    truth = [targets(sample.labels) for sample in samples]
    val_truth = np.stack([targets(labels) for labels in val.labels])
    device = devices.prepare(seed)
    folder = ROOT / "checkpoints" / "experiments" / name
    batches = AugmentedBatches(images, truth, BATCH_SIZE, seed, **augmentation)
    steps = batches.steps_per_epoch
    network = unet(WIDTH, channels=2, encoder=encoder, encoder_weights=weights)
    accelerate(network)
    network.compile(
        adamw(epochs * steps, learning_rate),
        mask_distance_loss,
        metrics=[Dice(), Accuracy()],
        jit_compile=device["jit_compile"],
    )
    checkpoint = Checkpoint(folder, batches, steps)
    done = checkpoint.restore(network)
    network.fit(
        AugmentedBatches(images, truth, BATCH_SIZE, seed, first=done * steps, **augmentation),
        steps_per_epoch=steps,
        epochs=epochs,
        initial_epoch=done,
        validation_data=(val.images, val_truth),
        validation_batch_size=BATCH_SIZE,
        callbacks=[checkpoint],
        shuffle=False,
        verbose=2,
    )


def main():
    """Train the run that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", choices=RUNS)
    parser.add_argument("--encoder-weights", help="ImageNet weights of the encoder, a file")
    options = parser.parse_args()
    train(options.run, weights=options.encoder_weights, **RUNS[options.run])


if __name__ == "__main__":
    main()
