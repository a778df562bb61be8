"""Evaluate a model on whole images and on patches, by the same protocol for all models."""

from dataclasses import asdict
from time import perf_counter

import numpy as np
from tqdm import tqdm

from .atomic import write_csv, write_json
from .data import patches
from .errors import InputError, counted
from .prediction.engines import as_engine
from .prediction.image import find_nuclei, predict_maps
from .scores import pixels
from .scores.intervals import bootstrap_interval, format_p, paired_test
from .scores.objects import object_scores

COLUMNS = {
    "dice": "Dice (= F1)",
    "iou": "IoU",
    "precision": "Precision",
    "recall": "Recall",
    "accuracy": "Accuracy",
    "loss": "Loss (cross-entropy)",
    "soft_dice_per_pixel": "Soft Dice per pixel",
    "aji": "AJI",
    "aji_shared": "AJI, shared",
    "pq": "PQ",
}
"""Scores in the order of the table, with their headings. Loss is the mean cross-entropy. AJI and PQ
score nuclei, not pixels, and need labels for every image."""

NO_SCORES = {"name", "patient", "organ", "predicted", "true"}
"""What a report says of an image beside its scores."""

PATCH_BATCH = 12
"""Patches per batch: a third of those of an image of MoNuSeg."""


def evaluate(model, samples, threshold=0.5, augment=False, progress=True, whole_only=False):
    """Score a model by the protocol of this project.

    Each whole image is predicted, as by `predict_image`, and compared with its mask at one
    threshold. If all images have labels, the nuclei that are found are compared with them. Then the
    patches of each image are predicted separately, as in older work on this task, and pooled; an
    image of MoNuSeg has 36.

    Parameters
    ----------
    model : keras.Model or engine
        Maps raw RGB (B, H, W, 3) to probability (B, H, W, 1), or to probability and distance
        (B, H, W, 2); see `instances.separate`.
    samples : sequence of Sample
        The images to score.
    threshold : float
        A pixel belongs to a nucleus from this probability up. Keep 0.5: never choose another value
        on the images that are scored.
    augment : bool
        Test-time augmentation of whole images: average over their 8 flips and quarter turns.
    progress : bool
        Show progress bars over the images, first whole, then in patches.
    whole_only : bool
        Leave the patches out, which takes less than half of the time.

    Returns
    -------
    dict
        JSON-serialisable. Scores are `dice` (= pixel F1), `iou`, `precision`, `recall`,
        `accuracy`, `loss` (mean binary cross-entropy) and `soft_dice_per_pixel`, and those of
        `objects.ObjectScores` if every sample has labels.

        - `model`, the network; `engine`; `threshold`; `seconds_per_image` (median,
          whole images)
        - `images`: for each image `name`, `patient`, `organ` and its scores
        - `mean`: for each score the `mean` over images and its 95% bootstrap interval over
          images, `low` to `high`
        - `pooled`: scores of the pixels of all images together
        - `organs`: for each organ that is known the number of `images` and the mean of each score
        - `patches`, unless left out: the number of patches, `count`, and the scores of all their
          pixels together

    Raises
    ------
    InputError
        If there are no samples.
    """
    if not samples:
        raise InputError("There are no images to evaluate: choose a split that has some.")
    engine = as_engine(model)
    images, whole, seconds = [], [], []
    labelled = all(sample.labels is not None for sample in samples)
    for sample in tqdm(samples, desc="evaluate", unit="image", disable=not progress):
        start = perf_counter()
        maps = predict_maps(engine, sample.image, augment=augment)
        seconds.append(perf_counter() - start)
        found = find_nuclei(maps, threshold)
        whole.append(_measure(found.probability, sample.mask, threshold))
        facts = {"name": sample.name, "patient": sample.patient, "organ": sample.organ}
        images.append(facts | _pool(whole[-1:]))
        if labelled:
            images[-1] |= asdict(object_scores(found.labels, sample.labels))
    scores = [name for name in images[0] if name not in NO_SCORES]
    report = {
        "model": engine.network,
        "engine": engine.name,
        "threshold": threshold,
        "seconds_per_image": float(np.median(seconds)),  # the first one also compiles
        "images": images,
        "mean": {score: _interval([image[score] for image in images]) for score in scores},
        "pooled": _pool(whole),
        "organs": _by_organ(images, scores),
    }
    if not whole_only:
        report["patches"] = _score_patches(engine, samples, threshold, progress)
    return report


