"""Compare what a network can learn in order to tell touching nuclei apart.

    python experiments/representations.py [--ways WAY ...] [--epochs 2] [--seed 0]

Each way of `WAYS` adds its own channels to the mask. All begin with the weights of `unet`, whose
mask they keep, and train for as many steps on the same patches of the 24 training patients. The
settings that separate nuclei are those with the best mean of AJI and PQ on the 6 validation images,
out of as many for each way.
"""

import argparse
import time
from itertools import product

import cv2
import numpy as np
from scipy import ndimage
from skimage.segmentation import find_boundaries, relabel_sequential
from tqdm import tqdm

from nuclei import modelzoo
from nuclei.commands.predict import whole
from nuclei.data import monuseg
from nuclei.data.batches import AugmentedBatches
from nuclei.data.targets import relative_distance
from nuclei.errors import run_script
from nuclei.networks import unet
from nuclei.prediction import instances, windows
from nuclei.scores.objects import object_scores
from nuclei.scores.pixels import confusion
from nuclei.training import accelerate, adamw, bce_dice_loss, devices, mask_distance_loss

START, WIDTH, BATCH_SIZE, LEARNING_RATE = "unet", 16, 8, 1e-3


def nothing(labels):
    """No channel beyond the mask."""
    return np.zeros((*labels.shape, 0), np.float32)


def boundary(labels):
    """1 on the outer two pixels of each nucleus, as the class of a border."""
    edge = find_boundaries(labels, mode="inner").astype(np.uint8)
    return (cv2.dilate(edge, instances.CROSS) > 0) & (labels > 0)


def offsets(labels):
    """Where a pixel lies in its nucleus, from left (0) to right (1) and from top to bottom.

    The centre of the nucleus and the background are 0.5: Graham et al., "HoVer-Net", Medical Image
    Analysis 58, 2019, where they are 0 and the ends -1 and 1.
    """
    numbers = np.arange(1, labels.max(initial=0) + 1)
    if not len(numbers):
        return np.full((*labels.shape, 2), 0.5, np.float32)
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, numbers))
    maps = []
    for axis in (1, 0):
        centre = np.concatenate([[0], centres[:, axis]])
        away = np.indices(labels.shape)[axis] - centre[labels]
        lowest = np.concatenate([[0], ndimage.minimum(away, labels, numbers)])[labels]
        highest = np.concatenate([[0], ndimage.maximum(away, labels, numbers)])[labels]
        reach = np.maximum(np.where(away < 0, -lowest, highest), 1)
        maps.append(np.where(labels > 0, 0.5 + 0.5 * away / reach, 0.5))
    return np.stack(maps, axis=-1)


def by_height(height):
    """Separate by the watershed of the project, on a height that is low between nuclei."""

    def separate(maps, smoothing, depth):
        peaks = np.dstack([maps[..., 0], height(maps)]).astype(np.float32)
        return instances.separate(peaks, smoothing=smoothing, depth=depth, min_score=0)[0]

    return separate


def steepness(maps):
    """Low where an offset falls from 1 to 0, as it does from one nucleus to the next."""
    across = cv2.Sobel(np.ascontiguousarray(maps[..., 1]), cv2.CV_32F, 1, 0, ksize=5, scale=1 / 48)
    down = cv2.Sobel(np.ascontiguousarray(maps[..., 2]), cv2.CV_32F, 0, 1, ksize=5, scale=1 / 48)
    return 1 - np.clip(-np.minimum(across, down), 0, 1)


def by_mask(maps, smoothing, depth):
    """Separate by the distance to the background."""
    return instances.separate(maps[..., 0], smoothing=smoothing, depth=depth, min_score=0)[0]


SMOOTHINGS, DEPTHS = (0.5, 1.0, 2.0), (0.05, 0.1, 0.2, 0.3)
WAYS = {
    "mask": (nothing, by_mask, SMOOTHINGS, (0.5, 1.0, 1.5, 2.0)),
    "distance": (relative_distance, by_height(lambda maps: maps[..., 1]), SMOOTHINGS, DEPTHS),
    "boundary": (boundary, by_height(lambda maps: 1 - maps[..., 1]), SMOOTHINGS, DEPTHS),
    "offsets": (offsets, by_height(steepness), SMOOTHINGS, DEPTHS),
}
"""For each way its channels, how it separates nuclei, and two settings of that to choose from."""


class Batches(AugmentedBatches):
    """Augmented patches whose targets are made after they were turned, as offsets need it."""

    def __init__(self, samples, channels, seed):
        images, labels = [s.image for s in samples], [s.labels for s in samples]
        super().__init__(images, labels, BATCH_SIZE, seed)
        self.channels = channels

    def __getitem__(self, index):
        """Images and targets of batch `index`."""
        images, labels = super().__getitem__(index)
        labels = [relabel_sequential(one.astype(np.int32))[0] for one in labels[..., 0]]
        return images, np.stack([np.dstack([one > 0, self.channels(one)]) for one in labels])


def train(way, samples, epochs, seed):
    """Train one way."""
    device = devices.prepare(seed)
    batches = Batches(samples, WAYS[way][0], seed)
    network = unet(WIDTH, channels=batches[0][1].shape[-1])
    modelzoo.start_from(network, START)
    steps = epochs * batches.steps_per_epoch
    loss = bce_dice_loss if network.output_shape[-1] == 1 else mask_distance_loss
    accelerate(network)
    network.compile(adamw(steps, LEARNING_RATE), loss, jit_compile=device["jit_compile"])
    network.fit(batches, steps_per_epoch=steps, shuffle=False)
    return network


def scores(predicted, samples, separate, settings):
    """Mean AJI and PQ."""
    found = [
        object_scores(separate(maps, *settings), sample.labels)
        for maps, sample in zip(predicted, samples, strict=True)
    ]
    return np.mean([(one.aji, one.pq) for one in found], axis=0)


def main():
    """Train and score each way, and print a row for it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="default: all")
    parser.add_argument("--epochs", type=whole, default=2, help="of 108 batches of 8 patches")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    samples, val = monuseg.load("train"), monuseg.load("val")
    print(f"{'way':10}{'minutes':>9}{'Dice':>8}{'AJI':>8}{'PQ':>8}  settings")
    for way in options.ways:
        started = time.perf_counter()
        network = train(way, samples, options.epochs, options.seed)
        minutes = (time.perf_counter() - started) / 60
        predicted = [windows.predict_maps(network, sample.image) for sample in val]
        dice = np.mean(
            [
                confusion(maps[..., 0] >= 0.5, sample.mask).scores().dice
                for maps, sample in zip(predicted, val, strict=True)
            ]
        )
        _, separate, *choices = WAYS[way]
        found = {
            settings: scores(predicted, val, separate, settings)
            for settings in tqdm([*product(*choices)], desc=way, unit="setting", leave=False)
        }
        best = max(found, key=lambda settings: found[settings].sum())
        aji, pq = found[best]
        print(f"{way:10}{minutes:9.1f}{dice:8.4f}{aji:8.4f}{pq:8.4f}  {best}", flush=True)


if __name__ == "__main__":
    run_script(main)
