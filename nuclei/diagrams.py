"""Draw the architecture of an encoder-decoder network from the model itself."""

from collections import Counter
from dataclasses import dataclass, replace
from itertools import cycle
from math import log2

import keras
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.transforms import Bbox

from .networks.strides import strides
from .plots import BLUE, COLORS, GREY, style

# In inches
HEIGHT = 1.4  # of a feature map as large as the image
WIDTH = 0.04  # of a feature map, for each doubling of its channels
ARROW = 0.6  # between maps of one resolution
GAP = 0.47  # between the rows of two resolutions
MARGIN = 1.1  # on the left, for the names of the rows

COMPUTED = {"facecolor": "#D6E8F5", "edgecolor": BLUE, "linewidth": 1}
HANDED_OVER = {"color": GREY, "lw": 1.2, "linestyle": (0, (4, 2))}
COPIED = {"facecolor": "white", "linewidth": 1, "linestyle": (0, (2, 1.5))}

WORDS = {
    "Add": "addition",
    "BatchNormalization": "batch normalisation",
    "BilinearUpSampling2D": "up-sampling",
    "Concatenate": "copy and concatenation",
    "Conv2D": "convolution",
    "Conv2DTranspose": "up-convolution",
    "InputLayer": "input",
    "MaxPooling2D": "max-pooling",
    "MaxPooling2DWithIndices": "2 × 2 max-pooling with indices",
    "MaxUnpooling2D": "2 × 2 unpooling",
    "ReLU": "ReLU",
}
"""Keras layers as the legend calls them; others keep the name of their class."""


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
    indices : int, optional
        The map whose pooling says where the values go, for unpooling.
    """

    operation: str
    stride: int
    channels: int
    sources: tuple
    layers: tuple
    times: int = 1
    indices: int | None = None


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
    found = strides(model)
    maps, made, located = [], {}, {}
    for operation in model.operations:
        inputs = [id(tensor) for tensor in keras.tree.flatten(operation.input)]
        sources = tuple(made[tensor] for tensor in inputs if tensor in made)
        indices = next((located[tensor] for tensor in inputs if tensor in located), None)
        (stride, channels), layers = found[operation.name], (operation.name,)
        new = FeatureMap(_phrase(operation), stride, channels, sources, layers, indices=indices)
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
        features, *positions = keras.tree.flatten(operation.output)
        made[id(features)] = index
        located |= {id(tensor): index for tensor in positions}
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
            indices = None if one.indices is None else place[one.indices]
            merged.append(replace(one, sources=sources, indices=indices))
    return merged


@style()
def architecture(model, name=None):
    """Draw a network as the U of its feature maps.

    One row for each resolution: an arrow down or up leads to another one. The copy that a
    skip connection brings stands, dashed, beside the map that it is concatenated with. Where
    pooling indices go, a dashed arrow does.

    Parameters
    ----------
    model : keras.Model
        A functional model with one input of shape (B, H, W, C), whose only branches are skip
        connections and pooling indices.
    name : str, optional
        How the title calls the network; `model.name` by default.

    Returns
    -------
    Figure
    """
    maps = feature_maps(model)
    boxes = _boxes(maps)
    operations = dict.fromkeys(one.operation for one in maps if one.sources)
    colors = dict(zip(operations, cycle(COLORS), strict=False))
    around = Bbox.union(boxes)
    left, right = around.x0 - MARGIN, around.x1 + 0.3
    bottom, top = around.y0 - 0.35, around.y1 + 0.25

    figure = Figure(figsize=(max(right - left, 8), top - bottom + 1.1))
    figure.suptitle(f"{name or model.name}: {model.count_params():,} parameters")
    axis = figure.subplots()
    axis.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    axis.set_axis_off()
    for stride, box in {one.stride: box for one, box in zip(maps, boxes, strict=True)}.items():
        axis.fill_between((-0.12, right), box.y0, box.y1, color="#F4F4F4", lw=0)
        label = "H × W" if stride == 1 else f"H/{stride} × W/{stride}"
        axis.text(-0.2, _middle(box)[1], label, ha="right", va="center", color=GREY)
    for index in range(len(maps)):
        _draw(axis, maps, boxes, index, colors)
    for one, box in (maps[0], boxes[0]), (maps[-1], boxes[-1]):
        axis.text(_middle(box)[0], box.y0 - 0.06, one.layers[0], ha="center", va="top")

    keys = [
        Line2D([], [], color=color, marker=">", ms=5, lw=1.8, label=operation)
        for operation, color in colors.items()
    ]
    if any(one.indices is not None for one in maps):
        keys.append(Line2D([], [], **HANDED_OVER, label="indices: where each maximum was"))
    keys.append(Patch(**COMPUTED, label="feature map with its channels (width: log scale)"))
    figure.legend(handles=keys, loc="outside lower center", ncols=2)
    return figure


def _draw(axis, maps, boxes, index, colors):
    """Draw one feature map, its channels, and the arrows that lead to it."""
    one, box = maps[index], boxes[index]
    users = [other for other in maps if index in other.sources]
    look, end, channels = COMPUTED, box.x1, str(one.channels)
    if _joins(one, maps):  # what it joins the copies to is drawn already
        look, end = COPIED | {"edgecolor": colors[one.operation]}, boxes[max(one.sources)].x0
        channels = " + ".join(str(maps[source].channels) for source in one.sources)
    axis.add_patch(Rectangle(box.min, end - box.x0, box.height, **look))
    x, y = _middle(box)
    if not any(_joins(user, maps) and index == max(user.sources) for user in users):
        # An arrow that comes from above or goes there needs the place over the block.
        under = any(other.stride < one.stride for other in [maps[i] for i in one.sources] + users)
        place = {"y": box.y0 - 0.06, "va": "top"} if under else {"y": box.y1 + 0.05}
        axis.text(x, s=channels, ha="center", **place)

    arrow = {"arrowstyle": "-|>", "color": colors.get(one.operation), "lw": 1.8}
    arrow |= {"shrinkA": 3, "shrinkB": 2, "mutation_scale": 11}
    for other in (boxes[source] for source in one.sources):
        if other.x1 <= box.x0 and other.y0 < y < other.y1:
            axis.annotate("", (box.x0, y), (other.x1, y), arrowprops=arrow)
            if one.times > 1:
                axis.text((other.x1 + box.x0) / 2, y + 0.06, f"×{one.times}", ha="center")
        elif other.y0 > box.y1:
            axis.annotate("", (x, box.y1), (x, other.y0), arrowprops=arrow)
        elif other.y1 < box.y0 and other.x0 <= x <= other.x1:
            axis.annotate("", (x, box.y0), (x, other.y1), arrowprops=arrow)
        elif other.y1 < box.y0:
            arrow["connectionstyle"] = "angle,angleA=0,angleB=90,rad=0"  # along, then up
            axis.annotate("", (x, box.y0), (other.x1, _middle(other)[1]), arrowprops=arrow)
    if one.indices is not None:
        pooled = boxes[maps[one.indices].sources[0]]
        look = HANDED_OVER | {"arrowstyle": "-|>", "shrinkA": 3, "shrinkB": 2}
        axis.annotate("", (box.x0, y), (pooled.x1, y), arrowprops=look)


def _boxes(maps):
    """Lay out the maps, in inches from the top left corner of the first."""
    middles, y = {}, GAP
    for stride in sorted({one.stride for one in maps}):
        middles[stride] = y - GAP - HEIGHT / stride / 2
        y = middles[stride] - HEIGHT / stride / 2
    boxes, ends = [], {}
    for one in maps:
        width = WIDTH * log2(2 * one.channels)
        start = 0
        if one.sources:
            latest = max(one.sources)
            if _joins(one, maps):
                width = sum(boxes[source].width for source in one.sources)
                start = boxes[latest].x1 - width
            elif one.stride == maps[latest].stride:
                start = boxes[latest].x1 + ARROW
            else:
                above_or_below = _middle(boxes[latest])[0] - width / 2
                start = max(above_or_below, ends.get(one.stride, -ARROW) + ARROW)
        bottom = middles[one.stride] - HEIGHT / one.stride / 2
        boxes.append(Bbox.from_bounds(start, bottom, width, HEIGHT / one.stride))
        ends[one.stride] = start + width
    return boxes


def _middle(box):
    return (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2


def _joins(one, maps):
    """Whether a map only sets others side by side."""
    return len(one.sources) > 1 and one.channels == sum(maps[i].channels for i in one.sources)
