"""Loss, metric and schedule against their formulas; a training that is killed and resumed."""

import os
from pathlib import Path

import keras
import numpy as np
import pytest
import reference

from nuclei import training
from nuclei.atomic import locked
from nuclei.data.augmentation import AugmentedBatches
from nuclei.errors import InputError
from nuclei.networks.unet import unet
from nuclei.training.history import read_history

STEPS, EPOCHS = 3, 4
SIZES = {"size": 32, "stride": 32}


# ------------------------------------------------------------------------------- loss and metric


def random_pair(seed, shape=(3, 8, 10, 1)):
    """A mask and a probability map."""
    rng = np.random.default_rng(seed)
    return (rng.random(shape) < 0.3).astype(np.float32), rng.random(shape).astype(np.float32)


def loss(mask, probability):
    """What `fit()` makes of the values of the batch."""
    values = keras.ops.convert_to_numpy(training.bce_dice_loss(mask, probability))
    assert values.shape == mask.shape[:1]
    return values.mean()


def test_loss_is_cross_entropy_plus_soft_dice_over_the_batch():
    mask, p = random_pair(0)
    cross_entropy = -np.mean(mask * np.log(p) + (1 - mask) * np.log(1 - p))
    soft_dice = (2 * np.sum(mask * p) + 1) / (np.sum(mask) + np.sum(p**2) + 1)
    assert loss(mask, p) == pytest.approx(cross_entropy + 1 - soft_dice, rel=1e-4)


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_loss_of_a_certain_answer_is_finite_and_least_where_it_is_right(right):
    mask = np.full((1, 4, 4, 1), right, np.float32)
    assert loss(mask, mask) == pytest.approx(0, abs=1e-5)
    assert 1 < loss(mask, 1 - mask) < 100


def test_loss_takes_masks_of_any_type_and_half_floats():
    mask, p = random_pair(1)
    expected = loss(mask, p)
    assert loss(mask.astype(bool), p) == pytest.approx(expected)
    half = keras.ops.cast(p, "float16")
    assert loss(mask, half) == pytest.approx(expected, rel=1e-2)


def test_distance_adds_a_cross_entropy_that_is_least_where_it_is_met():
    target, prediction = random_pair(2, shape=(3, 8, 10, 2))
    y, p = target[..., 1:], prediction[..., 1:]
    cross_entropy = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    both = keras.ops.convert_to_numpy(training.mask_distance_loss(target, prediction))
    assert both.shape == (3,)
    of_mask = loss(target[..., :1], prediction[..., :1])
    assert both.mean() == pytest.approx(of_mask + cross_entropy, rel=1e-4)

    depth = np.full((1, 4, 4, 2), 0.3, np.float32)
    losses = [
        np.mean(keras.ops.convert_to_numpy(training.mask_distance_loss(depth, other)))
        for other in (depth, depth + [0, 0.1], depth - [0, 0.1])
    ]
    assert np.argmin(losses) == 0


def test_accuracy_and_dice_are_of_the_first_channel():
    target, prediction = random_pair(3, shape=(3, 8, 10, 2))
    share = np.mean((target[..., 0] >= 0.5) == (prediction[..., 0] >= 0.5))
    mask = keras.ops.convert_to_tensor(target >= 0.5)  # as the validation patches are given to fit
    for truth in (target, mask):
        metric = training.Accuracy()
        metric.update_state(truth[:2], prediction[:2])  # in two batches of unequal size
        metric.update_state(truth[2:], prediction[2:])
        assert float(metric.result()) == pytest.approx(share, rel=1e-6)
    again = training.Accuracy.from_config(metric.get_config())
    again.update_state(target, prediction)
    assert float(again.result()) == pytest.approx(share, rel=1e-6)
    one, two = training.Dice(), training.Dice()
    one.update_state(target[..., :1], prediction[..., :1])
    two.update_state(target, prediction)
    assert float(one.result()) == float(two.result())


@pytest.mark.tensorflow
def test_a_training_step_is_traced_once(tmp_path):
    """Variables made within the first step would cost a second trace: half a minute for some."""
    model, traces = unet(2, 1), []
    metrics = [training.Dice(), training.Accuracy()]
    model.compile(training.adamw(STEPS), training.bce_dice_loss, metrics=metrics, jit_compile=False)
    step = model.train_step
    model.train_step = lambda data: (traces.append(1), step(data))[1]
    training.Checkpoint(tmp_path, None, STEPS).restore(model)
    images = np.zeros((2, 16, 16, 3), np.float32)
    model.train_on_batch(images, images[..., :1])
    assert len(traces) == 1


