"""Compare training on augmented batches with training on one constant batch: at most 10% slower.

Also with training the same network in plain PyTorch on one constant batch, if that is installed.
"""

import importlib
import time
from importlib.util import find_spec

import keras
import numpy as np
import plain_pytorch

from nuclei import training
from nuclei.allocator import keep_freed_memory
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


def pytorch(images, masks):
    """Return a function that trains the UNet in plain PyTorch for some steps on one batch."""
    torch = importlib.import_module("torch")
    functional = torch.nn.functional
    network = plain_pytorch.unet(WIDTH).train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    x, y = (torch.from_numpy(np.float32(a)).permute(0, 3, 1, 2) for a in (images, masks))

    def train(steps):
        for _ in range(steps):
            logit = network(x)
            p = torch.sigmoid(logit)
            dice = (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)
            loss = functional.binary_cross_entropy_with_logits(logit, y) + 1 - dice
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return train


def main():
    """Time all alternately and print the median of their ratios."""
    device = devices.prepare(seed=0)
    samples = monuseg.load("train")[:3]
    images, masks = [s.image for s in samples], [s.mask for s in samples]
    batches = AugmentedBatches(images, masks, BATCH_SIZE, seed=0)
    network = unet(width=WIDTH)
    training.fuse_normalization(network)
    network.compile(
        training.adamw(1000),
        training.bce_dice_loss,
        metrics=[training.Dice()],
        jit_compile=device["jit_compile"],
    )

    def fit(stream):
        return lambda steps: network.fit(stream, steps_per_epoch=steps, verbose=0, shuffle=False)

    batch = batches[0]
    ways = {"augmented batches": fit(batches), "one constant batch": fit(ConstantBatch(batch))}
    if find_spec("torch"):
        ways["plain PyTorch, one constant batch"] = pytorch(*batch)
    seconds = {name: [] for name in ways}
    for repeat in range(REPEATS + 1):
        if repeat == 1:
            keep_freed_memory()  # as `Checkpoint` does once TensorFlow has set the allocator
        for name, train in ways.items():
            start = time.perf_counter()
            train(STEPS)
            if repeat:  # the first round compiles
                seconds[name].append((time.perf_counter() - start) / STEPS)
    for name, times in seconds.items():
        step = np.median(times)
        print(f"  {name}: {1000 * step:.0f} ms per step, {BATCH_SIZE / step:.1f} patches/s")
    # Compare within each round, so that a machine that is busy for a while has little effect.
    augmented, constant, *others = seconds.values()
    ratio = np.median(np.divide(augmented, constant))
    print(f"  overhead: {100 * (ratio - 1):+.0f}%  (at most +10%)")
    for plain in others:
        print(f"  {np.median(np.divide(plain, constant)):.2f} times as fast as plain PyTorch")


if __name__ == "__main__":
    main()
