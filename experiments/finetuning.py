"""Fine-tune the shipped UNet on a few images of another kind: all layers, or the decoder first?

    python experiments/finetuning.py [--epochs 4] [--seeds 2]

The other kind is synthetic tissue with another stain and nuclei 1.6 times as large: four images to
train on, four to validate on. "decoder first" trains half of the epochs with the encoder frozen.
Also tries a lower learning rate, and random weights. Prints the Dice of the validation images.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from nuclei import modelzoo
from nuclei.commands.predict import whole
from nuclei.data import synthetic
from nuclei.data.batches import AugmentedBatches
from nuclei.data.dataset import Sample, scale
from nuclei.errors import run_script
from nuclei.networks import unet
from nuclei.training import Checkpoint, Dice, accelerate, adamw, bce_dice_loss, devices

SIDE, BATCH_SIZE = 320, 4
CUT = {"size": 128, "stride": 96}
STAIN = [[0.55, 0.75, 1.2], [0.6, 0.45, 0.15], [0.02, 0.06, 0.08]]
"""Optical densities of a brown and a blue-green stain, and of a residual."""

WAYS = {
    "all layers": {},
    "decoder first": {"first": True},
    "all layers, 5e-4": {"rate": 5e-4},
    "decoder first, 5e-4": {"first": True, "rate": 5e-4},
    "random weights": {"start": None},
}


def tissue(seed):
    """Draw an image of the other kind."""
    image, labels = synthetic.tissue(seed, (SIDE * 5 // 8,) * 2, STAIN)
    return scale(Sample(str(seed), str(seed), "", image, labels > 0, labels), 1.6)


def train(train, val, epochs, seed, start="unet", first=False, rate=2e-3):
    """Train in one stage or two; return the Dice before and at the end."""
    device = devices.prepare(seed)
    network = unet(width=16)
    if start:
        modelzoo.start_from(network, start)
    images, masks = [one.image for one in train], [one.mask for one in train]
    truth = np.stack([one.image for one in val]), np.stack([one.mask for one in val])[..., None]
    half = epochs // 2 if first else 0
    scores = []
    for frozen, number in [(True, half), (False, epochs - half)] if half else [(False, epochs)]:
        for layer in network.layers:
            layer.trainable = not (frozen and layer.name.startswith(("encoder", "bottleneck")))
        batches = AugmentedBatches(images, masks, BATCH_SIZE, seed, **CUT)
        steps = batches.steps_per_epoch
        accelerate(network)
        network.compile(
            adamw(number * steps, rate),
            bce_dice_loss,
            metrics=[Dice()],
            jit_compile=device["jit_compile"],
        )
        if not scores:
            scores.append(
                network.evaluate(*truth, batch_size=1, verbose=0, return_dict=True)["dice"]
            )
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = Checkpoint(folder, batches, steps)
            checkpoint.restore(network)
            network.fit(
                batches,
                steps_per_epoch=steps,
                epochs=number,
                validation_data=truth,
                validation_batch_size=1,
                callbacks=[checkpoint],
                shuffle=False,
                verbose=0,
            )
            network.load_weights(Path(folder) / "best.weights.h5")
    return scores[0], checkpoint.best()["val_dice"]


def main():
    """Train each way with each seed and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=whole, default=4)
    parser.add_argument("--seeds", type=whole, default=2)
    options = parser.parse_args()
    samples = [tissue(seed) for seed in range(100, 108)]
    print(f"{'':22}{'before':>8}{'after, of each seed':>24}", flush=True)
    for way, settings in WAYS.items():
        runs = [
            train(samples[:4], samples[4:], options.epochs, seed, **settings)
            for seed in range(options.seeds)
        ]
        after = "".join(f"{score:8.3f}" for _, score in runs)
        print(f"{way:22}{runs[0][0]:8.3f}{after:>24}", flush=True)


if __name__ == "__main__":
    run_script(main)
