"""Which augmentation helps on tissue that was never seen?

    python experiments/augmentations.py [--unseen val kidney stomach] [--epochs 6]
        [--ways default uncompressed strong swapped] [--seed 0] [--precision auto]

`val` trains on the 24 training images and scores the 6 of validation. An organ trains on the
training and validation images of all other organs, and scores those of the organ. For each way to
augment, a UNet of width 16 is trained from random weights, with the same seed and number of steps:

- default: the augmentation of the notebooks
- uncompressed: `STRONGER` without JPEG
- strong: `STRONGER`
- swapped: the same, and three quarters of the patches get the stains of another training image

Prints the mean scores of the whole unseen images, as they are and altered by `data.alterations`.
After an interruption, the same command continues after the last epoch.
"""

import argparse

from nuclei import ROOT, evaluation, modelzoo
from nuclei.commands.predict import whole
from nuclei.data import loading, monuseg
from nuclei.data.alterations import ALTERATIONS, altered
from nuclei.data.augmentation import STRONGER
from nuclei.data.batches import AugmentedBatches
from nuclei.errors import run_script
from nuclei.scores import KEY_SCORES
from nuclei.training import Checkpoint, Dice, accelerate, adamw, bce_dice_loss, devices

CONFIG = {"network": "unet", "arguments": {"width": 16}}
BATCH_SIZE = 8
WAYS = {
    "default": {},
    "uncompressed": STRONGER | {"jpeg": None},
    "strong": STRONGER,
    "swapped": STRONGER | {"swap": 0.75},
}


def train(samples, epochs, folder, augmentation, precision="auto", seed=0):
    """Train a UNet on whole images, or continue it; return it with averaged weights, in float32."""
    images, masks = [sample.image for sample in samples], [sample.mask for sample in samples]
    batches = AugmentedBatches(images, masks, BATCH_SIZE, seed, **augmentation)
    steps = batches.steps_per_epoch
    device = devices.prepare(seed, precision)
    network = accelerate(modelzoo.build(CONFIG, device["precision"]))
    network.compile(
        adamw(epochs * steps), bce_dice_loss, metrics=[Dice()], jit_compile=device["jit_compile"]
    )
    settings = {"data": loading.source(None), "epochs": epochs, "augmentation": augmentation}
    checkpoint = Checkpoint(folder, batches, steps, monitor=None, settings=settings)
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


def main():
    """Train each way for each unseen set and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unseen", nargs="+", default=["val", "kidney", "stomach"])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--epochs", type=whole, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    for name in options.unseen:
        seen, unseen = _split(name, parser)
        for way in options.ways:
            folder = ROOT / "checkpoints" / "experiments" / f"without_{name}_{way}_{options.seed}"
            settings = WAYS[way], options.precision, options.seed
            model = train(seen, options.epochs, folder, *settings)
            for change in (None, *ALTERATIONS):
                samples = altered(unseen, change) if change else unseen
                mean = evaluation.evaluate(model, samples, whole_only=True)["mean"]
                scores = ", ".join(f"{key} {mean[key]['mean']:.4f}" for key in KEY_SCORES)
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
    run_script(main)
