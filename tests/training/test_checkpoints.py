"""A training that is killed and resumed ends as if it was not, and its state is checked."""

import os
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import reference
from dark_patches import SIZES, dark_patches

from nuclei import training
from nuclei.atomic import locked
from nuclei.data.batches import AugmentedBatches
from nuclei.errors import InputError
from nuclei.networks.unet import unet
from nuclei.training.history import read_history, write_history

STEPS, EPOCHS = 3, 4

PATCHES = SimpleNamespace(size=32)
"""What a checkpoint asks of the training data before a training."""


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch traces no step")
def test_a_training_step_is_traced_once(tmp_path):
    """Variables made or changed in type by the first step would cost a second trace."""
    model, traces = unet(2, 1), []
    metrics = [training.Dice(), training.Accuracy()]
    loss, jit = training.bce_dice_loss, reference.JIT
    model.compile(training.adamw(STEPS), loss, metrics=metrics, jit_compile=jit)
    step = model.train_step
    model.train_step = lambda *data: (traces.append(1), step(*data))[1]
    training.Checkpoint(tmp_path, PATCHES, STEPS).restore(model)
    images = np.zeros((2, 16, 16, 3), np.float32)
    for _ in range(2):
        model.train_on_batch(images, images[..., :1])
    assert len(traces) == 1


@pytest.fixture(scope="module")
def data():
    return dark_patches(10)


def compiled(width=2, depth=1):
    model = unet(width, depth)
    model.compile(
        training.adamw(STEPS * EPOCHS, 1e-2),
        training.bce_dice_loss,
        metrics=[training.Dice()],
        jit_compile=reference.JIT,
    )
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.fixture(scope="module")
def model(data):
    """Compiled once for all tests: `train` starts it anew."""
    model = compiled()
    # Builds the metrics, for which fit() would take a batch in its first run only.
    model.evaluate(*validation(data), batch_size=5, verbose=0)
    return model


def train(model, folder, data, epochs=EPOCHS, callbacks=()):
    """Train from random weights, or from the state in the folder."""
    for variable in model.optimizer.variables:
        variable.assign(np.zeros(variable.shape))
    reference.fill(model, seed=1)
    batches = AugmentedBatches(*data, 4, seed=5, **SIZES)
    checkpoint = training.Checkpoint(folder, batches, STEPS)
    checkpoint.CALIBRATION = 2  # fewer than for real, so that the tests take less time
    done = checkpoint.restore(model)
    model.fit(
        batches.starting(done * STEPS, seed=0),
        steps_per_epoch=STEPS,
        epochs=epochs,
        initial_epoch=done,
        validation_data=validation(data),
        validation_batch_size=5,
        callbacks=[*callbacks, checkpoint],
        shuffle=False,
        verbose=0,
    )
    return checkpoint


def validation(data):
    images, masks = data
    return images, masks[..., None].astype(np.float32)


@pytest.fixture(scope="module")
def uninterrupted(model, data, tmp_path_factory):
    """A whole training: checkpoint and final weights."""
    checkpoint = train(model, tmp_path_factory.mktemp("whole"), data)
    return checkpoint, model.get_weights()


def scores(history):
    """The history without what depends on the clock."""
    return [{name: x for name, x in row.items() if name != "seconds"} for row in history]


