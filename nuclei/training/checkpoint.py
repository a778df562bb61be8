"""Save the best weights of a training, and its state, so that it can be resumed."""

import json
import math
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path

import keras
from keras import ops

from ..allocator import keep_freed_memory
from ..atomic import atomic_write, locked, write_json
from ..data.patch_files import PATCHES
from ..errors import InputError
from ..networks.strides import check_side
from ..networks.weights import load_weights, read_epochs, save_weights
from .history import read_history, write_history
from .statistics import recompute_statistics

_LOCKS = {}
"""What ends the locks of the folders that this process trains in."""


class Checkpoint(keras.callbacks.SwapEMAWeights):
    """Save the best weights, the history and the state to resume from after every epoch.

    Needs an optimizer with `use_ema=True`. The averaged weights are validated and saved as best.
    Their batch normalisation statistics are those of `recompute_statistics`. The state consists of
    the weights in training, the optimizer and the number of epochs. All files are written
    completely or not at all, the state last, so a run that is killed loses at most one epoch. From
    `restore` to the end of `fit()` the folder is locked, so that a second process does not train in
    it.

    Parameters
    ----------
    folder : str or Path
        Folder for `best.weights.h5`, `history.csv` and `state.weights.h5`.
    batches : AugmentedBatches
        The training data; the statistics are computed from the first `CALIBRATION` batches.
    steps_per_epoch : int
        Batches per epoch.
    monitor : str or None
        The validation score by which the best weights are chosen; higher is better. None, for a
        training without validation: the last epoch has the best weights.
    settings : dict, optional
        What the training depends on, JSON-serialisable. A training with other settings is not
        resumed. If `patches` is among them, it must be a key of `PATCHES`.

    Raises
    ------
    InputError
        If it is not.
    """

    CALIBRATION = 12
    """Batches, at most an epoch, for the batch normalisation statistics of the averaged weights."""

    def __init__(self, folder, batches, steps_per_epoch, monitor="val_dice", settings=None):
        super().__init__(swap_on_epoch=True)
        self.folder, self.batches, self.monitor = Path(folder), batches, monitor
        self.steps_per_epoch = steps_per_epoch
        self.settings = json.loads(json.dumps(settings or {}))  # which knows no tuples
        self.history = []
        patches = self.settings.get("patches", "images")
        if patches not in PATCHES:  # else the notebooks would train as if it were "images"
            raise InputError(f"PATCHES cannot be {patches!r}: set it to {' or '.join(PATCHES)}.")

    def restore(self, model):
        """Prepare a model for `fit()`: resume from the folder, if it contains a state.

        Parameters
        ----------
        model : keras.Model
            A compiled model; its weights and optimizer state are overwritten.

        Returns
        -------
        int
            Number of epochs already trained, the `initial_epoch` of `fit()`.

        Raises
        ------
        InputError
            If the patches do not fit the network, if the state belongs to another network or to
            other settings or cannot be read, or if another process is training in the folder.
        """
        check_side(model, self.batches.size)
        self.settings["precision"] = model.dtype_policy.name
        self._lock()
        # TensorFlow needs the optimizer state in the same strategy scope as the weights. Built only
        # within the first training step, it would make TensorFlow trace that step twice.
        strategy = getattr(model, "distribute_strategy", None)
        with strategy.scope() if strategy else nullcontext():
            model.optimizer.build(model.trainable_variables)
        state = self.folder / "state.weights.h5"
        if not state.exists():
            write_json(self._settings_file, self.settings)
            return 0
        cure = f"delete {self.folder} to start over."
        self._check_settings(cure)
        load_weights(model, state, cure)
        steps = int(ops.convert_to_numpy(model.optimizer.iterations))
        if not steps:  # Keras silently skips an optimizer that does not fit
            raise InputError(f"{state} comes from a training in another precision: {cure}")
        epochs = read_epochs(state)
        if epochs is None:  # of an earlier release
            # Round up, because mixed precision does not count steps whose gradients overflow.
            epochs = math.ceil(steps / self.steps_per_epoch)
        # A run killed between writing history and state has one row too many.
        self.history = read_history(self.folder)[:epochs]
        print(f"Resuming after epoch {epochs} from {self.folder}.")
        return epochs

    @property
    def _settings_file(self):
        return self.folder / "settings.json"

    def _check_settings(self, cure):
        """Raise an InputError if the state is of a training with other settings."""
        try:
            before = json.loads(self._settings_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # it is of an earlier release
            return
        for name in sorted(before.keys() & self.settings.keys()):
            if before[name] != self.settings[name]:
                raise InputError(
                    f"{self.folder} holds a training with other settings ({name}: {before[name]}, "
                    f"not {self.settings[name]}): set it back, or {cure}"
                )

    def best(self):
        """Return the row of the history with the highest validation score, or else the last."""
        if self.monitor is None:
            return self.history[-1]
        return max(self.history, key=lambda row: row[self.monitor])

    def _lock(self):
        """Lock the folder; a training of this process that was interrupted lets it go."""
        place = self.folder.resolve()
        _LOCKS.setdefault(place, ExitStack()).close()
        _LOCKS[place].enter_context(locked(place / "lock", f"training in {self.folder}"))

    def on_train_end(self, logs=None):
        """Called by `fit()`; unlocks the folder."""
        super().on_train_end(logs)
        _LOCKS[self.folder.resolve()].close()

    def on_epoch_begin(self, epoch, logs=None):
        """Called by `fit()`; puts the weights in training back into the model."""
        super().on_epoch_begin(epoch, logs)
        self.started = time.perf_counter()

    def on_train_batch_begin(self, batch, logs=None):
        """Called by `fit()`; not earlier, because TensorFlow sets the allocator when it reads."""
        super().on_train_batch_begin(batch, logs)
        keep_freed_memory()

    def on_test_begin(self, logs=None):
        """Called by `fit()`; puts the averaged weights into the model for validation."""
        super().on_test_begin(logs)
        self._average_statistics()

    def _average_statistics(self):
        """Compute the statistics of the averaged weights, which are in the model."""
        self.statistics = self._get_statistics()
        count = min(self.CALIBRATION, self.steps_per_epoch)
        recompute_statistics(self.model, self.batches, count)
        self.averaged_statistics = self._get_statistics()

    def on_test_end(self, logs=None):
        """Called by `fit()`; puts the weights and statistics in training back."""
        super().on_test_end(logs)
        self._set_statistics(self.statistics)

    def on_epoch_end(self, epoch, logs=None):
        """Called by `fit()`, with the weights in training in the model; writes the files."""
        seconds = time.perf_counter() - self.started
        scores = {name: float(value) for name, value in logs.items()}
        row = {"epoch": epoch + 1, "seconds": round(seconds, 1), **scores}
        self.history.append(row)
        write_history(self.folder, self.history)
        with atomic_write(self.folder / "state.weights.h5") as path:
            save_weights(self.model, path, epochs=epoch + 1)
            super().on_epoch_end(epoch, logs)  # puts the averaged weights into the model
            if self.monitor is None:
                self._average_statistics()
            if self.best() is row:
                self._save_averaged_weights()

    def _save_averaged_weights(self):
        self._set_statistics(self.averaged_statistics)
        with atomic_write(self.folder / "best.weights.h5") as path:
            # A new model without an optimizer, because the compiled one would save its state too.
            save_weights(keras.Model(self.model.inputs, self.model.outputs), path)
        self._set_statistics(self.statistics)

    def _get_statistics(self):
        return [ops.convert_to_numpy(x) for x in self.model.non_trainable_variables]

    def _set_statistics(self, values):
        for variable, value in zip(self.model.non_trainable_variables, values, strict=True):
            variable.assign(value)
