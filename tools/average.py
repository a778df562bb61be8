"""Mix a model with the weights its training began with: `make average MODEL=unet START=folder`.

A further training with stronger augmentation makes a model better on altered images, but it may
lose on images as they are. A mean of the weights before and after often has the best of both, for
nothing: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022, arXiv:2109.01903. The
share of each is chosen on the validation images.
"""

import argparse

import numpy as np

from nuclei import evaluation, modelfiles, modelzoo
from nuclei.data import monuseg
from nuclei.data.alterations import ALTERATIONS, altered
from nuclei.errors import InputError, run_script
from nuclei.training import Checkpoint, recompute_statistics
from nuclei.training.history import read_history
from refit import batches_of, check_record

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
        If a model or MoNuSeg was not found, the training was not on MoNuSeg, it began with another
        model than `start` or with other channels, or the weights were already averaged or
        refitted.
    """
    monuseg.require()
    place = modelfiles.find(name)
    config, metrics = modelzoo.read_config(place), modelzoo.read_metrics(place)
    if {"averaged", "refit"} & metrics.keys():
        raise InputError(f"{place.name} was already averaged or refitted: restore it first.")
    check_record(place, metrics, config, start)
    network, begun = modelzoo.load(place), modelzoo.load(start)
    before, after = begun.get_weights(), network.get_weights()
    if [old.shape for old in before] != [new.shape for new in after]:
        raise InputError(f"{start} has another number of channels: no mean can be taken.")
    val = monuseg.load("val")
    sets = [val, *(altered(val, way) for way in ALTERATIONS)]
    batches = batches_of(monuseg.load("train"), config, metrics)
    best = -1.0, None, None
    for share in SHARES:
        network.set_weights(
            [(1 - share) * old + share * new for old, new in zip(before, after, strict=True)]
        )
        if 0 < share < 1:
            recompute_statistics(network, batches, Checkpoint.CALIBRATION)
        network.set_weights(modelzoo.as_saved(network, config).get_weights())
        plain, *others = (_scores(network, samples) for samples in sets)
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


def _scores(network, samples):
    """Mean Dice and mean AJI."""
    mean = evaluation.evaluate(network, samples, whole_only=True)["mean"]
    return mean["dice"]["mean"], mean["aji"]["mean"]


def main():
    """Average the model that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a model that its notebook has trained on MoNuSeg")
    parser.add_argument("start", help="folder of the model that this training began with")
    options = parser.parse_args()
    average(options.model, options.start)


if __name__ == "__main__":
    run_script(main)
