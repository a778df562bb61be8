"""Draw a network of parallel branches as a flow chart of its parts, from the model itself."""

from dataclasses import dataclass

import keras
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from .networks.strides import SIDE, strides
from .plots import BLUE, GREY, style

WIDTH, HEIGHT = 1.18, 0.72  # of a box, in inches
ACROSS, DOWN = 1.42, 0.86  # from box to box


@dataclass
class Part:
    """Layers that are drawn as one box.

    Attributes
    ----------
    label : str
    stride : int
        Side of the image divided by the side of what the part gives.
    channels : int
    sources : set of str
        Labels of the parts whose output it takes.
    layers : list of str
        Their names, in the order of computation.
    """

    label: str
    stride: int
    channels: int
    sources: set
    layers: list


def parts(model, names, rest):
    """Divide a network into parts.

    Parameters
    ----------
    model : keras.Model
        A functional model with one input of shape (B, H, W, C).
    names : dict of str to str
        For the beginning of the name of a layer the label of its part; the first that fits counts.
    rest : str
        What the other layers are called. They make one part for each stride.

    Returns
    -------
    list of Part
        In the order of computation.
    """
    maps = strides(model)
    found, part_of = {}, {}
    for layer in model.layers:
        stride, channels = maps[layer.name]
        fitting = [label for start, label in names.items() if layer.name.startswith(start)]
        label = [*fitting, f"{rest},\nstride {stride}"][0]
        part = found.setdefault(label, Part(label, stride, channels, set(), []))
        part.stride, part.channels = stride, channels
        part.layers.append(layer.name)
        sources = {part_of.get(id(tensor), label) for tensor in keras.tree.flatten(layer.input)}
        part.sources |= sources - {label}
        part_of[id(layer.output)] = label
    return list(found.values())


@style()
def flowchart(model, names, rest, title):
    """Draw the parts of a network from left to right.

    Parameters
    ----------
    model, names, rest
        As for `parts`.
    title : str
        Title of the figure; the number of parameters is added.

    Returns
    -------
    Figure
    """
    boxes = parts(model, names, rest)
    places = _places(boxes)
    columns = [x for x, _ in places.values()]
    rows = [y for _, y in places.values()]
    size = (max(columns) * ACROSS + WIDTH + 0.3, (max(rows) - min(rows)) * DOWN + HEIGHT + 0.8)
    figure = Figure(figsize=size)
    figure.suptitle(f"{title}: {model.count_params():,} parameters")
    axis = figure.subplots()
    axis.set(xlim=(-0.15, size[0] - 0.15), aspect="equal")
    axis.set(ylim=(min(rows) * DOWN - HEIGHT / 2 - 0.1, max(rows) * DOWN + HEIGHT / 2 + 0.1))
    axis.set_axis_off()
    for box in boxes:
        x, y = places[box.label][0] * ACROSS, places[box.label][1] * DOWN
        look = {"boxstyle": "round,pad=0,rounding_size=0.06", "facecolor": "#D6E8F5"}
        axis.add_patch(FancyBboxPatch((x, y - HEIGHT / 2), WIDTH, HEIGHT, edgecolor=BLUE, **look))
        side = "H × W" if box.stride == 1 else f"H/{box.stride} × W/{box.stride}"
        axis.text(x + WIDTH / 2, y - 0.05, box.label, ha="center", va="bottom", size=8)
        shape = f"{side} × {box.channels}" if box.stride < SIDE else f"1 × 1 × {box.channels}"
        axis.text(x + WIDTH / 2, y - 0.1, shape, ha="center", va="top", size=7.5, color=GREY)
        for source in sorted(box.sources):  # the same file from every run
            _arrow(axis, places[source], places[box.label])
    return figure


def _arrow(axis, start, end):
    """Lead from box to box, around what lies between them."""
    look = {"arrowstyle": "-|>", "color": GREY, "lw": 1.2, "shrinkA": 1, "shrinkB": 1}
    x, y = start[0] * ACROSS + WIDTH, start[1] * DOWN
    if end[0] - start[0] > 1:  # down, then along
        x, y = x - WIDTH / 2, y - HEIGHT / 2
        look["connectionstyle"] = "angle,angleA=-90,angleB=0,rad=0"
    axis.annotate("", (end[0] * ACROSS, end[1] * DOWN), (x, y), arrowprops=look)


def _places(boxes):
    """Column and row of each part: as late as its first user allows, branches above each other."""
    column = {}
    for box in boxes:
        column[box.label] = 1 + max((column[source] for source in box.sources), default=-1)
    waiting = set()
    for box in boxes:
        users = [column[other.label] for other in boxes if box.label in other.sources]
        if users and min(users) > column[box.label] + 1:
            column[box.label] = min(users) - 1
            waiting.add(box.label)
    places = {}
    for number in set(column.values()):
        members = [label for label in column if column[label] == number and label not in waiting]
        for i, label in enumerate(members):
            places[label] = (number, (len(members) - 1) / 2 - i)
    lowest = min(row for _, row in places.values())
    return places | {label: (column[label], lowest - 1) for label in waiting}
