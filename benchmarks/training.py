"""What augmented batches cost over training on one batch that never changes: at most 10%."""

import time

import keras
import numpy as np

from nuclei import dataset, devices, training
from nuclei.augment import AugmentedBatches
from nuclei.networks import unet

WIDTH, BATCH_SIZE, STEPS, REPEATS = 16, 8, 10, 3


class ConstantBatch(keras.utils.PyDataset):
    """The same batch for ever, through the same machinery."""

    def __init__(self, batch):
        super().__init__(workers=2, max_queue_size=8)  # as AugmentedBatches
        self.batch = batch

    @property
    def num_batches(self):
        """Endless."""

    def __getitem__(self, index):
        """The batch."""
        return self.batch


def main():
    """Time both in turn and print the ratio of their medians."""
    device = devices.prepare(seed=0)
    samples = dataset.load("Fitting")[:3]
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
        print(f"  {name}: {1000 * step:.0f} ms a step, {BATCH_SIZE / step:.1f} patches/s")
    # Of each round by itself, so that a machine that is busy for a while does not count.
    ratio = np.median(np.divide(*seconds.values()))
    print(f"  overhead: {100 * (ratio - 1):+.0f}%  (at most +10%)")


if __name__ == "__main__":
    main()
