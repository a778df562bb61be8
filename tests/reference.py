"""Networks in plain NumPy, written from the papers and the layout of the `.h5` file alone."""

from itertools import count

import h5py
import keras
import numpy as np

JIT = "auto" if keras.backend.backend() == "jax" else False
"""What compiles the small models of the tests in the least time."""

QUICKLY = {"jit_compile": JIT, "run_eagerly": keras.backend.backend() == "tensorflow"}
"""The same for a few steps of a network of many layers: tracing it would take a minute."""


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
    convolutions, normalizations = iter(weights["conv2d"]), iter(weights["batch_normalization"])
    doublings = iter(weights["conv2d_transpose"])

    def two_convolutions(x):
        for _ in range(2):
            x = convolution(x, convolutions, normalizations)
        return x

    x = image / 127.5 - 1
    skips = []
    for _ in weights["conv2d_transpose"]:
        skips.append(two_convolutions(x))
        x = pool_with_indices(skips[-1])[0]
    x = two_convolutions(x)
    for skip in reversed(skips):
        x = two_convolutions(np.concatenate([skip, double(x, *next(doublings))], axis=-1))
    return sigmoid(convolve(x, *next(convolutions)))


def segnet(weights, image, indices):
    """Probability (B, H, W, 1) of images (B, H, W, 3) with 0..255, computed in float64."""
    convolutions, normalizations = iter(weights["conv2d"]), iter(weights["batch_normalization"])
    x, positions = image / 127.5 - 1, []
    for times in (2, 2, 3, 3, 3):
        for _ in range(times):
            x = convolution(x, convolutions, normalizations)
        x, position = pool_with_indices(x)
        positions.append(position)
    for times in (3, 3, 3, 2, 2):
        x = unpool(x, positions.pop()) if indices else upsample(x)
        for _ in range(times):
            x = convolution(x, convolutions, normalizations)
    return sigmoid(convolve(x, *next(convolutions)))


def convolution(x, convolutions, normalizations):
    """The next convolution and batch normalisation, and ReLU."""
    return np.maximum(normalize(convolve(x, *next(convolutions)), *next(normalizations)), 0)


def sigmoid(x):
    """Logistic function."""
    return 1 / (1 + np.exp(-x))


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


def pool_with_indices(x):
    """Maximum of each 2 x 2 window, and its first position there: 0..3 in row-major order."""
    batch, height, width, channels = x.shape
    windows = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    windows = windows.transpose(0, 1, 3, 5, 2, 4).reshape(batch, height // 2, width // 2, -1, 4)
    return windows.max(-1), windows.argmax(-1)


def unpool(x, indices):
    """Put each value at its position in a 2 x 2 window of zeros."""
    batch, height, width, channels = x.shape
    larger = np.zeros((batch, 2 * height, 2 * width, channels), x.dtype)
    for (b, i, j, c), index in np.ndenumerate(indices):
        larger[b, 2 * i + index // 2, 2 * j + index % 2, c] = x[b, i, j, c]
    return larger


def upsample(x):
    """Double height and width bilinearly: each new pixel is 3/4 its own and 1/4 its neighbour."""
    for axis in (1, 2):
        x = np.moveaxis(x, axis, 0)
        before, after = np.concatenate([x[:1], x[:-1]]), np.concatenate([x[1:], x[-1:]])
        pairs = np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=1)
        x = np.moveaxis(pairs.reshape(-1, *x.shape[1:]), 0, axis)
    return x


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
