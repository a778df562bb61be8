"""What is done after a training: `make refit` repeats it on all images, `make average` mixes it."""

import json

import numpy as np
import pytest

import average
import measure
import refit
from nuclei import ROOT, model_card, modelzoo
from nuclei.data import monuseg, synthetic
from nuclei.data.dataset import Sample
from nuclei.errors import InputError
from nuclei.training.history import read_history

CONFIG = {"network": "unet", "arguments": {"width": 4, "depth": 2, "channels": 2}}
TOLD = {
    "epochs": 2,
    "steps_per_epoch": 24 * 36 // 4,
    "batch_size": 4,
    "learning_rate": 2e-2,
    "start": "random",
}


@pytest.fixture
def images(monkeypatch, tmp_path):
    """Samples instead of MoNuSeg: two to train on, one to validate on and one to test on."""
    tissue = [synthetic.tissue(seed=seed, shape=(260, 260)) for seed in range(4)]
    names = ("a", "b", "c", "d")
    one, two, val, test = (
        Sample(name, name, "synthetic", image, labels > 0, labels)
        for name, (image, labels) in zip(names, tissue, strict=True)
    )
    splits = {"train": [one, two], "val": [val], "trainval": [one, two, val], "test": [test]}
    monkeypatch.setattr(monuseg, "find", lambda: tmp_path)
    monkeypatch.setattr(monuseg, "load", lambda split: splits[split])
    return splits


@pytest.fixture
def model(tmp_path, images):
    """A model with the record of its training and of measurements."""
    folder = tmp_path / "models" / "small"
    metrics = modelzoo.read_metrics(ROOT / "models" / "unet_efficientnet_lite0_instances") | TOLD
    metrics |= {"train_patients": ["a", "b"], "val_patients": ["c"]}
    metrics = {key: metrics[key] for key in metrics if not key.startswith("start_")}
    history = [{"epoch": 1, "seconds": 1.0, "val_dice": 0.5}]
    modelzoo.save(folder, modelzoo.build(CONFIG), CONFIG, history, metrics)
    return folder


class StoppedError(Exception):
    """The power fails."""


def stop_after_the_first_epoch(monkeypatch):
    end = refit.training.Checkpoint.on_epoch_end

    def stop(self, epoch, logs=None):
        end(self, epoch, logs)
        if epoch == 0:
            raise StoppedError

    monkeypatch.setattr(refit.training.Checkpoint, "on_epoch_end", stop)


def test_all_images_are_trained_on_and_the_scores_of_validation_stay(
    model, images, tmp_path, monkeypatch, capsys
):
    before, untrained = modelzoo.read_metrics(model), modelzoo.load(model).get_weights()
    stop_after_the_first_epoch(monkeypatch)
    with pytest.raises(StoppedError):
        refit.refit(model, folder=tmp_path / "state")
    assert modelzoo.read_metrics(model) == before
    refit.refit(model, folder=tmp_path / "state")
    assert "Resuming after epoch 1" in capsys.readouterr().out
    after = modelzoo.read_metrics(model)
    assert after["train_patients"] == ["a", "b", "c"] and len(after["train_pixels"]) == 3
    for kept in ("val", "altered", "val_patients", "start", "commit"):
        assert after[kept] == before[kept], kept
    assert [image["name"] for image in after["test"]["images"]] == ["d"]
    # Seconds and scores of the engines on the test images were those of the other weights.
    assert {split for engine in after["engines"].values() for split in engine} == {"val"}
    # Four patches of each image.
    assert after["refit"]["steps_per_epoch"] == len(images["trainval"]) * 4 // 4
    assert len(read_history(model)) == 1 and not (tmp_path / "state").exists()
    changes = zip(untrained, modelzoo.load(model).get_weights(), strict=True)
    assert all(np.isfinite(new).all() and (new != old).any() for old, new in changes)
    # If all pixels were taken for nuclei, it would be 0.43.
    assert after["test"]["mean"]["dice"]["mean"] > 0.6
    card = model_card.card(model)
    assert "the same training on all 30 patients: 2 epochs of 3 batches" in " ".join(card.split())
    assert "MoNuSeg, 2 patients" in card

    measure.measure(model.parent)
    again = modelzoo.read_metrics(model)
    assert again["val"] == before["val"] and again["altered"] == before["altered"]
    assert again["engines"]["keras"]["val"] == before["engines"]["keras"]["val"]
    assert again["engines"]["keras"]["test"]["dice"] == again["test"]["mean"]["dice"]["mean"]
    with pytest.raises(InputError, match="small was already trained on all images"):
        refit.refit(model)


def test_without_monuseg_no_model_is_replaced(model, monkeypatch):
    monkeypatch.setattr(monuseg, "find", lambda: None)
    for replace in (refit.refit, average.average):
        with pytest.raises(InputError, match="nuclei download"):
            replace(model, model)


