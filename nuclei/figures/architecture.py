"""Draw the architecture of any network of this package, from the Keras model itself."""

import re
from dataclasses import dataclass, field
from textwrap import wrap

import keras
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.transforms import Bbox

from ..networks.encoders import ENCODERS
from ..networks.strides import SIDE, strides
from .style import BLUE, GREEN, GREY, ORANGE, PURPLE, figure_style

PARTS = {
    "image|scale|pad": ("image", 0),
    r"encoder(\d+)_.*": (r"encoder \1", 0),
    "bottleneck_.*": ("bottleneck", 1),
    r"decoder(\d+)_.*": (r"decoder \1", 2),
    "aspp_point_.*": ("ASPP, 1 × 1", 1),
    r"aspp_atrous(\d+)_.*": (r"ASPP, atrous \1", 1),
    "aspp_image_.*|projection_image": ("ASPP, whole image", 1),
    "aspp_concatenate|projection.*": ("ASPP, projection", 2),
    "decoder_low_level_.*": ("low-level features", 1),
    "decoder_.*": ("decoder", 2),
    "logits|up|nucleus": ("nucleus", 2),
    ".+": ("{encoder}, stride {stride}", 0),
}
"""Block and column of a layer, by the first pattern that fits its name."""

WORDS = {"BatchNormalization": "normalisation", "Conv2DTranspose": "up-convolution", "ReLU": "ReLU"}
"""Keras layers as the figure calls them; of others the name of the class is split into words."""

LETTERS, WIDTH, LINE, ACROSS, DOWN = 44, 2.85, 0.15, 0.45, 0.24  # in a line; then inches
LOOKS = {"features": (GREY, "-"), "skip connection": (BLUE, "--"), "pooling indices": (PURPLE, ":")}


@dataclass
class Block:
    """Layers that are drawn as one box.

    Attributes
    ----------
    name : str
    column : int
        0 on the way down, 1 between, 2 on the way up.
    layers : list of keras.Layer
    stride, channels : int
        The block gives a map of shape (B, H / stride, W / stride, channels).
    sources : dict of str to str
        Name of each block from which it takes something, and what: a key of `LOOKS`.
    """

    name: str
    column: int
    layers: list = field(default_factory=list)
    stride: int = 1
    channels: int = 0
    sources: dict = field(default_factory=dict)


def blocks(model):
    """Divide a network into blocks, and an encoder of `keras.applications` by its strides.

    Parameters
    ----------
    model : keras.Model
        A network of this package, with one input of shape (B, H, W, C).

    Returns
    -------
    list of Block
        In the order of computation. Every layer belongs to exactly one.
    """
    maps, found, made = strides(model), {}, {}
    encoders = (kind.build.__name__ for kind in ENCODERS.values() if kind.features in maps)
    encoder = next(encoders, model.name)
    for layer in model.operations:
        stride, channels = maps[layer.name]
        # A pooling opens the next stage of the encoder, and the last one the bottleneck.
        stage = re.sub(r"encoder(\d+)_pool", lambda m: f"encoder{int(m[1]) + 1}_pool", layer.name)
        stage = stage if stage in maps else "bottleneck_pool"
        pattern, (name, column) = next(p for p in PARTS.items() if re.fullmatch(p[0], stage))
        name = re.sub(pattern, name, stage).format(encoder=encoder, stride=stride)
        block = found.setdefault(name, Block(name, column))
        block.layers.append(layer)
        block.stride, block.channels = stride, channels
        for source, what in [made[id(x)] for x in keras.tree.flatten(layer.input) if id(x) in made]:
            across = source.stride == stride and source.column < column and what == "features"
            if source is not block:
                skips = across and "ASPP" not in source.name + name  # whose branches lie in a row
                block.sources[source.name] = "skip connection" if skips else what
        features, *indices = keras.tree.flatten(layer.output)
        made[id(features)] = block, "features"
        made |= {id(x): (source, "pooling indices") for x in indices}
    return list(found.values())


@figure_style()
def architecture(model, title=None):
    """Draw a network: the encoder down, the decoder up, what is of one stride side by side.

    Parameters
    ----------
    model : keras.Model
        A network of this package, with one input of shape (B, H, W, C).
    title : str, optional
        What to call the network, before its parameters; `model.name` by default.

    Returns
    -------
    Figure
    """
    found = {block.name: block for block in blocks(model)}
    boxes = _boxes(found.values())
    around = Bbox.union(list(boxes.values())).padded(0.05)
    figure = Figure(figsize=(around.width + 0.1, around.height + 0.85))
    figure.suptitle(f"{title or model.name}: {model.count_params():,} parameters")
    axis = figure.add_subplot(xlim=around.intervalx, ylim=around.intervaly, aspect="equal")
    axis.set_axis_off()
    keys = {}
    for name, block in found.items():
        _draw_box(axis, boxes[name], block)
        for source, what in block.sources.items():
            look = dict(zip(("color", "ls"), LOOKS[what], strict=True)) | {"lw": 1.5}
            (keys[what],) = axis.plot([], [], label=what, **look)
            deeper = block.stride - found[source].stride
            _draw_arrow(axis, boxes[source], boxes[name], deeper, look)
    figure.legend(handles=keys.values(), loc="outside lower center", ncols=len(keys))
    return figure