def assert_close(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_history_has_a_row_an_epoch(uninterrupted):
    checkpoint, _ = uninterrupted
    assert [row["epoch"] for row in checkpoint.history] == [1, 2, 3, 4]
    assert read_history(checkpoint.folder) == checkpoint.history
    path = checkpoint.folder / "history.csv"
    written = path.read_bytes()
    assert b"\r" not in written
    path.write_bytes(written.replace(b"\n", b"\r\n"))  # as in `models/`
    assert read_history(checkpoint.folder) == checkpoint.history
    path.write_bytes(written)
    columns = ["epoch", "seconds", "dice", "loss", "val_dice", "val_loss"]
    assert sorted(checkpoint.history[0]) == sorted(columns)
    names = sorted(path.name for path in checkpoint.folder.iterdir())
    weights = ["best.weights.h5", "state.weights.h5"]
    assert names == sorted([*weights, "history.csv", "lock", "settings.json"])


def test_the_best_weights_are_those_that_were_validated(uninterrupted, data):
    checkpoint, final = uninterrupted
    best = checkpoint.best()
    assert best["val_dice"] == max(row["val_dice"] for row in checkpoint.history)
    network = unet(2, 1)
    network.load_weights(checkpoint.folder / "best.weights.h5")
    network.compile(
        loss=training.bce_dice_loss, metrics=[training.Dice()], jit_compile=reference.JIT
    )
    found = network.evaluate(*validation(data), batch_size=5, verbose=0, return_dict=True)
    assert found["dice"] == pytest.approx(best["val_dice"], abs=1e-4)
    assert found["loss"] == pytest.approx(best["val_loss"], rel=1e-4)
    assert len({round(row["val_loss"], 4) for row in checkpoint.history}) == EPOCHS


def test_what_is_validated_is_the_average_with_statistics_of_its_own(model, data, tmp_path):
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            # Not `model`: under JAX it is asking for `self.model` that brings the weights.
            weights = self.model.trainable_variables
            seen.append([keras.ops.convert_to_numpy(x) for x in weights])

    checkpoint = train(model, tmp_path, data, epochs=1, callbacks=[Watch()])
    momentum, average = model.optimizer.ema_momentum, seen[0]
    for weights in seen[1:]:
        pairs = zip(average, weights, strict=True)
        average = [momentum * old + (1 - momentum) * new for old, new in pairs]
    best = unet(2, 1)
    best.load_weights(tmp_path / "best.weights.h5")
    assert_close([keras.ops.convert_to_numpy(x) for x in best.trainable_variables], average)
    # The first normalisation sees convolutions of the batches alone: its mean is known.
    kernel = keras.ops.convert_to_numpy(best.get_layer("encoder1_convolution1").kernel)
    means = [
        reference.convolve(checkpoint.batches[i][0] / 127.5 - 1, kernel).mean(axis=(0, 1, 2))
        for i in range(checkpoint.CALIBRATION)
    ]
    found = best.get_layer("encoder1_normalization1").moving_mean
    np.testing.assert_allclose(found, np.mean(means, axis=0), atol=1e-4)
    assert model.get_layer("encoder1_normalization1").momentum == 0.99  # as before


class Killed(BaseException):
    """The power fails."""


class KillAtBatch(keras.callbacks.Callback):
    def __init__(self, number):
        super().__init__()
        self.left = number

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise Killed


@pytest.mark.parametrize("batch", [2, 2 * STEPS + 2], ids=["first epoch", "third epoch"])
def test_killed_in_an_epoch_and_resumed_it_ends_the_same(
    model, data, uninterrupted, tmp_path, batch
):
    with pytest.raises(Killed):
        train(model, tmp_path, data, callbacks=[KillAtBatch(batch)])
    resumed = train(model, tmp_path, data)
    assert_same_training(model, resumed, uninterrupted)


@pytest.mark.parametrize("name", ["history.csv", "best.weights.h5", "state.weights.h5"])
def test_killed_while_it_writes_and_resumed_it_ends_the_same(
    model, data, uninterrupted, tmp_path, monkeypatch, name
):
    # In the best epoch, after which nothing would repair best weights that were lost.
    epoch = uninterrupted[0].best()["epoch"]
    replace, written = os.replace, []

    def replace_or_die(source, target):
        written.append(Path(target).name)
        if written[-1] == name and written.count("history.csv") == epoch:
            raise Killed
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace_or_die)
        with pytest.raises(Killed):
            train(model, tmp_path, data)
    resumed = train(model, tmp_path, data)
    assert_same_training(model, resumed, uninterrupted)


def assert_same_training(model, resumed, uninterrupted):
    checkpoint, weights = uninterrupted
    assert_close(model.get_weights(), weights)
    assert len(resumed.history) == len(checkpoint.history)
    for row, expected in zip(scores(resumed.history), scores(checkpoint.history), strict=True):
        assert row == pytest.approx(expected, rel=1e-3, abs=1e-4)
    best = []
    for folder in (resumed.folder, checkpoint.folder):
        network = unet(2, 1)
        network.load_weights(folder / "best.weights.h5")
        best.append(network.get_weights())
    assert_close(*best)


def test_two_trainings_into_one_folder_exclude_each_other(model, data, tmp_path):
    with locked(tmp_path / "lock", "it"), pytest.raises(InputError, match="Another run is train"):
        train(model, tmp_path, data, epochs=1)
    train(model, tmp_path, data, epochs=1)
    with locked(tmp_path / "lock", "it"):  # it ends with the training
        pass


@pytest.fixture
def state(model, data, tmp_path):
    """The state after one epoch."""
    train(model, tmp_path, data, epochs=1)
    return tmp_path / "state.weights.h5"


