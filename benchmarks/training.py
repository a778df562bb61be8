"""Compare training on augmented batches with training on one constant batch: at most 10% slower."""

import time

import keras
import numpy as np

from nuclei import training
from nuclei.data import monuseg
from nuclei.data.augmentation import AugmentedBatches
from nuclei.networks import unet
from nuclei.training import devices

WIDTH, BATCH_SIZE, STEPS, REPEATS = 16, 8, 10, 3


class ConstantBatch(keras.utils.PyDataset):
    """An endless stream of the same batch, with the same settings as `AugmentedBatches`."""

    def __init__(self, batch):
        super().__init__(workers=2, max_queue_size=8)  # as AugmentedBatches
        self.batch = batch

    @property
    def num_batches(self):
        """None, because the stream is endless."""

    def __getitem__(self, index):
        """Return the batch."""
        return self.batch


def main():
    """Time both alternately and print the median of their ratios."""
    device = devices.prepare(seed=0)
    samples = monuseg.load("train")[:3]
    images, masks = [s.image for s in samples], [s.mask for s in samples]
    batches = AugmentedBatches(images, masks, BATCH_SIZE, seed=0)
    network = unet(width=WIDTH)
    network.compile(
        training.adamw(1000),
        training.bce_dice_loss,
        metrics=[training.Dice()],
        jit_compile=device["jit_compile"],
    )

    streams = {"augmented batches": batches, "one constant batch": ConstantBatch(batches[0])}
    seconds = {name: [] for name in streams}
    for repeat in range(REPEATS + 1):
        for name, stream in streams.items():
            start = time.perf_counter()
            network.fit(stream, steps_per_epoch=STEPS, verbose=0, shuffle=False)
            if repeat:  # the first round compiles
                seconds[name].append((time.perf_counter() - start) / STEPS)
    for name, times in seconds.items():
        step = np.median(times)
        print(f"  {name}: {1000 * step:.0f} ms per step, {BATCH_SIZE / step:.1f} patches/s")
    # Compare within each round, so that a machine that is busy for a while has little effect.
    ratio = np.median(np.divide(*seconds.values()))
    print(f"  overhead: {100 * (ratio - 1):+.0f}%  (at most +10%)")


if __name__ == "__main__":
    main()
