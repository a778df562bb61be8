"""Pieces for `compile()` and `fit()`: loss, metric, optimizer, checkpoints."""

import math
import time
from contextlib import nullcontext
from pathlib import Path

import keras
from keras import ops

from .files import InputError, load_weights, whole
from .modelzoo import read_history, write_history

# ------------------------------------------------------------------------- loss, metric, optimizer


@keras.saving.register_keras_serializable("nuclei")
def bce_dice_loss(mask, probability):
    """Binary cross-entropy plus soft Dice loss.

    The cross-entropy gives every pixel a gradient; the Dice term, taken over the whole batch
    (Milletari et al., 3DV 2016), weighs nuclei as much as the larger background.

    Parameters
    ----------
    mask, probability : tensor of float32, shape (B, H, W, 1)

    Returns
    -------
    tensor of float32, shape (B,)
        Their mean is the loss. One value would be added up over several GPUs, not averaged.
    """
    mask = ops.cast(mask, "float32")
    probability = ops.cast(probability, "float32")
    overlap = ops.sum(mask * probability)
    soft_dice = (2 * overlap + 1) / (ops.sum(mask) + ops.sum(ops.square(probability)) + 1)
    cross_entropy = ops.mean(keras.losses.binary_crossentropy(mask, probability), axis=(1, 2))
    return cross_entropy + 1 - soft_dice


@keras.saving.register_keras_serializable("nuclei")
def mask_distance_loss(target, prediction):
    """`bce_dice_loss` of the first channel plus the cross-entropy of the second.

    Parameters
    ----------
    target, prediction : tensor of float32, shape (B, H, W, 2)
        Mask, or probability of nucleus, and relative distance to the border of the nucleus, as in
        `instances.targets`. The cross-entropy of a distance is least where it is met, but not 0.

    Returns
    -------
    tensor of float32, shape (B,)
    """
    target = ops.cast(target, "float32")
    prediction = ops.cast(prediction, "float32")
    distance = keras.losses.binary_crossentropy(target[..., 1:], prediction[..., 1:])
    mask = bce_dice_loss(target[..., :1], prediction[..., :1])
    return mask + ops.mean(distance, axis=(1, 2))


@keras.saving.register_keras_serializable("nuclei")
def accuracy(mask, probability):
    """Share of pixels, background too, on the right side of a probability of 0.5.

    Parameters
    ----------
    mask : tensor of bool or float32, shape (B, H, W, C)
        Of several channels the first counts.
    probability : tensor of float32, shape (B, H, W, C)

    Returns
    -------
    tensor of float32, shape (B,)
    """
    nucleus = ops.cast(mask[..., 0], "float32") >= 0.5
    right = ops.equal(nucleus, probability[..., 0] >= 0.5)
    return ops.mean(ops.cast(right, "float32"), axis=(1, 2))