def refusal(model, state):
    """The one sentence with which a state is refused."""
    checkpoint = training.Checkpoint(state.parent, PATCHES, STEPS)
    with pytest.raises(InputError) as error:
        checkpoint.restore(model)
    message = str(error.value)
    assert "\n" not in message and message.startswith(f"{state} ")
    assert message.endswith(f": delete {state.parent} to start over.")
    return message


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_state_that_is_cut_short_gets_a_sentence(model, state, share):
    state.write_bytes(state.read_bytes()[: int(share * state.stat().st_size)])
    assert "is cut short, damaged or not HDF5" in refusal(model, state)


@pytest.mark.filterwarnings("error::UserWarning")  # no lines of Keras before the sentence
@pytest.mark.parametrize("width, depth", [(3, 1), (2, 2)])
def test_a_state_of_another_network_gets_a_sentence(state, width, depth):
    assert "does not fit this unet" in refusal(compiled(width, depth), state)


def test_a_state_of_another_precision_gets_a_sentence(state):
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")  # whose optimizer is that of float32
        similar = compiled()
        keras.config.set_dtype_policy("mixed_float16")  # whose optimizer also scales the loss
        other = compiled()
    finally:
        keras.config.set_dtype_policy(policy)
    with pytest.raises(InputError, match=r"precision: float32, not mixed_bfloat16"):
        training.Checkpoint(state.parent, PATCHES, STEPS).restore(similar)
    with pytest.raises(InputError, match=r"precision: float32, not mixed_float16"):
        training.Checkpoint(state.parent, PATCHES, STEPS).restore(other)
    (state.parent / "settings.json").unlink()  # as an earlier release left it
    assert "another precision" in refusal(other, state)


def test_a_state_of_other_settings_gets_a_sentence(model, tmp_path):
    def checkpoint(**settings):
        return training.Checkpoint(tmp_path / "a", PATCHES, STEPS, settings=settings)

    first = checkpoint(images="12ab", epochs=4, augmentation={"turn": (1, 2)})
    assert first.restore(model) == 0
    model.optimizer.iterations.assign(STEPS)
    model.save_weights(tmp_path / "a" / "state.weights.h5")
    write_history(tmp_path / "a", [{"epoch": 1, "seconds": 1.0, "val_dice": 0.5}])
    assert checkpoint(images="12ab", epochs=4, augmentation={"turn": (1, 2)}).restore(model) == 1
    for change in ({"images": "34cd"}, {"epochs": 5}, {"augmentation": {"turn": (1, 3)}}):
        (name, value), *_ = change.items()
        other = checkpoint(**{**first.settings, **change})
        with pytest.raises(InputError, match=rf"with other settings \({name}: ") as error:
            other.restore(model)
        assert str(error.value).endswith(f"set it back, or delete {other.folder} to start over.")
    (tmp_path / "a" / "settings.json").unlink()  # as an earlier release left it
    assert other.restore(model) == 1


def test_patches_of_an_unknown_kind_are_refused(tmp_path):
    settings = {"patches": "file"}
    with pytest.raises(InputError, match=r"PATCHES cannot be 'file': set it to images or files\."):
        training.Checkpoint(tmp_path / "a", PATCHES, STEPS, settings=settings)


def test_patches_that_do_not_fit_the_network_are_refused_before_anything_is_written(tmp_path):
    checkpoint = training.Checkpoint(tmp_path / "a", SimpleNamespace(size=27), STEPS)
    with pytest.raises(InputError, match="set PATCH_SIZE to a multiple of 4, such as 28"):
        checkpoint.restore(compiled(depth=2))
    assert not checkpoint.folder.exists()


def test_an_epoch_whose_steps_overflow_counts(model, data, tmp_path):
    class Overflow(keras.callbacks.Callback):
        """Mixed precision skips steps whose gradients overflow, and does not count them."""

        def on_epoch_end(self, epoch, logs=None):
            self.model.optimizer.iterations.assign(1)

    train(model, tmp_path, data, epochs=2, callbacks=[Overflow()])
    restored = training.Checkpoint(tmp_path, PATCHES, STEPS)
    assert restored.restore(model) == len(restored.history) == 2


def test_a_state_of_an_earlier_release_counts_steps(model, state):
    restored = training.Checkpoint(state.parent, PATCHES, STEPS)
    assert restored.restore(model) == len(restored.history) == 1
    model.optimizer.iterations.assign(STEPS - 1)  # one overflowed
    model.save_weights(state)
    assert restored.restore(model) == len(restored.history) == 1
