"""Compare what a network may learn to tell touching nuclei apart, on the 6 validation images.

    python experiments/representations.py [--steps 100] [--seeds 2] [WAY ...]

Each of `WAYS` gives the UNet other output channels. It begins with the weights of `models/unet`,
which learnt the mask alone, and is trained on the same batches as all others. Then all combinations
of the parameters that separate nuclei are tried, as many for each way. Prints the combination with
the best mean of AJI and PQ. "stardist" needs `pip install stardist`. Trained weights are kept in
checkpoints/representations, where a run that is repeated finds them.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import cv2
import keras
import numpy as np
from keras import ops
from scipy import ndimage
from tqdm import tqdm

from nuclei import ROOT, modelzoo
from nuclei.data import monuseg
from nuclei.data.augmentation import STRONGER, AugmentedBatches
from nuclei.data.targets import targets
from nuclei.networks import unet
from nuclei.prediction import instances, windows
from nuclei.scores.objects import object_scores
from nuclei.training import adamw, bce_dice_loss, devices, mask_distance_loss

BATCH_SIZE, LEARNING_RATE = 8, 1e-3
RAYS, LONGEST = 32, 64
"""Number of a nucleus's rays, and the length in pixels that is 1 for the network."""

SMOOTHINGS = (0.5, 1.0, 2.0)
LEAST = (0.5, 0.6, 0.7)
"""Least mean probability of an object: one filter that suits all ways."""


@dataclass(frozen=True)
class Way:
    """What the network learns, and how nuclei are found in what it predicts.

    `describe` makes the channels of a patch from its labels, `find` makes labels from predicted
    channels and each of the `settings`.
    """

    channels: int
    describe: Callable
    loss: Callable
    find: Callable
    settings: tuple


def mask(labels):
    """The mask alone: the baseline."""
    return np.float32(labels > 0)[..., None]


def boundary(labels):
    """Mask, and the two pixels on both sides of each border (Chen et al., DCAN, CVPR 2016)."""
    kept = labels.astype(np.uint16)
    edges = cv2.dilate(kept, instances.CROSS) != cv2.erode(kept, instances.CROSS)
    return np.stack([labels > 0, edges], axis=-1).astype(np.float32)


def boundary_loss(truth, prediction):
    """The loss of a mask, for both channels."""
    return sum(bce_dice_loss(truth[..., i : i + 1], prediction[..., i : i + 1]) for i in (0, 1))


def offsets(labels):
    """Mask, and where each pixel lies from left to right and from top to bottom in its nucleus.

    0 at the left or upper end, 0.5 in the centre, 1 at the other end (Graham et al., HoVer-Net,
    Medical Image Analysis 58, 2019, there -1 to 1).
    """
    described = np.full((*labels.shape, 3), 0.5, np.float32)
    described[..., 0] = labels > 0
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is None:
            continue
        places = np.nonzero(labels[window] == number)
        for channel, along in ((1, places[1]), (2, places[0])):
            beside = along - along.mean()
            ends = np.where(beside < 0, max(-beside.min(), 1), max(beside.max(), 1))
            described[window][(*places, channel)] = (1 + beside / ends) / 2
    return described


def offsets_loss(truth, prediction):
    """Squared errors of the offsets and of their slopes within nuclei, as in HoVer-Net."""
    inside = truth[..., :1]
    share = ops.mean(inside, axis=(1, 2, 3)) + 1e-3
    difference = 2 * (prediction[..., 1:] - truth[..., 1:])
    errors = ops.mean(inside * ops.square(difference), axis=(1, 2, 3))
    side = np.arange(-2, 3, dtype=np.float32)
    slope = side / (side**2 + side[:, None] ** 2 + 1e-9)
    for channel, kernel in ((0, slope), (1, slope.T)):
        kernel = ops.convert_to_tensor(kernel[..., None, None], "float32")
        steep = ops.conv(difference[..., channel : channel + 1], kernel, padding="same")
        errors += ops.mean(inside * ops.square(steep), axis=(1, 2, 3))
    return bce_dice_loss(inside, prediction[..., :1]) + errors / share


def rays(labels):
    """Mask, relative distance, and how far it is to the border of the nucleus in each direction.

    Schmidt et al., Cell Detection with Star-Convex Polygons, MICCAI 2018.
    """
    from stardist.geometry import star_dist

    lengths = star_dist(labels.astype(np.int32), RAYS) / LONGEST
    return np.concatenate([targets(labels), np.minimum(lengths, 1)], axis=-1).astype(np.float32)


def rays_loss(truth, prediction):
    """The loss of mask and distance, and the error of the rays, as StarDist weighs it."""
    weight = truth[..., 1:2]
    errors = ops.mean(weight * ops.abs(prediction[..., 2:] - truth[..., 2:]), axis=(1, 2, 3))
    errors /= ops.mean(weight, axis=(1, 2, 3)) + 1e-3
    return mask_distance_loss(truth[..., :2], prediction[..., :2]) + 0.2 * LONGEST * errors


def watershed(maps, smoothing, depth):
    """Labels by the watershed of the package, on the second channel if there is one."""
    return instances.separate(maps, smoothing=smoothing, depth=depth, min_score=0)[0]


