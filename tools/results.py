"""Write the tables of results and the cards of the models from `metrics.json`: `make results`."""

import argparse

from nuclei import ROOT, modelfiles, modelzoo, outputs
from nuclei.atomic import atomic_write
from nuclei.data.alterations import ALTERATIONS
from nuclei.errors import InputError, run_script
from nuclei.model_card import ENGINE_HEADINGS, card, engine_rows, rows

MARKS = "<!-- results: written by `make results` -->", "<!-- end of results -->"
"""What stands before and after the tables of a page."""


def pages(root=ROOT):
    """Render every page that shows results.

    Parameters
    ----------
    root : Path
        The repository.

    Returns
    -------
    dict of Path to str
        Text of `README.md`, `docs/results.md` and each `models/<name>/README.md`.

    Raises
    ------
    InputError
        If a page lacks the marks between which the tables go, or a model its metrics.
    """
    folder = root / "models"
    cards = [folder / name for name in modelfiles.names(folder)]
    rendered = {one / "README.md": card(one) for one in cards}
    models = {name: modelzoo.read_metrics(folder / name) for name in outputs.models_of(root=folder)}
    for page, tables in (
        (root / "README.md", summary(models)),
        (root / "docs" / "results.md", details(models)),
    ):
        before, begin, rest = page.read_text().partition(MARKS[0])
        _, end, after = rest.partition(MARKS[1])
        if not (begin and end):
            raise InputError(f"{page} lacks the line {MARKS[bool(begin)]}: put it back.")
        rendered[page] = f"{before}{begin}\n\n{tables}\n\n{end}{after}"
    return rendered


def summary(models):
    """Compare models in one table, for the README.

    Parameters
    ----------
    models : dict of str to dict
        For each model the content of its `metrics.json`.

    Returns
    -------
    str
        Markdown.
    """
    table = []
    for name, metrics in models.items():
        mean = metrics["test"]["mean"]
        scores = [f"{mean[score]['mean']:.3f}" for score in ("accuracy", "aji", "pq")]
        altered = f"{_mean_altered(metrics):.3f}" if "altered" in metrics else ""
        fast = metrics.get("engines", {}).get("openvino-int8", {}).get("test", {})
        seconds = f"{fast['seconds_per_image']:.2f}" if fast else ""
        size = f"{metrics['parameters'] / 1e6:.1f} M"
        table.append([f"[{name}](models/{name})", _dice(mean), *scores, altered, seconds, size])
    processors = " or ".join(sorted({_processor(metrics) for metrics in models.values()}))
    return "\n".join(
        [
            "| Model | Dice (= F1) | Accuracy | AJI | PQ | Dice, altered images | Seconds "
            "| Parameters |",
            "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
            *rows(table),
            "\nDice and accuracy compare pixels. AJI (aggregated Jaccard index) and PQ (panoptic "
            "quality) compare\nnuclei, after a watershed has separated touching ones. All four are "
            "means over the 14 test images, each\npredicted whole, with a threshold of 0.5 and "
            "without test-time augmentation; Dice has a 95% bootstrap\ninterval. The altered "
            "images are the 6 of validation, made pale, dark, blurred and compressed to imitate\n"
            "other laboratories. Seconds are those of the network for one image of 1000 x 1000 "
            f"pixels in 8-bit\nintegers, on {processors}.",
            *_refitted(models, "models"),
        ]
    )


