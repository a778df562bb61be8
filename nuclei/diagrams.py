"""Draw the architecture of an encoder-decoder network from the model itself."""

from collections import Counter
from dataclasses import dataclass, replace
from math import log2

import keras
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from .plots import BLUE, COLORS, GREY, style

SIDE = 512  # pixels of the square image whose way through the network gives the strides
HEIGHT = 1.4  # inches that stand for the side of the image
GAP = 0.47  # inches between one resolution and the next
ARROW = 0.57  # inches between a feature map and what a convolution makes of it
WIDTH = 0.045  # inches for each doubling of the channels
MARGIN = 1.1  # inches on the left for the resolutions
COMPUTED = {"facecolor": "#D6E8F5", "edgecolor": BLUE, "linewidth": 1}
COPY = {"facecolor": "white", "linewidth": 1, "linestyle": (0, (2, 1.5))}

WORDS = {
    "Add": "addition",
    "BatchNormalization": "batch normalisation",
    "Concatenate": "copy and concatenation",
    "Conv2D": "convolution",
    "Conv2DTranspose": "up-convolution",
    "DepthwiseConv2D": "depthwise convolution",
    "MaxPooling2D": "max-pooling",
    "ReLU": "ReLU",
    "UpSampling2D": "up-sampling",
}


@dataclass(frozen=True)
class FeatureMap:
    """A feature map and how it is made.

    Attributes
    ----------
    operation : str
        What makes it, e.g. "3 × 3 convolution + batch normalisation + ReLU".
    stride : int
        Side of the image divided by the side of the map.
    channels : int
    sources : tuple of int
        The maps from which it is made, by their place in the list of all; none for the image.
    layers : tuple of str
        Names of the layers that make it, first to last.
    times : int
        How often the operation is applied in a row.
    """

    operation: str
    stride: int
    channels: int
    sources: tuple
    layers: tuple
    times: int = 1


def feature_maps(model):
    """List the feature maps of a network in the order in which they are computed.

    Normalisation, activation and other layers that keep the shape belong to the map that
    they change. Equal operations in a row make one map, unless one between is used elsewhere.

    Parameters
    ----------
    model : keras.Model
        A functional model with one input of shape (B, H, W, C).

    Returns
    -------
    list of FeatureMap
    """
    outputs = [keras.tree.flatten(operation.output)[0] for operation in model.operations]
    shape = (1, SIDE, SIDE, model.inputs[0].shape[-1])
    shapes = keras.Model(model.inputs, outputs).compute_output_shape(shape)
    maps, made = [], {}
    for operation, (_, height, _, channels) in zip(model.operations, shapes, strict=True):
        inputs = [id(tensor) for tensor in keras.tree.flatten(operation.input)]
        sources = tuple(made[tensor] for tensor in inputs if tensor in made)
        new = FeatureMap(
            _phrase(operation), round(SIDE / height), channels, sources, (operation.name,)
        )
        old = maps[sources[0]] if len(sources) == 1 else None
        if old and _shape(old) == _shape(new) and not hasattr(operation, "kernel_size"):
            words = [old.operation]
            if type(operation).__name__ in WORDS:
                words.append(new.operation)
            layers = old.layers + new.layers
            maps[sources[0]] = replace(old, operation=" + ".join(words), layers=layers)
            index = sources[0]
        else:
            index = len(maps)
            maps.append(new)
        made |= {id(tensor): index for tensor in keras.tree.flatten(operation.output)}
    return _merge(maps)


def _shape(feature_map):
    return feature_map.stride, feature_map.channels


def _phrase(operation):
    kind = type(operation).__name__
    size = getattr(operation, "kernel_size", getattr(operation, "pool_size", ()))
    phrase = " × ".join(map(str, size)) + " " + WORDS.get(kind, kind)
    activation = getattr(getattr(operation, "activation", None), "__name__", "linear")
    return phrase.strip() + ("" if activation == "linear" else f" + {activation}")


def _merge(maps):
    uses = Counter(source for one in maps for source in one.sources)
    merged, place = [], []
    for one in maps:
        sources = tuple(place[source] for source in one.sources)
        old = merged[sources[0]] if len(sources) == 1 else None
        repeats = old and (old.operation, _shape(old)) == (one.operation, _shape(one))
        if repeats and uses[one.sources[0]] == 1:
            layers = old.layers + one.layers
            merged[sources[0]] = replace(old, layers=layers, times=old.times + 1)
            place.append(sources[0])
        else:
            place.append(len(merged))
            merged.append(replace(one, sources=sources))
    return merged