def _boxes(found):
    """Lay out a box for each block, in inches: rows by stride, in three columns."""
    boxes, top = {}, 0
    for stride in sorted({block.stride for block in found}):
        row = [block for block in found if block.stride == stride]
        columns = [[block for block in row if block.column == number] for number in range(3)]
        columns[2].reverse()  # the way up
        height = (2.8 + max(len(_lines(block)) for block in row)) * LINE
        step, most = height + DOWN, max(map(len, columns))
        for column in columns:
            for i, block in enumerate(column, start=1):
                x, y = block.column * (WIDTH + ACROSS), top - (i + (most - len(column)) / 2) * step
                boxes[block.name] = Bbox.from_bounds(x, y, WIDTH, height)
        top -= most * step
    return boxes


def _lines(block):
    """Say what the layers of a block do, or how many there are in an encoder of Keras."""
    if block.name.endswith(f"stride {block.stride}"):
        convolutions = sum(hasattr(layer, "kernel_size") for layer in block.layers)
        return [f"{len(block.layers)} layers, {convolutions} of them convolutions"]
    text = ", ".join(_phrase(layer).replace(" ", "\xa0") for layer in block.layers)
    again = r"(?<![^ ])(.+?)((?:, \1)+)(?![^,])"  # what comes several times in a row
    text = re.sub(again, lambda m: f"{1 + m[2].count(m[1])} × ({m[1]})".replace(" ", "\xa0"), text)
    # Such a group breaks only where it is longer than a line.
    text = re.sub(f"[^ ]{{{LETTERS + 1},}}", lambda m: m[0].replace(",\xa0", ", "), text)
    return wrap(text, LETTERS, break_on_hyphens=False)


def _phrase(layer):
    kind = type(layer).__name__
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", kind.replace("2D", "").replace("Conv", "Convolution"))
    size = getattr(layer, "kernel_size", getattr(layer, "pool_size", ()))
    rate = getattr(layer, "dilation_rate", (1,))[0]
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    phrase = f"{' × '.join(map(str, size))} {WORDS.get(kind, words.lower())}"
    phrase += f" at rate {rate}" * (rate > 1) + f", {activation}" * (activation != "linear")
    return phrase.strip().removeprefix("activation, ")


def _draw_box(axis, box, block):
    color, style = (BLUE, ORANGE, GREEN)[block.column], "round,pad=0,rounding_size=0.06"
    face = 1 - 0.12 * (1 - np.array(to_rgb(color)))  # opaque, as an arrow may pass behind the box
    axis.add_patch(FancyBboxPatch(box.min, *box.size, style, ec=color, fc=face, zorder=2))
    scale = "" if block.stride == 1 else f"/{block.stride}"
    sides = "1 × 1" if block.stride == SIDE else f"H{scale} × W{scale}"
    lines = _lines(block)
    x, y = box.intervalx.mean(), box.intervaly.mean() + (1.8 + len(lines)) * LINE / 2
    text = {"ha": "center", "va": "top", "size": 8.5}
    axis.text(x, y, block.name, weight="bold", **text)
    axis.text(x, y - LINE, f"{sides} × {block.channels}", color=GREY, **text)
    axis.text(x, y - 2 * LINE, "\n".join(lines), **text)


def _draw_arrow(axis, start, end, deeper, look):
    """Lead from box to box: straight along a column or a row, else around a corner."""
    look = look | {"arrowstyle": "-|>", "mutation_scale": 11, "shrinkA": 0, "shrinkB": 0}
    (x, y), (to_x, to_y) = ((box.intervalx.mean(), box.intervaly.mean()) for box in (start, end))
    tail, head = (start.x1, y), (end.x0, to_y)
    if x == to_x or deeper > 0:
        tail = x, start.y0 if to_y < y else start.y1
    if x == to_x or deeper < 0:
        head = to_x, end.y1 if to_y < y else end.y0
    if x != to_x and deeper:
        first, last = (-90, 0) if deeper > 0 else (0, 90)
        look["connectionstyle"] = f"angle,angleA={first},angleB={last},rad=0"
    axis.annotate("", head, tail, arrowprops=look, zorder=1)