@keras.saving.register_keras_serializable("nuclei")
class Dice(keras.metrics.Metric):
    """Dice of the thresholded mask, pooled over all pixels seen: 2 TP / (2 TP + FP + FN).

    It equals the pixel-wise F1 of the class nucleus. Correct background adds nothing. Of several
    channels the first counts.

    Parameters
    ----------
    threshold : float
        Probability from which a pixel counts as nucleus.
    name : str
    """

    def __init__(self, threshold=0.5, name="dice", **options):
        super().__init__(name=name, **options)
        self.threshold = threshold
        self.overlap = self.add_variable((), "zeros", name="overlap")
        self.total = self.add_variable((), "zeros", name="total")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count one batch; `sample_weight` is not used."""
        mask = ops.cast(y_true[..., 0], "float32")
        predicted = ops.cast(y_pred[..., 0] >= self.threshold, "float32")
        scale = 1 / 256**2  # in patches rather than pixels
        self.overlap.assign_add(ops.sum(mask * predicted) * scale)
        self.total.assign_add((ops.sum(mask) + ops.sum(predicted)) * scale)

    def result(self):
        """Dice of all batches since the last reset; 0 before the first nucleus is seen."""
        return 2 * self.overlap / (self.total + keras.config.epsilon())

    def get_config(self):
        """Arguments to rebuild the metric from."""
        return {**super().get_config(), "threshold": self.threshold}


def adamw(steps, learning_rate=2e-3, warmup=0.05, weight_decay=1e-4, ema=0.995):
    """AdamW with a warm-up, cosine decay to zero, and an average of the weights.

    Parameters
    ----------
    steps : int
        Batches in the whole training.
    learning_rate : float
        Its peak, after the warm-up.
    warmup : float
        Fraction of `steps` over which the rate rises linearly from zero.
    weight_decay : float
    ema : float
        Momentum of the exponential moving average of the weights, which validation and the
        final model use: late steps jitter around a better point than any they stop at.

    Returns
    -------
    keras.optimizers.AdamW
    """
    # A short run forgets its first steps within its first fifth.
    ema = min(ema, 1 - 5 / max(steps, 10))
    rising = max(1, round(steps * warmup))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=float(max(1, steps - rising)),
        warmup_target=learning_rate,
        warmup_steps=float(rising),
    )
    return keras.optimizers.AdamW(
        schedule, weight_decay=weight_decay, use_ema=True, ema_momentum=ema
    )


# ------------------------------------------------------------------------------------ checkpoints


class Checkpoint(keras.callbacks.SwapEMAWeights):
    """After every epoch keep the best weights, the history and the state to resume from.

    Needs an optimizer with `use_ema=True`. The averaged weights are those validated and kept
    as best, with statistics of batch normalisation of their own: those gathered in training do
    not fit them (Izmailov et al., UAI 2018, section 3.2). The weights under training and
    the optimizer make up the state. All files are written whole, the state last: a run killed
    at any moment loses at most one epoch.

    Parameters
    ----------
    folder : str or Path
        Holds `best.weights.h5`, `history.csv` and `state.weights.h5`.
    batches : AugmentedBatches
        What is trained on; the first `CALIBRATION` batches give the statistics.
    steps_per_epoch : int
    monitor : str
        The validation score that is to be as high as possible.
    """

    CALIBRATION = 12
    """Batches from which the statistics of the averaged weights are taken."""

    def __init__(self, folder, batches, steps_per_epoch, monitor="val_dice"):
        super().__init__(swap_on_epoch=True)
        self.folder, self.batches, self.monitor = Path(folder), batches, monitor
        self.steps_per_epoch = steps_per_epoch
        self.history = []

    def restore(self, model):
        """Resume from the folder, if it holds a state.

        Parameters
        ----------
        model : keras.Model
            Compiled; receives weights and optimizer state.

        Returns
        -------
        int
            Epochs already trained: `initial_epoch` of `fit()`.

        Raises
        ------
        InputError
            If the state is of another network or cannot be read.
        """
        state = self.folder / "state.weights.h5"
        if not state.exists():
            return 0
        # TensorFlow wants the state of an optimizer to lie where the weights do.
        strategy = getattr(model, "distribute_strategy", None)
        with strategy.scope() if strategy else nullcontext():
            model.optimizer.build(model.trainable_variables)
        cure = f"delete {self.folder} to start over."
        load_weights(model, state, cure)
        steps = int(ops.convert_to_numpy(model.optimizer.iterations))
        if not steps:  # Keras skips an optimizer that does not fit
            raise InputError(f"{state} is of a training in another precision: {cure}")
        # Rounded up: mixed precision does not count the steps whose gradients overflow.
        epochs = math.ceil(steps / self.steps_per_epoch)
        # A run that was killed between history and state has a row too many.
        self.history = read_history(self.folder)[:epochs]
        print(f"Resuming after epoch {epochs} from {self.folder}.")
        return epochs

    def best(self):
        """The row of the history with the highest validation score."""
        return max(self.history, key=lambda row: row[self.monitor])

    def on_epoch_begin(self, epoch, logs=None):
        """Called by `fit()`; takes the averaged weights out of the model again."""
        super().on_epoch_begin(epoch, logs)
        self.started = time.perf_counter()

    def on_test_begin(self, logs=None):
        """Called by `fit()`; puts the averaged weights into the model, to be validated."""
        super().on_test_begin(logs)
        self.statistics = self._get_statistics()
        layers = [x for x in self.model.layers if isinstance(x, keras.layers.BatchNormalization)]
        momenta = [layer.momentum for layer in layers]
        for i in range(self.CALIBRATION):
            for layer in layers:
                layer.momentum = i / (i + 1)  # so that all batches count alike
            self.model(self.batches[i][0], training=True)
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        self.averaged_statistics = self._get_statistics()

    def on_test_end(self, logs=None):
        """Called by `fit()`; puts the weights under training back."""
        super().on_test_end(logs)
        self._set_statistics(self.statistics)

    def on_epoch_end(self, epoch, logs=None):
        """Called by `fit()`, with the weights under training in the model."""
        seconds = time.perf_counter() - self.started
        scores = {name: float(value) for name, value in logs.items()}
        row = {"epoch": epoch + 1, "seconds": round(seconds, 1), **scores}
        self.history.append(row)
        write_history(self.folder, self.history)
        with whole(self.folder / "state.weights.h5") as path:
            self.model.save_weights(path)
            super().on_epoch_end(epoch, logs)  # puts the averaged weights into the model
            if self.best() is row:
                self._save_averaged_weights()

    def _save_averaged_weights(self):
        self._set_statistics(self.averaged_statistics)
        with whole(self.folder / "best.weights.h5") as path:
            # Without the optimizer, which the compiled model would write too.
            keras.Model(self.model.inputs, self.model.outputs).save_weights(path)
        self._set_statistics(self.statistics)

    def _get_statistics(self):
        return [ops.convert_to_numpy(x) for x in self.model.non_trainable_variables]

    def _set_statistics(self, values):
        for variable, value in zip(self.model.non_trainable_variables, values, strict=True):
            variable.assign(value)
