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


def deeplabv3(weights, features, low_level, finer, rates, decoder):
    """Probability (B, H, W, 1) from what the backbone gives, as figure 2 of v3+ draws it.

    `weights` are the arrays of each layer by its name; maps of `low_level` are `finer` times as
    fine as those of `features`.
    """

    def unit(x, name, number=""):
        x = convolve(x, *weights[f"{name}_convolution{number}"])
        return np.maximum(normalize(x, *weights[f"{name}_normalization{number}"]), 0)

    def separable(x, name, rate):
        x = convolve_depthwise(x, *weights[f"{name}_depthwise"], rate)
        x = np.maximum(normalize(x, *weights[f"{name}_depthwise_normalization"]), 0)
        return unit(x, name)

    x = features.astype(np.float64)
    branches = [unit(x, "aspp_point")]
    branches += [
        separable(x, f"aspp_atrous{i}", rate * 4 // finer) for i, rate in enumerate(rates, 1)
    ]
    image = unit(x.mean((1, 2), keepdims=True), "aspp_image")
    branches.append(np.broadcast_to(image, branches[0].shape))
    projection = [*weights["projection_aspp"], *weights["projection_image"]]
    x = convolve(np.concatenate(branches, axis=-1), np.concatenate(projection, axis=2))
    x = np.maximum(normalize(x, *weights["projection_normalization"]), 0)
    if decoder:
        x = upsample(x, finer)
        x = np.concatenate([x, unit(low_level, "decoder_low_level")], axis=-1)
        x = separable(separable(x, "decoder_convolution1", 1), "decoder_convolution2", 1)
    x = convolve(x, *weights["logits"])
    return sigmoid(upsample(x, 4 if decoder else 4 * finer))


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


def convolve_depthwise(x, kernel, rate):
    """Cross-correlate each channel with its kernel (3, 3, C, 1), whose pixels lie `rate` apart."""
    height, width = x.shape[1:3]
    x = np.pad(x, [(0, 0), (rate, rate), (rate, rate), (0, 0)])
    return sum(
        x[:, i * rate : i * rate + height, j * rate : j * rate + width] * kernel[i, j, :, 0]
        for i in range(3)
        for j in range(3)
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


def upsample(x, factor=2):
    """Enlarge bilinearly: values lie at the centres of pixels, and the outermost go on."""
    for axis in (1, 2):
        size = x.shape[axis]
        place = np.clip((np.arange(size * factor) + 0.5) / factor - 0.5, 0, size - 1)
        low = np.floor(place).astype(int)
        share = (place - low).reshape([-1 if i == axis else 1 for i in range(4)])
        high = np.minimum(low + 1, size - 1)
        x = (1 - share) * x.take(low, axis) + share * x.take(high, axis)
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
