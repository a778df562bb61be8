"""Mix a model with the weights its training began with: `make average MODEL=unet START=folder`.

A further training with stronger augmentation makes a model better on altered images, but it may
lose on images as they are. A mean of the weights before and after often has the best of both, for
nothing: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022, arXiv:2109.01903. The
share of each is chosen on the validation images.
"""

import argparse
import sys

import numpy as np
from tqdm import tqdm

from nuclei import evaluation, modelfiles, modelzoo
from nuclei.data import monuseg
from nuclei.data.alterations import ALTERATIONS, altered
from nuclei.errors import InputError
from nuclei.prediction import instances, windows
from nuclei.scores import pixels
from nuclei.scores.objects import object_scores
from nuclei.training import Checkpoint, recompute_statistics
from nuclei.training.history import read_history
from refit import batches_of, check_start

SHARES = 0.0, 0.25, 0.5, 0.75, 1.0
"""Of the weights after the training; the others are those before."""


def average(name, start):
    """Replace the weights of a model by the best mean of them and those it began with.

    Images as they are count as much as all altered ones, and Dice as much as AJI. If the weights
    before or those after the training are best, nothing is changed.

    Parameters
    ----------
    name, start : str or Path
        The model, and the one that its training began with, as for `modelfiles.find`.

    Returns
    -------
    float
        The best share of the weights after the training.

    Raises
    ------
    InputError
        If a model or MoNuSeg was not found, `start` is another model than the training began with,
        or the weights were already averaged, or refitted.
    """
    place = modelfiles.find(name)
    config, metrics = modelzoo.read_config(place), modelzoo.read_metrics(place)
    if {"averaged", "refit"} & metrics.keys():
        raise InputError(f"{place.name} was already averaged or refitted: restore it first.")
    check_start(place, metrics, config, start)
    if "augmentation" not in metrics:
        raise InputError(
            f"The record of {place.name} does not tell its augmentation: train it anew."
        )
    val = monuseg.load("val")
    sets = {"as they are": val} | {way: altered(val, way) for way in ALTERATIONS}
    batches = batches_of(monuseg.load("train"), config, metrics)
    before, after = (modelzoo.load(one).get_weights() for one in (modelfiles.find(start), place))
    network = modelzoo.load(place)
    best = -1.0, None, None
    for share in SHARES:
        network.set_weights(
            [(1 - share) * old + share * new for old, new in zip(before, after, strict=True)]
        )
        if 0 < share < 1:
            recompute_statistics(network, batches, Checkpoint.CALIBRATION)
        plain, *others = (_scores(network, images, f"{share:g}") for images in sets.values())
        others = np.mean(others, axis=0)
        print(
            f"{share:4.0%} of the weights after the training: Dice {plain[0]:.4f}, AJI "
            f"{plain[1]:.4f}; altered images {others[0]:.4f}, {others[1]:.4f}"
        )
        score = np.mean([plain, others])
        if score > best[0]:
            best = score, share, network.get_weights()
    _, share, weights = best
    if share in (0, 1):
        print(f"Nothing is changed: the weights {'after' if share else 'before'} are best.")
        return share
    network.set_weights(weights)
    # Scores of the engines and of altered images are of the other weights, until `make measure`.
    for old in ("engines", "altered"):
        metrics.pop(old, None)
    metrics["averaged"] = share
    for split in ("val", "test"):
        metrics[split] = evaluation.evaluate(network, monuseg.load(split))
    modelzoo.save(place, network, config, read_history(place), metrics)
    return share


def _scores(network, samples, title):
    """Mean Dice and mean AJI of whole images, as in `evaluation.evaluate`."""
    found = []
    for sample in tqdm(samples, desc=title, unit="image", leave=False):
        maps = windows.predict_maps(network, sample.image)
        labels, _ = instances.separate(maps)
        dice = pixels.confusion(maps[..., 0] >= 0.5, sample.mask).scores().dice
        found.append((dice, object_scores(labels, sample.labels).aji))
    return np.mean(found, axis=0)


def main():
    """Average the model that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a model that its notebook has trained on MoNuSeg")
    parser.add_argument("start", help="folder of the model that this training began with")
    options = parser.parse_args()
    if monuseg.find() is None:
        raise InputError("MoNuSeg was not found: run `.venv/bin/python -m nuclei download` first.")
    average(options.model, options.start)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
