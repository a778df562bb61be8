"""Write the results of the README and the cards of the models from `metrics.json`."""

from nuclei import ROOT, modelzoo
from nuclei.atomic import atomic_write
from nuclei.errors import InputError
from nuclei.evaluation import table

MARKS = "<!-- results: written by `make results` -->", "<!-- end of results -->"
"""What stands before and after the tables in the README."""

ENGINES = {
    "keras": "Keras, TensorFlow",
    "openvino": "OpenVINO, float32",
    "openvino-int8": "OpenVINO, int8",
}
"""The engines as the tables call them."""

HEADINGS = "Engine | Dice | AJI | PQ | Seconds"

PATCHES = {
    "images": "cut anew from whole images in each epoch",
    "files": "those that patch_generator.ipynb wrote",
}
"""What the parameter `PATCHES` of the notebooks means."""


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
        config = modelzoo.read_config(folder)
        rendered[folder / "README.md"] = card(folder.name, config, metrics[folder.name])
    rendered[readme] = f"{before}{begin}\n\n{comparison(metrics)}\n\n{end}{after}"
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
    images, patches, begun = [], [], []
    for name, metrics in models.items():
        test, link = metrics["test"], f"[{name}](models/{name})"
        dice = "**{mean:.3f}** ({low:.3f} to {high:.3f})".format(**test["mean"]["dice"])
        scores = ("iou", "precision", "recall", "accuracy", "aji", "pq")
        others = [f"{test['mean'][score]['mean']:.3f}" for score in scores]
        pooled = f"{test['pooled']['dice']:.3f}"
        size = f"{metrics['parameters'] / 1e6:.1f} M"
        images.append([link, dice, pooled, *others, size, _training(metrics)])
        if metrics["start"] != "random":
            begun.append(f"{link} ({metrics['start']})")
        scores = ("dice", "accuracy", "loss", "soft_dice_per_pixel")
        patches.append([link, *(f"{test['patches'][score]:.3f}" for score in scores)])
    return "\n".join(
        [
            "Scores on the 14 test images. Each image is predicted whole, with a threshold of 0.5 "
            "and without\ntest-time augmentation. Scores are means over images; Dice has a 95% "
            "bootstrap interval.\n",
            "| Model | Dice (= F1) | Dice, pooled | IoU | Precision | Recall | Accuracy | AJI | PQ "
            "| Parameters | Training |",
            "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
            *_rows(images),
            "\nAJI (aggregated Jaccard index) and PQ (panoptic quality) compare nuclei, after a "
            "watershed has\nseparated touching ones. The other scores compare pixels.",
            *(
                [f"\nAll models started from random weights but {', '.join(begun)}."]
                if begun
                else []
            ),
            "\nScores on the 504 patches of the same images, as older work reports them. Each "
            "patch is predicted\nby itself, and all pixels are pooled. The soft Dice per pixel "
            "rewards background: see\n"
            "[docs/evaluation.md](docs/evaluation.md#soft-dice-per-pixel).\n",
            "| Model | Dice (= F1) | Accuracy | Cross-entropy | Soft Dice per pixel |",
            "| --- | ---: | ---: | ---: | ---: |",
            *_rows(patches),
            *_fast(models),
        ]
    )


def _fast(models):
    """Compare the engines of all models, in lines; none where no model was measured with them."""
    rows = [
        [f"[{name}](models/{name})", ENGINES[engine], *_engine(scores["test"])]
        for name, metrics in models.items()
        for engine, scores in metrics.get("engines", {}).items()
    ]
    if not rows:
        return []
    return [
        "\nThe same images with each [engine](docs/slides.md#engines). Seconds are those of the "
        "network for\none image, all on one machine without a GPU.\n",
        f"| Model | {HEADINGS} |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
        *_rows(rows),
    ]


def _engine(scores):
    values = [f"{scores[score]:.4f}" for score in ("dice", "aji", "pq")]
    return [*values, f"{scores['seconds_per_image']:.2f}"]


def card(name, config, metrics):
    """Describe one model.

    Parameters
    ----------
    name : str
    config, metrics : dict
        The content of its `config.json` and `metrics.json`.

    Returns
    -------
    str
        Markdown.
    """
    arguments = ", ".join(f"{key}={value!r}" for key, value in config["arguments"].items())
    versions = ", ".join(f"{package} {version}" for package, version in metrics["versions"].items())
    settings = {
        "Data": f"{metrics['data']}, {len(metrics['train_patients'])} patients",
        "Held out for validation": ", ".join(metrics["val_patients"]),
        "Start": f"{metrics['start']} weights",
        "Epochs": f"{metrics['epochs']} of {metrics['steps_per_epoch']} batches "
        f"of {metrics['batch_size']} augmented patches",
        "Patches": PATCHES[metrics["patches"]],
        "Learning rate": f"{metrics['learning_rate']:g} at its peak",
        "Seed": metrics["seed"],
        "Hardware": f"{_training(metrics)}, {metrics['hardware']['precision']}",
        "Software": f"{versions}; commit {metrics['commit']}",
    }
    if "remarks" in metrics:
        settings["Remarks"] = metrics["remarks"]
    return CARD.format(
        name=name,
        network=f"{config['network']}({arguments})",
        parameters=f"{metrics['parameters']:,}",
        settings="\n".join(_rows(settings.items())),
        test=table(metrics["test"]),
        validation=table(metrics["val"]),
        engines=_card_engines(metrics.get("engines", {})),
    )


def _card_engines(measured):
    """The section of a card about engines; empty if the model was not measured with them."""
    if not measured:
        return ""
    splits = {"test": "test", "val": "validation"}
    rows = [
        [split, ENGINES[engine], *_engine(scores[key])]
        for key, split in splits.items()
        for engine, scores in measured.items()
    ]
    lines = [f"| Images | {HEADINGS} |", "| --- | --- | ---: | ---: | ---: | ---: |", *_rows(rows)]
    return "\n## Engines\n\n" + "\n".join(lines) + "\n"


CARD = """# {name}

`{network}`

The network has {parameters} parameters. It takes raw RGB, 0 to 255, at about 0.25 um per pixel. It
gives each pixel the probability of nucleus and, as a second channel where `channels` is 2, the
relative distance to the border of the nucleus. `make results` writes this page.

```python
from nuclei import modelzoo

model = modelzoo.load("{name}")
```

## Training

| | |
| --- | --- |
{settings}

The weights are those of the epoch with the best validation Dice. `history.csv` has the scores of
every epoch. No setting was chosen on the test images.

## Test images

{test}

## Validation images

{validation}

Images are predicted whole, with a threshold of 0.5 and without test-time augmentation. The 95%
intervals are bootstrap intervals over images. AJI and PQ compare nuclei, the other scores compare
pixels. "Soft Dice per pixel" is a score of older work that rewards background: an empty prediction
scores about 0.89 on the test images. [docs/evaluation.md](../../docs/evaluation.md) has the
definitions.
{engines}
## Licence

The weights were trained on MoNuSeg, which is under CC BY-NC-SA 4.0. They are under the same
licence: you may not use them commercially.
"""


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


def _training(metrics):
    return f"{metrics['minutes']:.0f} min on {metrics['hardware']['device']}"


def _rows(table):
    return ["| " + " | ".join(map(str, row)) + " |" for row in table]


if __name__ == "__main__":
    for page in update():
        print(f"{page.relative_to(ROOT)} written.")