def within_boundaries(maps, smoothing, depth):
    """Watershed of one minus the boundary."""
    return watershed(np.stack([maps[..., 0], 1 - maps[..., 1]], axis=-1), smoothing, depth)


def along_offsets(maps, smoothing, depth):
    """Watershed of how steadily the offsets rise: they fall from one nucleus to the next."""
    slopes = [
        cv2.Sobel(maps[..., 1], cv2.CV_32F, 1, 0, ksize=21),
        cv2.Sobel(maps[..., 2], cv2.CV_32F, 0, 1, ksize=21),
    ]
    steady = np.min([cv2.normalize(one, None, 0, 1, cv2.NORM_MINMAX) for one in slopes], axis=0)
    return watershed(np.stack([maps[..., 0], steady], axis=-1), smoothing, depth)


def stars(maps, overlap, least):
    """Polygons of the rays, of which the more central one stays where two overlap."""
    from stardist.geometry import polygons_to_label
    from stardist.nms import non_maximum_suppression

    lengths = np.ascontiguousarray(maps[..., 2:]) * LONGEST
    centrality = np.ascontiguousarray(maps[..., 1])
    points, scores, lengths = non_maximum_suppression(
        lengths, centrality, prob_thresh=least, nms_thresh=overlap
    )
    return polygons_to_label(lengths, points, maps.shape[:2], prob=scores)


def each(first, second):
    """All pairs of two parameters."""
    return tuple(product(first, second))


LOW = (0.05, 0.1, 0.2, 0.3, 0.4)
WAYS = {
    "mask": Way(1, mask, bce_dice_loss, watershed, each(SMOOTHINGS, (0.5, 0.75, 1, 1.5, 2))),
    "distance": Way(2, targets, mask_distance_loss, watershed, each(SMOOTHINGS, LOW)),
    "boundary": Way(2, boundary, boundary_loss, within_boundaries, each(SMOOTHINGS, LOW)),
    "hover": Way(3, offsets, offsets_loss, along_offsets, each(SMOOTHINGS, LOW)),
    "stardist": Way(
        2 + RAYS, rays, rays_loss, stars, each((0.3, 0.4, 0.5), (0.3, 0.4, 0.5, 0.6, 0.7))
    ),
}


class DescribedBatches(AugmentedBatches):
    """Augmented patches, described after they were turned, because offsets turn with them."""

    def __init__(self, images, labels, describe, seed):
        super().__init__(images, labels, BATCH_SIZE, seed, **STRONGER)
        self.describe = describe

    def __getitem__(self, index):
        """Draw a batch and describe its labels."""
        images, labels = super().__getitem__(index)
        return images, np.stack([self.describe(one[..., 0].astype(np.int32)) for one in labels])


def trained(name, seed, steps, samples):
    """Train a network, or load it if that was done before."""
    way, device = WAYS[name], devices.prepare(seed)
    network = unet(16, channels=way.channels)
    path = ROOT / "checkpoints" / "representations" / f"{name}_{seed}_{steps}.weights.h5"
    if path.exists():
        network.load_weights(path)
        return network
    modelzoo.start_from(network, "unet")
    images, labels = zip(
        *((one.image, one.labels.astype(np.int16)) for one in samples), strict=True
    )
    network.compile(adamw(steps, LEARNING_RATE), way.loss, jit_compile=device["jit_compile"])
    network.fit(
        DescribedBatches(images, labels, way.describe, seed),
        steps_per_epoch=steps,
        shuffle=False,
        verbose=2,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    network.save_weights(path)
    return network


def scores(network, way, samples):
    """AJI, shared AJI and PQ for each setting: the mean of the images."""
    found = np.zeros((len(way.settings), len(LEAST), 3))
    for sample in tqdm(samples, unit="image", leave=False):
        maps = windows.predict_maps(network, sample.image)
        for i, setting in enumerate(way.settings):
            labels = way.find(maps, *setting)
            means = ndimage.mean(maps[..., 0], labels, np.arange(labels.max() + 1))
            for j, least in enumerate(LEAST):
                nuclei = object_scores(np.where((means >= least)[labels], labels, 0), sample.labels)
                found[i, j] += (nuclei.aji, nuclei.aji_shared, nuclei.pq)
    return found / len(samples)


def main():
    """Print a row for each way and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ways", nargs="*", metavar="WAY")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    train, val = monuseg.load("train"), monuseg.load("val")
    rows = []
    for name in options.ways or WAYS:
        way, found = WAYS[name], []
        for seed in range(options.seeds):
            found.append(scores(trained(name, seed, options.steps, train), way, val))
            keras.backend.clear_session()
        together = np.mean(found, axis=0)
        best = np.unravel_index(np.argmax(together[..., 0] + together[..., 2]), together.shape[:2])
        setting = (*way.settings[best[0]], LEAST[best[1]])
        for seed, one in enumerate(found):
            rows.append((name, seed, setting, one[best]))
    print(f"{'way':10}{'seed':>5}{'parameters':>22}{'AJI':>9}{'shared':>9}{'PQ':>9}")
    for name, seed, setting, row in rows:
        values = "".join(f"{value:9.4f}" for value in row)
        print(f"{name:10}{seed:5}{str(setting):>22}{values}")


if __name__ == "__main__":
    main()
