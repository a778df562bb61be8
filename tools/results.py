"""Write the results of the README and the cards of the models from `metrics.json`."""

from nuclei import ROOT, modelzoo
from nuclei.evaluation import table
from nuclei.files import InputError, whole

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
            "The 14 test images, whole, threshold 0.5, no test-time augmentation; "
            "mean over images with 95% bootstrap interval:\n",
            "| Model | Dice (= F1) | Dice, pooled | IoU | Precision | Recall | Accuracy | AJI | PQ "
            "| Parameters | Training |",
            "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
            *_rows(images),
            "\nAJI (aggregated Jaccard index) and PQ (panoptic quality) score nuclei, which a "
            "watershed tells apart; all else scores pixels.",
            *([f"\nAll started from random weights but {', '.join(begun)}."] if begun else []),
            "\nTheir 504 patches, each predicted by itself, all pixels pooled:\n",
            "| Model | Dice (= F1) | Accuracy | Cross-entropy | Soft Dice per pixel |",
            "| --- | ---: | ---: | ---: | ---: |",
            *_rows(patches),
        ]
    )


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
        "Data": f"{metrics['data']}, {len(metrics['fitting_patients'])} patients",
        "Held out for validation": ", ".join(metrics["validation_patients"]),
        "Start": f"{metrics['start']} weights",
        "Epochs": f"{metrics['epochs']} of {metrics['steps_per_epoch']} batches "
        f"of {metrics['batch_size']} augmented patches",
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
        validation=table(metrics["validation"]),
    )


CARD = """# {name}

`{network}`: {parameters} parameters. It takes raw RGB, 0..255, at about 0.25 um per pixel, and
gives the probability of nucleus. This page is written by `make results`.

```python
from nuclei import modelzoo

model = modelzoo.load("{name}")
```

## Training

| | |
| --- | --- |
{settings}

The weights are those of the epoch with the best validation Dice; `history.csv` holds every epoch.
The test images chose nothing.

## Test images

{test}

## Validation images

{validation}

Whole images, threshold 0.5, no test-time augmentation; 95% bootstrap intervals over images. "Soft
Dice per pixel" is the score of older work, which rewards background: an empty prediction reaches
about 0.89.

## Licence

The weights come from MoNuSeg, CC BY-NC-SA 4.0, and are under that licence too: not for commercial
use.
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
            with whole(path) as temporary:
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
