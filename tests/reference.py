"""A UNet in plain NumPy, written from the paper and the layout of the `.h5` file alone."""

from itertools import count

import h5py
import keras
import numpy as np

JIT = "auto" if keras.backend.backend() == "jax" else False
"""What compiles the small models of the tests in the least time."""


def read(path):
    """Read `.weights.h5`: arrays of each layer, by kind of layer, in the order of the network."""
    with h5py.File(path) as file:
        layers = file["layers"]
        return {
            kind: [[variables[str(i)][()] for i in range(len(variables))] for variables in found]
            for kind in ("conv2d", "batch_normalization", "conv2d_transpose")
            if (found := list(_numbered(layers, kind)))
        }


def unet(weights, image):
    """Probability (B, H, W, 1) of images (B, H, W, 3) with 0..255, computed in float64."""
    convolutions, normalizations, doublings = (
        iter(weights[kind]) for kind in ("conv2d", "batch_normalization", "conv2d_transpose")
    )

    def two_convolutions(x):
        for _ in range(2):
            x = normalize(convolve(x, *next(convolutions)), *next(normalizations))
            x = np.maximum(x, 0)
        return x

    x = image / 127.5 - 1
    skips = []
    for _ in weights["conv2d_transpose"]:
        skips.append(two_convolutions(x))
        x = pool(skips[-1])
    x = two_convolutions(x)
    for skip in reversed(skips):
        x = two_convolutions(np.concatenate([skip, double(x, *next(doublings))], axis=-1))
    return 1 / (1 + np.exp(-convolve(x, *next(convolutions))))


def convolve(x, kernel, bias=0.0):
    """Cross-correlate with a kernel (K, K, C, D), K odd, over zeros beyond the border."""
    size = len(kernel)
    height, width = x.shape[1:3]
    x = np.pad(x, [(0, 0), (size // 2, size // 2), (size // 2, size // 2), (0, 0)])
    return bias + sum(
        x[:, i : i + height, j : j + width] @ kernel[i, j].astype(np.float64)
        for i in range(size)
        for j in range(size)
    )


def normalize(x, gamma, beta, mean, variance):
    """Batch normalisation at inference."""
    return gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta


def pool(x):
    """Maximum of each 2 x 2 window."""
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))


def double(x, kernel, bias):
    """Transposed convolution, kernel (2, 2, D, C), stride 2: each pixel becomes 2 x 2."""
    batch, height, width, _ = x.shape
    blocks = np.einsum("bhwc,ijdc->bhiwjd", x, kernel.astype(np.float64))
    return blocks.reshape(batch, 2 * height, 2 * width, -1) + bias


def fill(model, seed=0):
    """Give every weight of a Keras model a random value that keeps activations about 1."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if variable.name in ("gamma", "moving_variance"):
            value = rng.uniform(0.5, 1.5, variable.shape)
        elif variable.name == "kernel":
            value = rng.normal(0, np.sqrt(2 / np.prod(variable.shape[:-1])), variable.shape)
        else:
            value = rng.normal(0, 0.1, variable.shape)
        variable.assign(value)


def _numbered(layers, kind):
    """Groups `kind`, `kind_1`, `kind_2`, ...: Keras counts the layers of a kind."""
    for i in count():
        name = f"{kind}_{i}" if i else kind
        if name not in layers:
            return
        yield layers[name]["vars"]