@style()
def architecture(model, name=None):
    """Draw a network as the U of its feature maps.

    One row for each resolution: an arrow down or up leads to another one. The copy that a
    skip connection brings stands beside the map that it is concatenated with.

    Parameters
    ----------
    model : keras.Model
        A functional model with one input of shape (B, H, W, C), whose only branches are skip
        connections.
    name : str, optional
        How the title calls the network; `model.name` by default.

    Returns
    -------
    Figure
    """
    maps = feature_maps(model)
    rows, columns = _rows(maps), _columns(maps)
    colors = dict.fromkeys(one.operation for one in maps if one.sources)
    colors = dict(zip(colors, COLORS, strict=False))
    left, right = -MARGIN, max(end for _, end in columns) + 0.3
    bottom, top = min(rows.values()) - 0.35, HEIGHT / 2 + 0.25

    figure = Figure(figsize=(max(right - left, 8), top - bottom + 1.1))
    figure.suptitle(f"{name or model.name}: {model.count_params():,} parameters")
    axis = figure.subplots()
    axis.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    axis.set_axis_off()
    for stride, y in rows.items():
        half = HEIGHT / stride / 2
        axis.fill_between((-0.12, right), y - half, y + half, color="#F4F4F4", lw=0)
        label = "H × W" if stride == 1 else f"H/{stride} × W/{stride}"
        axis.text(-0.2, y, label, ha="right", va="center", color=GREY)

    joined = {max(one.sources) for one in maps if _joins(one, maps)}
    for index, (one, (start, end)) in enumerate(zip(maps, columns, strict=True)):
        y, half = rows[one.stride], HEIGHT / one.stride / 2
        parts = [one.channels]
        if _joins(one, maps):
            parts = [maps[source].channels for source in one.sources]
            copied = columns[max(one.sources)][0] - start
            axis.add_patch(Rectangle((start, y - half), copied, 2 * half, **COPY, edgecolor=colors[one.operation]))
        else:
            axis.add_patch(Rectangle((start, y - half), end - start, 2 * half, **COMPUTED))
        # Channels stand over the block, or under it where an arrow comes from or goes to above.
        neighbours = [maps[source] for source in one.sources]
        neighbours += [other for other in maps if index in other.sources]
        under = any(other.stride < one.stride for other in neighbours)
        if index not in joined:
            axis.text(
                (start + end) / 2, y + (-half - 0.06 if under else half + 0.05),
                " + ".join(map(str, parts)), ha="center", va="top" if under else "bottom",
            )  # fmt: skip
        for source in one.sources:
            look = {"arrowstyle": "-|>", "color": colors[one.operation], "lw": 1.8}
            look |= {"shrinkA": 3, "shrinkB": 2, "mutation_scale": 11}
            if maps[source].stride != one.stride:
                x, down = (start + end) / 2, maps[source].stride < one.stride
                far = HEIGHT / maps[source].stride / 2
                tail = (x, rows[maps[source].stride] + (-far if down else far))
                axis.annotate("", (x, y + (half if down else -half)), tail, arrowprops=look)
            elif columns[source][1] <= start:
                axis.annotate("", (start, y), (columns[source][1], y), arrowprops=look)
                if one.times > 1:
                    x = (columns[source][1] + start) / 2
                    axis.text(x, y + 0.06, f"×{one.times}", ha="center", va="bottom")
    for index in (0, -1):
        below = -HEIGHT / maps[index].stride / 2 - 0.06
        axis.text(sum(columns[index]) / 2, below, maps[index].layers[0], ha="center", va="top")
    keys = [
        Line2D([], [], color=color, marker=">", ms=5, lw=1.8, label=operation)
        for operation, color in colors.items()
    ]
    keys.append(Patch(**COMPUTED, label="feature map and its number of channels (width: log scale)"))
    figure.legend(handles=keys, loc="outside lower center", ncols=2)
    return figure


def _joins(one, maps):
    """Whether a map only sets others side by side."""
    return len(one.sources) > 1 and one.channels == sum(maps[i].channels for i in one.sources)


def _rows(maps):
    """Height of the centre of each row, in inches, by stride."""
    rows, y = {}, HEIGHT / 2 + GAP
    for stride in sorted({one.stride for one in maps}):
        y -= GAP + HEIGHT / stride / 2
        rows[stride] = y
        y -= HEIGHT / stride / 2
    return rows


def _columns(maps):
    """Start and end of each map in inches from the left."""
    columns = []
    for one in maps:
        width = WIDTH * log2(2 * one.channels)
        main = max(one.sources, default=None)
        if main is None:
            start = 0
        elif _joins(one, maps):
            start, end = columns[main]
            copies = [columns[source] for source in one.sources if source != main]
            start -= sum(stop - begin for begin, stop in copies)
            width = end - start
        elif maps[main].stride == one.stride:
            start = columns[main][1] + ARROW
        else:
            start = (sum(columns[main]) - width) / 2
        columns.append((start, start + width))
    return columns
