"""One visual style for every figure, charts drawn in it, and how they are saved."""

import io

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from PIL import Image

from . import files

# Okabe and Ito, "Color Universal Design", 2008: told apart with any colour vision.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, YELLOW, GREY = "#E69F00", "#56B4E9", "#F0E442", "#6E6E6E"
COLORS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
"""Of the curves of one figure, in this order."""

STYLE = {
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.linewidth": 0.8,
    "axes.prop_cycle": mpl.cycler(color=COLORS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "figure.dpi": 150,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "image.interpolation": "antialiased",
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "savefig.dpi": "figure",
    "xtick.color": GREY,
    "xtick.labelcolor": "black",
    "xtick.labelsize": 8,
    "ytick.color": GREY,
    "ytick.labelcolor": "black",
    "ytick.labelsize": 8,
}


def style():
    """Apply the style, as ``with style():`` or as the decorator ``@style()``."""
    return plt.rc_context(STYLE)


def save(figure, path, kilobytes=300):
    """Write a figure as PNG, whole or not at all, small enough to commit.

    Photographs of tissue shrink by a palette of 256 colours, and where that is not enough by
    fewer pixels.

    Parameters
    ----------
    figure : Figure
    path : str or Path
    kilobytes : float
        The largest file to write.

    Returns
    -------
    Path
        `path`, so that a notebook can show what was saved.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    dpi = figure.dpi
    while len(png := _png(figure, dpi)) > 1000 * kilobytes:
        dpi *= min(0.95, (1000 * kilobytes / len(png)) ** 0.5)  # bytes grow with the pixels
    with files.whole(path) as temporary:
        temporary.write_bytes(png)
    return path


def _png(figure, dpi):
    drawn, packed = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi)
    picture = Image.open(drawn).convert("RGB")
    picture = picture.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    picture.save(packed, format="png", optimize=True, dpi=(dpi, dpi))
    return packed.getvalue()


@style()
def histograms(groups, bins, title, xlabel, ylabel):
    """Compare distributions: one panel a group, one colour a series, with size and median.

    Parameters
    ----------
    groups : dict of str to dict of str to array
        For each group (an organ) the values of each series ("Training", "Test").
    bins : array
        Edges; values beyond the last one are counted in the last bin.
    title, xlabel, ylabel : str
        Heights are percentages: `ylabel` says of what.

    Returns
    -------
    Figure
    """
    columns = min(4, len(groups))
    rows = -(-len(groups) // columns)
    series = list(dict.fromkeys(name for values in groups.values() for name in values))
    figure = Figure(figsize=(max(2.4 * columns, 5), 1.9 * rows + 1.1))
    figure.suptitle(title)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    label_outside(axes, len(groups), xlabel, ylabel)
    looks = [
        {"color": color, "histtype": "step", "linewidth": 1.6, "label": name}
        for name, color in zip(series, COLORS, strict=False)
    ]
    looks[0] |= {"histtype": "stepfilled", "linewidth": 0, "alpha": 0.45}
    for axis, (group, members) in zip(axes.flat, groups.items(), strict=False):
        axis.set_title(group)
        for look, top in zip(looks, np.arange(0.97, 0, -0.22), strict=False):
            values = np.asarray(members.get(look["label"], ()))
            if values.size:
                share = np.full(values.size, 100 / values.size)
                axis.hist(np.minimum(values, bins[-1]), bins, weights=share, **look)
                axis.text(
                    0.98, top, f"n = {values.size:,}\nmedian {np.median(values):.1f}", size=7.5,
                    transform=axis.transAxes, ha="right", va="top", color=look["color"],
                )  # fmt: skip
    keys = [Patch(facecolor=BLUE, alpha=0.45, label=series[0])]
    for look in looks[1:]:
        keys.append(Patch(facecolor="none", edgecolor=look["color"], lw=1.6, label=look["label"]))
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys))
    return figure


def label_outside(axes, panels, xlabel, ylabel):
    """Label the left column and the lowest panel of each column; hide what is past the last."""
    for axis in axes[:, 0]:
        axis.set_ylabel(ylabel)
    for axis in axes.flat[:panels][-axes.shape[1] :]:
        axis.set_xlabel(xlabel)
        axis.tick_params(labelbottom=True)
    for axis in axes.flat[panels:]:
        axis.set_axis_off()


@style()
def curves(history, score, title, ylabel):
    """Plot a score of training and validation over the epochs.

    Parameters
    ----------
    history : list of dict of str to float
        A row an epoch with `epoch`, `<score>`, `val_<score>` and `val_dice`, by which the
        best epoch is told.
    score : str
    title, ylabel : str

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(6, 3.6))
    axis = figure.subplots()
    epochs = [row["epoch"] for row in history]
    axis.plot(epochs, [row[score] for row in history], label="training (augmented patches)")
    axis.plot(epochs, [row[f"val_{score}"] for row in history], label="validation patients")
    best = max(history, key=lambda row: row["val_dice"])
    axis.plot(
        best["epoch"], best[f"val_{score}"], "o", color=VERMILION,
        label=f"weights kept: epoch {best['epoch']:.0f}, {best[f'val_{score}']:.3f}",
    )  # fmt: skip
    axis.set(title=title, xlabel="epoch", ylabel=ylabel)
    axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    axis.legend()
    return figure


