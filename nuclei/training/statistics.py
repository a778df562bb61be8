"""Batch normalisation statistics of averaged weights, which no training step has gathered."""

import keras


def recompute_statistics(model, batches, count):
    """Compute the batch normalisation statistics of a model anew, for the weights it has now.

    Statistics that were gathered for other weights do not fit an average of them (Izmailov et al.,
    "Averaging weights leads to wider optima and better generalization", UAI 2018, section 3.2).

    Parameters
    ----------
    model : keras.Model
        Changed in place; its weights stay.
    batches : AugmentedBatches
        Training data.
    count : int
        The first so many batches count, all equally.
    """
    layers = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for i in range(count):
        for layer in layers:
            layer.momentum = i / (i + 1)  # a running mean
        model(batches[i][0], training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