def test_patches_are_cut_as_those_of_the_first_training(images):
    settings = TOLD | {"seed": 0, "augmentation": {}, "patch_size": 128, "stride": 64}
    batches = refit.batches_of(images["train"], CONFIG, settings)
    assert batches[0][0].shape == (4, 128, 128, 3) and batches[0][1].shape == (4, 128, 128, 2)
    assert batches.steps_per_epoch == len(images["train"]) * 16 // 4


def test_a_training_that_cannot_be_repeated_is_refused(model):
    with pytest.raises(InputError, match="small began with random weights, not with models/unet"):
        refit.refit(model, "unet")
    metrics = modelzoo.read_metrics(model)
    (model / "metrics.json").write_text(json.dumps(metrics | {"patches": "files"}))
    with pytest.raises(InputError, match="small was trained on patch files, and only a training"):
        refit.refit(model)
    del metrics["augmentation"]
    (model / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(InputError, match="record of small does not tell how it was trained"):
        refit.refit(model)


@pytest.fixture
def start(model, tmp_path):
    """The model that the training of `model` began with, which finds all nuclei of these images."""
    folder = tmp_path / "models" / "start"
    network = modelzoo.load(model)
    metrics = modelzoo.read_metrics(model) | {"commit": "1234567", "start": "random"}
    modelzoo.save(folder, network, CONFIG, read_history(model), metrics)
    begun = {"start": "models/start", "start_commit": "1234567"}
    modelzoo.write_metrics(model, modelzoo.read_metrics(model) | begun)
    return folder


def scored_by_share(monkeypatch, best):
    """Each share is scored by its distance to the best one, not by what is found."""
    monkeypatch.setattr(average.Checkpoint, "CALIBRATION", 2)
    shares = iter(np.repeat(average.SHARES, 1 + len(average.ALTERATIONS)))
    monkeypatch.setattr(average, "_scores", lambda *_: (1 - abs(next(shares) - best),) * 2)


def test_the_mean_that_validates_best_is_kept(model, start, monkeypatch, capsys):
    before = modelzoo.load(start).get_weights()
    changed = modelzoo.load(model)
    changed.set_weights([4 * weight + 1 for weight in before])
    kept = modelzoo.read_metrics(model)
    modelzoo.save(model, changed, CONFIG, read_history(model), kept)
    scored_by_share(monkeypatch, best=0.3)
    assert average.average(model, start) == 0.25
    assert "25% of the weights after the training: Dice 0.9500" in capsys.readouterr().out
    after = modelzoo.read_metrics(model)
    assert after["averaged"] == 0.25 and after["start"] == kept["start"]
    assert "engines" not in after and "altered" not in after
    assert [image["name"] for image in after["val"]["images"]] == ["c"]
    averaged = modelzoo.load(model)
    for layer, first in zip(averaged.layers, modelzoo.load(start).layers, strict=True):
        for variable, old in zip(layer.weights, first.weights, strict=True):
            mean = 0.75 * old.numpy() + 0.25 * (4 * old.numpy() + 1)
            fits = np.allclose(variable.numpy(), mean, atol=1e-6)
            # Statistics are computed anew, from the training images.
            assert fits != ("moving" in variable.name), variable.path
    card = " ".join(model_card.card(model).split())
    assert "25% from the epoch with the best validation Dice, 75% from what this training" in card
    for again in (lambda: average.average(model, start), lambda: refit.refit(model, start)):
        with pytest.raises(InputError, match="small was (already )?averaged"):
            again()


@pytest.mark.parametrize("best", [0, 1])
def test_if_no_mean_is_better_nothing_is_changed(model, start, monkeypatch, capsys, best):
    scored_by_share(monkeypatch, best)
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    assert average.average(model, start) == best
    assert f"the weights {('before', 'after')[best]} are best" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def test_only_what_a_training_began_with_is_mixed_in(model, start):
    with pytest.raises(InputError, match="small began with models/start weights, .* not with"):
        average.average(model, model)


def test_a_model_that_began_with_fewer_channels_is_not_mixed(model, start):
    narrow = CONFIG | {"arguments": CONFIG["arguments"] | {"channels": 1}}
    metrics = modelzoo.read_metrics(start)
    modelzoo.save(start, modelzoo.build(narrow), narrow, read_history(model), metrics)
    begun = {"start": "models/start, new channels random"}
    modelzoo.write_metrics(model, modelzoo.read_metrics(model) | begun)
    with pytest.raises(InputError, match="start has another number of channels"):
        average.average(model, start)


def test_a_model_of_other_data_is_not_averaged_with_those_of_monuseg(model, start):
    modelzoo.write_metrics(model, modelzoo.read_metrics(model) | {"data": "my tissue"})
    with pytest.raises(InputError, match="small does not tell how it was trained on MoNuSeg"):
        average.average(model, start)
