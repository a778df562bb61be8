"""Losses, metrics and the schedule of the learning rate against their formulas."""

import keras
import numpy as np
import pytest

from nuclei import training
from nuclei.errors import InputError


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


def test_a_training_without_a_step_is_told():
    with pytest.raises(InputError, match="at least one step: set EPOCHS to 1 or more"):
        training.adamw(0)


@pytest.mark.parametrize("rate", [0, -1e-3])
def test_a_learning_rate_that_learns_nothing_is_told(rate):
    with pytest.raises(InputError, match="set LEARNING_RATE to about 1e-3"):
        training.adamw(100, rate)
