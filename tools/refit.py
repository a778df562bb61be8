"""Train a model once more, now also on the validation images: `make refit MODEL=unet_instances`.

All choices were made while the 6 validation images were held out. The same training on all 30
images, with as many epochs, then gives the weights. Nothing is left to choose an epoch by, so the
last one is kept. The validation scores on the card remain those of the first training.
"""

import argparse
import shutil

from nuclei import ROOT, evaluation, model_card, modelfiles, modelzoo, outputs, training
from nuclei.data import monuseg, patches, seen
from nuclei.data.batches import AugmentedBatches
from nuclei.data.targets import training_targets
from nuclei.errors import InputError, run_script
from nuclei.training import devices
from nuclei.training.history import read_history
from nuclei.training.record import provenance


def refit(name, start=None, precision="auto", folder=None):
    """Replace the weights of a model by those of the same training on all 30 images.

    After an interruption, the same call continues after the last complete epoch.

    Parameters
    ----------
    name : str or Path
        As for `modelfiles.find`. The settings are those in its `metrics.json`.
    start : str or Path, optional
        The model whose weights the training began with, if it began with a model.
    precision : str
        As for `devices.prepare`: the one thing that depends on the machine.
    folder : Path, optional
        Folder for the state of the training; by default in `checkpoints/`.

    Raises
    ------
    InputError
        If the model or MoNuSeg was not found, the settings are not known, the model was already
        trained on all images, or its training began with other weights than `start`.
    """
    monuseg.require()
    place = modelfiles.find(name)
    config, metrics = modelzoo.read_config(place), modelzoo.read_metrics(place)
    _check(place, metrics, config, start)
    samples = monuseg.load("trainval")
    folder = folder or ROOT / "checkpoints" / f"{place.name}_refit"
    device = devices.prepare(metrics["seed"], precision)
    network = modelzoo.build(config, device["precision"])
    if start:
        modelzoo.start_from(network, start, {"test": monuseg.load("test")})
    batches = batches_of(samples, config, metrics)
    steps, epochs = batches.steps_per_epoch, metrics["epochs"]
    training.accelerate(network)
    network.compile(
        training.adamw(epochs * steps, metrics["learning_rate"]),
        training.mask_distance_loss if _has_distance(config) else training.bce_dice_loss,
        metrics=[training.Dice(), training.Accuracy()],
        jit_compile=device["jit_compile"],
    )
    checkpoint = training.Checkpoint(folder, batches, steps, monitor=None)
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
    model = modelzoo.trained(config, folder / "best.weights.h5")
    metrics["refit"] = {
        **provenance(),
        "steps_per_epoch": steps,
        "hardware": device,
        "minutes": round(sum(row["seconds"] for row in checkpoint.history) / 60, 1),
    }
    # Those on the test images are of the other weights, until `make measure`.
    measured = metrics.get("engines", {})
    metrics["engines"] = {engine: {"val": scores["val"]} for engine, scores in measured.items()}
    metrics["train_patients"] = [sample.patient for sample in samples]
    metrics["train_pixels"] = [seen.digest(sample.image) for sample in samples]
    metrics["test"] = evaluation.evaluate(model, monuseg.load("test"))
    modelzoo.save(place, model, config, read_history(place), metrics)
    shutil.rmtree(folder)


def _check(place, metrics, config, start):
    """Raise an InputError if this training cannot be repeated."""
    if "refit" in metrics:
        raise InputError(f"{place.name} was already trained on all images: restore it first.")
    if "averaged" in metrics:
        raise InputError(f"{place.name} was averaged after its training: restore it first.")
    check_record(place, metrics, config, start)


def check_record(place, metrics, config, start):
    """Raise an InputError if a model was not trained on MoNuSeg, beginning with `start`.

    Parameters
    ----------
    place : Path
        The folder of the model.
    metrics, config : dict
        Its settings.
    start : str, Path or None
        As for `modelzoo.load`.
    """
    if metrics["data"] != outputs.MONUSEG or "augmentation" not in metrics:
        raise InputError(
            f"The record of {place.name} does not tell how it was trained on MoNuSeg: train it "
            "with its notebook first."
        )
    if metrics.get("patches", "images") != "images":
        raise InputError(
            f"{place.name} was trained on patch files, and only a training on whole images can be "
            'repeated: train it with its notebook and PATCHES = "images" first.'
        )
    begun = outputs.origin(start, config)
    if any(begun.get(key) != metrics.get(key) for key in ("start", "start_commit")):
        raise InputError(
            f"{place.name} began with {model_card.start(metrics)}, not with "
            f"{model_card.start(begun)}: name the folder of the model that it began with, as in "
            "START=models/unet. Weights of an encoder alone cannot be given."
        )


def batches_of(samples, config, metrics):
    """The batches that a model was trained on, as its notebook made them from whole images.

    Parameters
    ----------
    samples : sequence of Sample
        Training images.
    config, metrics : dict
        The settings of the model.

    Returns
    -------
    AugmentedBatches
    """
    images, masks, labels = zip(*((s.image, s.mask, s.labels) for s in samples), strict=True)
    return AugmentedBatches(
        images,
        training_targets(masks, labels, _has_distance(config)),
        metrics["batch_size"],
        metrics["seed"],
        metrics.get("patch_size", patches.SIZE),  # unknown in old ones
        metrics.get("stride", patches.STRIDE),
        **metrics["augmentation"],
    )


def _has_distance(config):
    return config["arguments"].get("channels", 1) == 2


def main():
    """Refit the model that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a model that its notebook has trained on MoNuSeg")
    parser.add_argument("--start", help="the model that this training began with")
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "mixed_bfloat16", "mixed_float16"),
        default="auto",
        help="as in the notebooks (default: %(default)s)",
    )
    options = parser.parse_args()
    refit(options.model, options.start, options.precision)


if __name__ == "__main__":
    run_script(main)
