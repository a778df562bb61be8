"""Compare training on augmented batches with training on one constant batch: at most 10% slower.

    python benchmarks/training.py [--model unet] [--precision float32] [--steps 10] [--repeats 3]

Also without `training.accelerate` and, for `unet`, with training in plain PyTorch in float32, if
that is installed. Uninstall its Triton, which crashes when it is loaded beside TensorFlow. A CPU
does not need it.
"""

import argparse
import importlib
import time
from importlib.util import find_spec

import keras
import numpy as np
import plain_pytorch

from nuclei import modelzoo, training
from nuclei.allocator import keep_freed_memory
from nuclei.commands.predict import whole
from nuclei.data import monuseg
from nuclei.data.batches import AugmentedBatches
from nuclei.data.targets import training_targets
from nuclei.errors import run_script
from nuclei.training import devices

BATCH_SIZE = 8


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


def pytorch(images, masks, width, depth):
    """Return a function that trains the UNet in plain PyTorch for some steps on one batch."""
    torch = importlib.import_module("torch")
    functional = torch.nn.functional
    network = plain_pytorch.unet(width, depth).train()
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


def compiled(config, device, fast):
    """Build and compile the network of a `config.json`."""
    network = modelzoo.build(config, device["precision"])
    if fast:
        training.accelerate(network)
    distance = network.output_shape[-1] > 1
    network.compile(
        training.adamw(1000),
        training.mask_distance_loss if distance else training.bce_dice_loss,
        metrics=[training.Dice()],
        jit_compile=device["jit_compile"],
    )
    return network


def main():
    """Time all alternately and print the median of their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="unet", help="default: %(default)s")
    parser.add_argument("--precision", default="float32", help="default: %(default)s")
    parser.add_argument("--steps", type=whole, default=10, help="default: %(default)s")
    parser.add_argument("--repeats", type=whole, default=3, help="default: %(default)s")
    options = parser.parse_args()
    device = devices.prepare(seed=0, precision=options.precision)
    config = modelzoo.read_config(modelzoo.find(options.model))
    samples = monuseg.load("train")[:3]
    network, plain = (compiled(config, device, fast) for fast in (True, False))
    truth = training_targets(
        [s.mask for s in samples], [s.labels for s in samples], network.output_shape[-1] > 1
    )
    batches = AugmentedBatches([s.image for s in samples], truth, BATCH_SIZE, seed=0)

    def fit(network, stream):
        return lambda steps: network.fit(stream, steps_per_epoch=steps, verbose=0, shuffle=False)

    batch = batches[0]
    ways = {
        "one constant batch": fit(network, ConstantBatch(batch)),
        "augmented batches": fit(network, batches),
        "one constant batch, not accelerated": fit(plain, ConstantBatch(batch)),
    }
    if options.model == "unet" and find_spec("torch"):
        sizes = {key: config["arguments"][key] for key in ("width", "depth")}
        ways["one constant batch, plain PyTorch in float32"] = pytorch(*batch, **sizes)
    seconds = {name: [] for name in ways}
    for repeat in range(options.repeats + 1):
        if repeat == 1:
            keep_freed_memory()  # as `Checkpoint` does once TensorFlow has set the allocator
        for name, train in ways.items():
            start = time.perf_counter()
            train(options.steps)
            if repeat:  # the first round compiles
                seconds[name].append((time.perf_counter() - start) / options.steps)
    constant = seconds["one constant batch"]
    print(f"{options.model}, batches of {BATCH_SIZE}, median of {options.repeats}:")
    for name, times in seconds.items():
        step = np.median(times)
        # Ratios within each round, so that a machine that is busy for a while has little effect.
        ratio = np.median(np.divide(times, constant))
        print(f"  {name}: {BATCH_SIZE / step:.1f} patches/s, takes {ratio:.2f} times as long")


if __name__ == "__main__":
    run_script(main)
