"""Train on two halves of the CPU: `python two_devices.py FOLDER`, for test_devices.py."""

import functools
import json
import os
import sys

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"  # for JAX

import keras
import numpy as np
import reference
from dark_patches import SIZES, dark_patches

from nuclei import training
from nuclei.data.batches import AugmentedBatches
from nuclei.networks.unet import unet
from nuclei.training import devices

STEPS = 3
folder = sys.argv[1]
keras.distribution.list_devices = lambda kind: [f"{kind}:0", f"{kind}:1"]
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf  # noqa: TID251

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    halves = functools.partial(tf.distribute.MirroredStrategy, ["CPU:0", "CPU:1"])
    tf.distribute.MirroredStrategy = halves


class CountDevices(keras.callbacks.Callback):
    """Asks each backend in its own words how many devices share a batch."""

    def on_train_begin(self, logs=None):
        if distribution := keras.distribution.distribution():
            self.found = distribution.device_mesh.devices.size
        else:
            self.found = self.model.distribute_strategy.num_replicas_in_sync


images, masks = dark_patches(8)
validation = images, masks[..., None].astype(np.float32)

keras.config.set_dtype_policy("mixed_float16")  # as on GPUs
for epochs in (2, 3):  # the second time it resumes
    keras.utils.set_random_seed(0)
    with devices.distribute():
        model = training.accelerate(unet(width=2, depth=1))
        model.compile(
            training.adamw(3 * STEPS, 1e-2),
            training.bce_dice_loss,
            metrics=[training.Dice()],
            jit_compile=reference.JIT,
        )
    batches = AugmentedBatches(images, masks, 4, seed=1, **SIZES)
    checkpoint = training.Checkpoint(folder, batches, STEPS)
    checkpoint.CALIBRATION = 2
    done = checkpoint.restore(model)
    counter = CountDevices()
    model.fit(
        batches.starting(done * STEPS, seed=0),
        steps_per_epoch=STEPS,
        epochs=epochs,
        initial_epoch=done,
        validation_data=validation,
        validation_batch_size=4,
        callbacks=[counter, checkpoint],
        shuffle=False,
        verbose=0,
    )

keras.config.set_dtype_policy("float32")
keras.distribution.set_distribution(None)
best = unet(width=2, depth=1)
best.load_weights(checkpoint.folder / "best.weights.h5")
best.compile(loss=training.bce_dice_loss, metrics=[training.Dice()], jit_compile=reference.JIT)
scores = best.evaluate(*validation, batch_size=4, verbose=0, return_dict=True)
print(
    json.dumps({"devices": counter.found, "history": checkpoint.history, "on one device": scores})
)
