"""A training of a few seconds, as in the notebooks: `python -m torture_training FOLDER`."""

import sys
from pathlib import Path

import numpy as np
from dark_patches import SIZES, dark_patches

from nuclei import training
from nuclei.data.batches import AugmentedBatches
from nuclei.errors import run_script
from nuclei.networks import unet
from nuclei.training import devices

STEPS, EPOCHS, SEED = 3, 4, 0


def train(folder):
    images, masks = dark_patches(12)
    batches = AugmentedBatches(images, masks, 4, SEED, **SIZES)
    devices.prepare(SEED, "float32")
    network = unet(2, 1)
    network.compile(
        training.adamw(STEPS * EPOCHS, 1e-2), training.bce_dice_loss, metrics=[training.Dice()],
        jit_compile=False,
    )  # fmt: skip
    checkpoint = training.Checkpoint(folder, batches, STEPS)
    checkpoint.CALIBRATION = 2
    done = checkpoint.restore(network)
    network.fit(
        batches.starting(done * STEPS),
        steps_per_epoch=STEPS,
        epochs=EPOCHS,
        initial_epoch=done,
        validation_data=(images, masks[..., None].astype(np.float32)),
        validation_batch_size=6,
        callbacks=[checkpoint],
        shuffle=False,
        verbose=0,
    )


def main():
    """Train into the folder that the command line names."""
    train(Path(sys.argv[1]))


if __name__ == "__main__":
    run_script(main)
