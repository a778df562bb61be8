"""Charts of distributions, training curves, scores and costs."""

from itertools import cycle

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .style import BLUE, COLORS, GREY, VERMILION, YELLOW, figure_style, label_outside

MANY = *COLORS, GREY, YELLOW
"""Colours of many lines; more of them begin again."""


@figure_style()
def histograms(groups, bins, title, xlabel, ylabel):
    """Compare distributions: one panel per group, one colour per series, with size and median.

    Parameters
    ----------
    groups : dict of str to dict of str to array
        For each group (an organ) the values of each series ("Training", "Test").
    bins : array
        Edges of the bins; values beyond the last edge are counted in the last bin.
    title, xlabel, ylabel : str
        The bars are percentages, so `ylabel` should say of what.

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


@figure_style()
def curves(history, score, title, ylabel):
    """Plot a score of training and validation over the epochs.

    Parameters
    ----------
    history : list of dict of str to float
        One row per epoch with `epoch`, `<score>`, `val_<score>` and `val_dice`. The epoch with the
        highest `val_dice`, whose weights are kept, is marked.
    score : str
        Name of the score in `history`.
    title, ylabel : str

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(6, 3.9))
    axis = figure.subplots()
    axis.margins(x=0.02)  # no tick at epoch 0
    epochs = [row["epoch"] for row in history]
    axis.plot(epochs, [row[score] for row in history], label="training, augmented")
    axis.plot(epochs, [row[f"val_{score}"] for row in history], label="validation")
    best = max(history, key=lambda row: row["val_dice"])
    axis.plot(
        best["epoch"], best[f"val_{score}"], "o", color=VERMILION,
        label=f"kept: epoch {best['epoch']:.0f}, {best[f'val_{score}']:.3f}",
    )  # fmt: skip
    axis.set(title=title, xlabel="epoch", ylabel=ylabel)
    axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=3)
    return figure


@figure_style()
def scores(reports, headings, title):
    """Plot scores of every image for several models, with their means and 95% intervals.

    Parameters
    ----------
    reports : dict of str to dict
        For each model the report of `evaluation.evaluate`, all on the same images.
    headings : dict of str to str
        Scores to show, one panel each, with their axis labels.
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
    colors = dict(zip(organs, cycle(MANY), strict=False))
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


@figure_style()
def costs(models, title, ylabel):
    """Plot the score of models against the time per image; the area shows their parameters.

    Parameters
    ----------
    models : dict of str to (float, dict of str to (float, float))
        For each model millions of parameters and, for each engine, seconds per image and score.
    title, ylabel : str

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(7, 4.2))
    axis = figure.subplots()
    markers, keys = {}, []
    for (name, (size, engines)), color in zip(models.items(), cycle(MANY), strict=False):
        axis.plot(*zip(*engines.values(), strict=True), color=color, lw=0.8, zorder=1)
        for engine, (seconds, score) in engines.items():
            marker = markers.setdefault(engine, "osD^v"[len(markers) % 5])
            axis.scatter(seconds, score, 40 * size**0.5, color=color, marker=marker, alpha=0.8)
        label = f"{name}: {size:.1f} M parameters"
        keys.append(Line2D([], [], color=color, marker=".", ms=12, lw=0, label=label))
    keys += [
        Line2D([], [], color="black", marker=marker, lw=0, label=engine)
        for engine, marker in markers.items()
    ]
    axis.set(title=title, xlabel="seconds per image of 1000 x 1000 pixels", ylabel=ylabel)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    axis.margins(0.15)
    figure.legend(handles=keys, loc="outside lower center", ncols=2)
    return figure


@figure_style()
def comparison(variants, title, ylabel):
    """Plot a score over the epochs for several variants of a training, one line per run.

    Parameters
    ----------
    variants : dict of str to list of list of float
        For each variant a list of runs; each run is a list with the score of each epoch.
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