def test_dice_is_pooled_over_all_batches_since_the_reset():
    metric = training.Dice(threshold=0.6)
    for first in (0, 10):
        metric.reset_state()
        assert float(metric.result()) == 0
        pairs = [random_pair(seed) for seed in range(first, first + 4)]
        for mask, p in pairs:
            metric.update_state(mask, p)
        mask, p = (np.stack(column) for column in zip(*pairs, strict=True))
        predicted = p >= 0.6
        expected = 2 * np.sum(mask * predicted) / (mask.sum() + predicted.sum())
        assert float(metric.result()) == pytest.approx(expected, rel=1e-4)


def test_dice_is_exact_over_a_validation_set():
    metric = training.Dice()
    mask = np.zeros((8, 256, 256, 1), np.float32)
    mask[:, :100] = 1
    for _ in range(27):  # 216 patches
        metric.update_state(mask, 1 - 0.6 * (1 - mask))  # 0.4 off nuclei
    assert float(metric.result()) == pytest.approx(1, abs=1e-6)


def test_loss_and_metric_survive_serialisation():
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(training.Dice(0.7, name="d"))
    )
    assert (again.threshold, again.name) == (0.7, "d")
    schedule = training.adamw(10, 0.01)._learning_rate
    config = keras.saving.serialize_keras_object(schedule)
    assert float(keras.saving.deserialize_keras_object(config)(3)) == float(schedule(3)) > 0
    config = keras.saving.serialize_keras_object(training.bce_dice_loss)
    assert keras.saving.deserialize_keras_object(config) is training.bce_dice_loss


# ------------------------------------------------------------------------------------ optimizer


@pytest.mark.parametrize("steps, warmup", [(10, 0.05), (333, 0.1)])
def test_learning_rate_rises_to_its_peak_and_falls_to_zero(steps, warmup):
    schedule = training.adamw(steps, learning_rate=0.01, warmup=warmup)._learning_rate
    peak = max(1, round(steps * warmup))
    rising = [float(schedule(step)) for step in np.linspace(0, peak, 5)]
    falling = [float(schedule(step)) for step in np.linspace(peak, steps, 5)]
    np.testing.assert_allclose(rising, 0.01 * np.linspace(0, 1, 5), atol=1e-7)
    np.testing.assert_allclose(
        falling, 0.005 * (1 + np.cos(np.pi * np.linspace(0, 1, 5))), atol=1e-7
    )


@pytest.mark.parametrize("steps, momentum", [(1, 0.5), (10, 0.5), (100, 0.95), (5000, 0.995)])
def test_a_short_training_averages_over_fewer_steps(steps, momentum):
    optimizer = training.adamw(steps)
    assert optimizer.use_ema and optimizer.ema_momentum == pytest.approx(momentum)


# ----------------------------------------------------------------------------------- checkpoints


@pytest.fixture(scope="module")
def data():
    """Ten patches in which nuclei are dark, which a tiny UNet learns in a few steps."""
    rng = np.random.default_rng(0)
    masks = rng.random((10, 4, 4)).repeat(8, 1).repeat(8, 2) < 0.4
    images = np.where(masks[..., None], 80, 200) + rng.integers(-20, 20, (*masks.shape, 3))
    return images.astype(np.uint8), masks


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
    checkpoint = training.Checkpoint(folder, AugmentedBatches(*data, 4, seed=5, **SIZES), STEPS)
    checkpoint.CALIBRATION = 2  # fewer than for real, so that the tests take less time
    done = checkpoint.restore(model)
    model.fit(
        AugmentedBatches(*data, 4, seed=0, first=done * STEPS, **SIZES),
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
    columns = ["epoch", "seconds", "dice", "loss", "val_dice", "val_loss"]
    assert sorted(checkpoint.history[0]) == sorted(columns)
    names = sorted(path.name for path in checkpoint.folder.iterdir())
    assert names == ["best.weights.h5", "history.csv", "lock", "state.weights.h5"]


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
    checkpoint = training.Checkpoint(state.parent, None, STEPS)
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
    keras.config.set_dtype_policy("mixed_float16")  # whose optimizer also scales the loss
    try:
        other = compiled()
    finally:
        keras.config.set_dtype_policy(policy)
    assert "another precision" in refusal(other, state)


def test_steps_that_overflow_are_part_of_their_epoch(model, state):
    # Mixed precision skips them without counting.
    restored = training.Checkpoint(state.parent, None, STEPS)
    assert restored.restore(model) == len(restored.history) == 1
    model.optimizer.iterations.assign(STEPS - 1)
    model.save_weights(state)
    assert restored.restore(model) == len(restored.history) == 1
