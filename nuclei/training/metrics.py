"""Metrics that Keras shows during training; scores of whole images are in `nuclei.scores`."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("nuclei")
class Dice(keras.metrics.Metric):
    """Dice of the thresholded mask, pooled over all pixels: 2 TP / (2 TP + FP + FN).

    It equals the pixel-wise F1 of the class nucleus, so correct background adds nothing. Only the
    first channel is used.

    Parameters
    ----------
    threshold : float
        A pixel counts as nucleus from this probability up.
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
        scale = 1 / 256**2  # count patches instead of pixels
        self.overlap.assign_add(ops.sum(mask * predicted) * scale)
        self.total.assign_add((ops.sum(mask) + ops.sum(predicted)) * scale)

    def result(self):
        """Return the Dice of all batches since the last reset; 0 while there are no nuclei."""
        return 2 * self.overlap / (self.total + keras.config.epsilon())

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "threshold": self.threshold}


@keras.saving.register_keras_serializable("nuclei")
class Accuracy(keras.metrics.MeanMetricWrapper):
    """Share of pixels, background included, on the correct side of a probability of 0.5.

    Only the first channel is used. This is a class because Keras creates the variables of a plain
    function within the first training step, which TensorFlow then has to trace twice.

    Parameters
    ----------
    name : str
    """

    def __init__(self, name="accuracy", **options):
        super().__init__(_accuracy_of_images, name=name, **options)

    def get_config(self):
        """Return the arguments of the constructor."""
        return {"name": self.name, "dtype": self.dtype}


def _accuracy_of_images(mask, probability):
    """Compare masks and probabilities of shape (B, H, W, C); one value for each image."""
    nucleus = ops.cast(mask[..., 0], "float32") >= 0.5
    right = ops.equal(nucleus, probability[..., 0] >= 0.5)
    return ops.mean(ops.cast(right, "float32"), axis=(1, 2))
