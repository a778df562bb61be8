"""Does stronger augmentation help on an organ that was never seen? Leave one organ out, and see.

    python experiments/organs.py [--organs kidney stomach] [--epochs 8] [--precision auto]

For each organ a UNet of width 16 is trained from random weights on the training and validation
images of all others, once with the augmentation of the notebooks and once with `STRONGER`, with the
same seed and steps. Prints the mean scores of the whole images of that organ. After an
interruption, the same command continues after the last epoch.
"""

import argparse

from nuclei import ROOT, evaluation, modelzoo
from nuclei.data import monuseg
from nuclei.data.augmentation import STRONGER, AugmentedBatches
from nuclei.training import Checkpoint, Dice, accelerate, adamw, bce_dice_loss, devices

CONFIG = {"network": "unet", "arguments": {"width": 16}}
BATCH_SIZE = 8
WAYS = {"default": {}, "stronger": STRONGER}


def train(samples, epochs, folder, augmentation, precision="auto", seed=0):
    """Train a UNet on whole images, or continue it; return it with averaged weights, in float32."""
    images, masks = [sample.image for sample in samples], [sample.mask for sample in samples]

    def batches_of(first):
        return AugmentedBatches(images, masks, BATCH_SIZE, seed, first, **augmentation)

    steps = batches_of(0).steps_per_epoch
    device = devices.prepare(seed, precision)
    network = accelerate(modelzoo.build(CONFIG, device["precision"]))
    network.compile(
        adamw(epochs * steps), bce_dice_loss, metrics=[Dice()], jit_compile=device["jit_compile"]
    )
    checkpoint = Checkpoint(folder, batches_of(0), steps, monitor=None)
    done = checkpoint.restore(network)
    network.fit(
        batches_of(done * steps),
        steps_per_epoch=steps,
        epochs=epochs,
        initial_epoch=done,
        callbacks=[checkpoint],
        shuffle=False,
        verbose=2,
    )
    return modelzoo.trained(CONFIG, folder / "best.weights.h5")


def main():
    """Train both ways for each organ and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--organs", nargs="+", default=["kidney", "stomach"])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    samples = monuseg.load("trainval")
    for organ in options.organs:
        unseen = [sample for sample in samples if sample.organ == organ]
        if not unseen:
            organs = ", ".join(sorted({sample.organ for sample in samples}))
            parser.error(f"No training image shows {organ!r}: choose from {organs}.")
        others = [sample for sample in samples if sample.organ != organ]
        for way, augmentation in WAYS.items():
            folder = ROOT / "checkpoints" / "experiments" / f"without_{organ}_{way}"
            model = train(others, options.epochs, folder, augmentation, options.precision)
            mean = evaluation.evaluate(model, unseen, whole_only=True)["mean"]
            scores = ", ".join(f"{key} {mean[key]['mean']:.3f}" for key in ("dice", "aji", "pq"))
            print(f"{organ}, {len(unseen)} images, {way} augmentation: {scores}", flush=True)


if __name__ == "__main__":
    main()