def details(models):
    """Compare models in all their scores, for `docs/results.md`.

    Parameters
    ----------
    models : dict of str to dict
        For each model the content of its `metrics.json`.

    Returns
    -------
    str
        Markdown: tables of whole images, patches, altered images and engines.
    """
    links = {name: f"[{name}](../models/{name})" for name in models}
    images, patches = [], []
    for name, metrics in models.items():
        test = metrics["test"]
        scores = ("iou", "precision", "recall", "accuracy", "aji", "aji_shared", "pq")
        others = [f"{test['mean'][score]['mean']:.3f}" for score in scores]
        images.append([links[name], _dice(test["mean"]), f"{test['pooled']['dice']:.3f}", *others])
        scores = ("dice", "accuracy", "loss", "soft_dice_per_pixel")
        patches.append([links[name], *(f"{test['patches'][score]:.3f}" for score in scores)])
    return "\n".join(
        [
            "## Test images\n",
            "Scores are means over the 14 images; Dice has a 95% bootstrap interval. The pooled "
            "Dice counts the\npixels of all images together.\n",
            "| Model | Dice (= F1) | Dice, pooled | IoU | Precision | Recall | Accuracy | AJI "
            "| AJI, shared | PQ |",
            "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            *rows(images),
            *_refitted(models, "../models"),
            "\n## Patches\n",
            "Scores on the 504 patches of the test images, as older work reports them. Each patch "
            "is predicted by\nitself, and all pixels are pooled. The soft Dice per pixel rewards "
            "background: see\n[evaluation.md](evaluation.md#soft-dice-per-pixel).\n",
            "| Model | Dice (= F1) | Accuracy | Loss (cross-entropy) | Soft Dice per pixel |",
            "| --- | ---: | ---: | ---: | ---: |",
            *rows(patches),
            *_altered(models, links),
            *_fast(models, links),
        ]
    )


def _dice(mean):
    return "**{mean:.3f}** ({low:.3f} to {high:.3f})".format(**mean["dice"])


def _mean_altered(metrics):
    return sum(metrics["altered"][name]["dice"] for name in ALTERATIONS) / len(ALTERATIONS)


def _processor(metrics):
    return metrics.get("processor", "a CPU")


def _refitted(models, folder):
    """Say which models were trained on all 30 images, in lines."""
    refitted = [f"[{name}]({folder}/{name})" for name in models if "refit" in models[name]]
    if not refitted:
        return []
    return [
        f"\nTrained on all 30 images, after all choices were made on 6 of them: "
        f"{', '.join(refitted)}. Their\nvalidation scores are those of the same training on 24."
    ]


def _altered(models, links):
    """Compare models on altered images, in lines; none where no model was measured on them."""
    measured = []
    for name, metrics in models.items():
        if altered := metrics.get("altered"):
            dice = [metrics["val"]["mean"]["dice"]["mean"]]
            dice += [altered[alteration]["dice"] for alteration in ALTERATIONS]
            dice.append(_mean_altered(metrics))
            measured.append([links[name], *(f"{value:.3f}" for value in dice)])
    if not measured:
        return []
    return [
        "\n## Altered images\n",
        "Dice of the 6 validation images as they are, and altered by `evaluate --split val "
        "--alter`, to imitate\ntissue of other laboratories. The mean is that of the four "
        "alterations.\n",
        f"| Model | as they are | {' | '.join(ALTERATIONS)} | mean |",
        f"| --- |{' ---: |' * (len(ALTERATIONS) + 2)}",
        *rows(measured),
    ]


def _fast(models, links):
    """Compare the engines of all models, in lines; none where no model was measured with them."""
    measured = [
        [links[name], *row[1:]]
        for name, metrics in models.items()
        for row in engine_rows(metrics)
        if row[0] == "test"
    ]
    if not measured:
        return []
    models_on = {}
    for name, metrics in models.items():
        if "engines" in metrics:
            models_on.setdefault(_processor(metrics), []).append(name)
    first, *others = sorted(models_on, key=lambda kind: -len(models_on[kind]))
    rest = "".join(f"; of {', '.join(models_on[kind])} on {kind}" for kind in others)
    return [
        "\n## Engines\n",
        "The test images with each [engine](slides.md#engines). Seconds are those of the network "
        f"for one image,\non {first}{rest}.\n",
        f"| Model | {ENGINE_HEADINGS} |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
        *rows(measured),
    ]


def main():
    """Write the pages that are out of date, and say which."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    for path, text in pages().items():
        if not path.exists() or path.read_text() != text:
            with atomic_write(path) as temporary:
                temporary.write_text(text)
            print(f"{path.relative_to(ROOT)} written.")


if __name__ == "__main__":
    run_script(main)