@style()
def scores(reports, headings, title):
    """Plot scores of every image for several models, with their means and 95% intervals.

    Parameters
    ----------
    reports : dict of str to dict
        For each model a report of `evaluation.evaluate`, all of the same images.
    headings : dict of str to str
        Scores to show, a panel each, with the label of its axis.
    title : str

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(4.2 * len(headings), 4.4))
    figure.suptitle(title)
    axes = figure.subplots(1, len(headings), squeeze=False)[0]
    images = next(iter(reports.values()))["images"]
    organs = sorted({image["organ"] for image in images})
    colors = dict(zip(organs, (*COLORS, YELLOW, GREY), strict=False))
    for axis, (score, heading) in zip(axes, headings.items(), strict=True):
        for number, image in enumerate(images):
            values = [report["images"][number][score] for report in reports.values()]
            axis.plot(values, "o-", ms=4, lw=0.5, color=colors[image["organ"]], alpha=0.8)
        means = [report["mean"][score] for report in reports.values()]
        ends = [[m["mean"] - m["low"] for m in means], [m["high"] - m["mean"] for m in means]]
        axis.errorbar(
            np.arange(len(means)) + 0.18, [m["mean"] for m in means], ends,
            fmt="s", ms=5, lw=2, color="black",
        )  # fmt: skip
        axis.set_xticks(range(len(reports)), reports, rotation=25, ha="right")
        axis.set_ylabel(heading)
    keys = [Line2D([], [], marker="o", color=color, label=organ) for organ, color in colors.items()]
    keys.append(Line2D([], [], marker="s", color="black", label="mean, 95% interval"))
    figure.legend(handles=keys, loc="outside lower center", ncols=min(len(keys), 5))
    return figure


@style()
def costs(models, title, ylabel):
    """Plot what models reach against what they cost.

    Parameters
    ----------
    models : dict of str to (float, float, float)
        For each model seconds an image, score and millions of parameters.
    title, ylabel : str

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(6, 3.8))
    axis = figure.subplots()
    for (name, (seconds, score, size)), color in zip(models.items(), COLORS * 2, strict=False):
        label = f"{name}: {size:.1f} M parameters"
        axis.scatter(seconds, score, 40 * size**0.5, color=color, label=label, alpha=0.8)
    axis.set(title=title, xlabel="seconds an image of 1000 x 1000 pixels", ylabel=ylabel)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter("{x:g}")
    axis.margins(0.15)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@style()
def comparison(variants, title, ylabel):
    """Plot a score over the epochs for variants of one training, each run of each.

    Parameters
    ----------
    variants : dict of str to list of list of float
        For each variant its runs, for each run the score of every epoch.
    title, ylabel : str

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(6, 3.6))
    axis = figure.subplots()
    for color, (name, runs) in zip(COLORS, variants.items(), strict=False):
        for i, scores in enumerate(runs):
            label = f"{name}: {np.mean(runs, axis=0)[-1]:.3f} at the end" if i == 0 else None
            axis.plot(range(1, len(scores) + 1), scores, "o-", ms=3.5, color=color, label=label)
    axis.set(title=title, xlabel="epoch", ylabel=ylabel)
    axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    axis.legend()
    return figure