def save_report(path, report):
    """Write a report of `evaluate` as JSON, completely or not at all.

    Parameters
    ----------
    path : str or Path
    report : dict

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    write_json(path, report)


def table(report):
    """Format a report of `evaluate` as a Markdown table.

    Parameters
    ----------
    report : dict
        What `evaluate` returned.

    Returns
    -------
    str
        One row each for the mean over images, its interval if they are several, the pooled pixels,
        the patches, if they were scored, and each organ. Columns are aligned, so that the table is
        also readable as plain text.
    """
    mean = report["mean"]
    columns = [score for score in COLUMNS if score in mean]
    images = counted(len(report["images"]), "image")

    def row(heading, scores):
        return [heading, *(f"{scores[s]:.3f}" if s in scores else "" for s in columns)]

    rows = [
        ["", *(COLUMNS[score] for score in columns)],
        row(f"Mean of {images}", {s: mean[s]["mean"] for s in columns}),
        row("Pooled pixels", report["pooled"]),
    ]
    if len(report["images"]) > 1:
        ends = ("{low:.3f} to {high:.3f}".format(**mean[s]) for s in columns)
        rows.insert(2, ["95% interval", *ends])
    if patches := report.get("patches"):
        rows.append(row(f"{counted(patches['count'], 'patch', 'patches')}, pooled", patches))
    for organ, one in report["organs"].items():
        rows.append(row(f"{organ} ({one['images']})", one))
    return _aligned(rows)


def compare(first, second):
    """Compare two models on the same images.

    Parameters
    ----------
    first, second : dict
        Reports of `evaluate`.

    Returns
    -------
    dict of str to dict
        For each score the `mean` difference, `second` - `first`, its 95% bootstrap interval, `low`
        to `high`, and the `p` of `intervals.paired_test`.
    """
    differences = {}
    for score in (score for score in COLUMNS if score in first["mean"]):
        pair = [[image[score] for image in report["images"]] for report in (first, second)]
        values = paired_test(*pair)
        differences[score] = dict(zip(("mean", "low", "high", "p"), values, strict=True))
    return differences


def comparison_table(differences, images):
    """Format what `compare` returned as an aligned Markdown table.

    Parameters
    ----------
    differences : dict
    images : int
        How many were scored. Of one there is no interval and no test.

    Returns
    -------
    str
    """
    shown = {"Mean difference": "{mean:+.3f}".format}
    if images > 1:
        shown["95% interval"] = "{low:+.3f} to {high:+.3f}".format
        shown["p (Wilcoxon)"] = lambda p, **_: format_p(p)
    rows = [["", *(COLUMNS[score] for score in differences)]]
    for heading, form in shown.items():
        rows.append([heading, *(form(**one) for one in differences.values())])
    return _aligned(rows)


def save_csv(path, reports):
    """Write the scores of each image as CSV, completely or not at all.

    Parameters
    ----------
    path : str or Path
    reports : list of dict
        What `evaluate` returned for one or several models: a row for each image and model.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    rows = [{"model": report["model"], **image} for report in reports for image in report["images"]]
    write_csv(path, rows)


def _aligned(rows):
    """A Markdown table, also readable as plain text; the first row has the headings."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    return "\n".join(
        "| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |"
        for row in rows
    )


def _measure(probability, mask, threshold):
    """Compare one prediction, or a batch, with the true mask; `_pool` turns this into scores."""
    return {
        "confusion": pixels.confusion(probability >= threshold, mask),
        "loss": pixels.binary_cross_entropy(probability, mask),
        "soft_dice_per_pixel": pixels.soft_dice_per_pixel(probability, mask),
    }


def _pool(measures):
    """Compute the scores of all pixels of several results of `_measure`; pixels weigh equally."""
    confusions = [measure["confusion"] for measure in measures]
    scores = asdict(sum(confusions, pixels.Confusion()).scores())
    for score in ("loss", "soft_dice_per_pixel"):
        values = [measure[score] for measure in measures]
        scores[score] = float(np.average(values, weights=[c.pixels for c in confusions]))
    return scores


def _score_patches(engine, samples, threshold, progress):
    """The number of patches of all images, and the scores of all their pixels together."""
    count, measures = 0, []
    for sample in tqdm(samples, desc="patches", unit="image", disable=not progress):
        images, masks = patches.cut(sample.image), patches.cut(sample.mask)
        count += len(images)
        for i in range(0, len(images), PATCH_BATCH):
            probability = engine.forward(images[i : i + PATCH_BATCH])[..., 0]
            measures.append(_measure(probability, masks[i : i + PATCH_BATCH], threshold))
    return {"count": count, **_pool(measures)}


def _interval(values):
    low, high = bootstrap_interval(values)
    return {"mean": float(np.mean(values)), "low": low, "high": high}


def _by_organ(images, scores):
    organs = {}
    for organ in sorted({image["organ"] for image in images} - {""}):
        group = [image for image in images if image["organ"] == organ]
        means = {score: float(np.mean([image[score] for image in group])) for score in scores}
        organs[organ] = {"images": len(group), **means}
    return organs
