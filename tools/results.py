"""Write the results of the README and the cards of the models from `metrics.json`."""

from nuclei import ROOT, modelzoo, outputs
from nuclei.atomic import atomic_write
from nuclei.data.alterations import ALTERATIONS
from nuclei.errors import InputError
from nuclei.model_card import ENGINE_HEADINGS, card, engine_rows, rows, time_taken

MARKS = "<!-- results: written by `make results` -->", "<!-- end of results -->"
"""What stands before and after the tables in the README."""


def pages(root=ROOT):
    """Render every page that shows results.

    Parameters
    ----------
    root : Path
        The repository.

    Returns
    -------
    dict of Path to str
        Text of `README.md` and of each `models/<name>/README.md`.

    Raises
    ------
    InputError
        If the README lacks the marks between which the tables go, or a model its metrics.
    """
    readme = root / "README.md"
    before, begin, rest = readme.read_text().partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not (begin and end):
        raise InputError(f"{readme} lacks the line {MARKS[bool(begin)]}: put it back.")
    rendered, metrics = {}, {}
    for path in sorted(root.glob("models/*/config.json")):
        folder = path.parent
        metrics[folder.name] = modelzoo.read_metrics(folder)
        rendered[folder / "README.md"] = card(folder)
    compared = {name: metrics[name] for name in outputs.models_of(root=root / "models")}
    rendered[readme] = f"{before}{begin}\n\n{comparison(compared)}\n\n{end}{after}"
    return rendered


def comparison(models):
    """Compare models on the test images.

    Parameters
    ----------
    models : dict of str to dict
        For each model the content of its `metrics.json`.

    Returns
    -------
    str
        Markdown: a table of whole images and one of patches.
    """
    images, patches, begun, refitted = [], [], [], []
    for name, metrics in models.items():
        test, link = metrics["test"], f"[{name}](models/{name})"
        dice = "**{mean:.3f}** ({low:.3f} to {high:.3f})".format(**test["mean"]["dice"])
        scores = ("iou", "precision", "recall", "accuracy", "aji", "aji_shared", "pq")
        others = [f"{test['mean'][score]['mean']:.3f}" for score in scores]
        pooled = f"{test['pooled']['dice']:.3f}"
        size = f"{metrics['parameters'] / 1e6:.1f} M"
        images.append([link, dice, pooled, *others, size, time_taken(metrics)])
        if metrics["start"] != "random":
            begun.append(f"`{name}`")
        if "refit" in metrics:
            refitted.append(link)
        scores = ("dice", "accuracy", "loss", "soft_dice_per_pixel")
        patches.append([link, *(f"{test['patches'][score]:.3f}" for score in scores)])
    return "\n".join(
        [
            "Scores on the 14 test images. Each image is predicted whole, with a threshold of 0.5 "
            "and without\ntest-time augmentation. Scores are means over images; Dice has a 95% "
            "bootstrap interval. The pooled Dice\ncounts the pixels of all images together.\n",
            "| Model | Dice (= F1) | Dice, pooled | IoU | Precision | Recall | Accuracy | AJI "
            "| AJI, shared | PQ | Parameters | Last training |",
            "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
            *rows(images),
            "\nAJI (aggregated Jaccard index) and PQ (panoptic quality) compare nuclei, after a "
            "watershed has\nseparated touching ones. The other scores compare pixels. In the "
            "shared AJI, as in the challenge of\n2018, one prediction may match several nuclei.",
            *(
                [
                    "\nThese were trained in several runs, and the table has the time of the last "
                    f"one. The card names the\nweights it began with: {', '.join(begun)}."
                ]
                if begun
                else []
            ),
            *(
                [
                    "\nTrained on all 30 images, after all choices were made on 6 of them: "
                    f"{', '.join(refitted)}. Their\nvalidation scores are those of the same "
                    "training on 24."
                ]
                if refitted
                else []
            ),
            "\nScores on the 504 patches of the same images, as older work reports them. Each "
            "patch is predicted\nby itself, and all pixels are pooled. The soft Dice per pixel "
            "rewards background: see\n"
            "[docs/evaluation.md](docs/evaluation.md#soft-dice-per-pixel).\n",
            "| Model | Dice (= F1) | Accuracy | Cross-entropy | Soft Dice per pixel |",
            "| --- | ---: | ---: | ---: | ---: |",
            *rows(patches),
            *_altered(models),
            *_fast(models),
        ]
    )


def _altered(models):
    """Compare models on altered images, in lines; none where no model was measured on them."""
    measured = []
    for name, metrics in models.items():
        if altered := metrics.get("altered"):
            plain = metrics["val"]["mean"]["dice"]["mean"]
            dice = [plain, *(altered[alteration]["dice"] for alteration in ALTERATIONS)]
            dice.append(sum(dice) / len(dice))
            measured.append([f"[{name}](models/{name})", *(f"{value:.3f}" for value in dice)])
    if not measured:
        return []
    return [
        "\nDice of the 6 validation images as they are, and altered by `evaluate --split val "
        "--alter`, to imitate\ntissue of other laboratories.\n",
        f"| Model | as they are | {' | '.join(ALTERATIONS)} | mean |",
        f"| --- |{' ---: |' * (len(ALTERATIONS) + 2)}",
        *rows(measured),
    ]


def _fast(models):
    """Compare the engines of all models, in lines; none where no model was measured with them."""
    measured = [
        [f"[{name}](models/{name})", *row[1:]]
        for name, metrics in models.items()
        for row in engine_rows(metrics)
        if row[0] == "test"
    ]
    if not measured:
        return []
    models_on = {}
    for name, metrics in models.items():
        if "engines" in metrics:
            models_on.setdefault(metrics.get("processor", "a CPU"), []).append(name)
    first, *others = sorted(models_on, key=lambda kind: -len(models_on[kind]))
    rest = "".join(f"; of {', '.join(models_on[kind])} on {kind}" for kind in others)
    return [
        "\nThe 14 test images with each [engine](docs/slides.md#engines). Seconds are those of the "
        f"network for\none image, on {first}{rest}.\n",
        f"| Model | {ENGINE_HEADINGS} |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
        *rows(measured),
    ]


def update(check=False):
    """Write the pages that are out of date.

    Parameters
    ----------
    check : bool
        Write nothing.

    Returns
    -------
    list of Path
        The pages that were out of date.
    """
    stale = {path: text for path, text in pages().items() if _current(path) != text}
    if not check:
        for path, text in stale.items():
            with atomic_write(path) as temporary:
                temporary.write_text(text)
    return list(stale)


def _current(path):
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    for page in update():
        print(f"{page.relative_to(ROOT)} written.")
