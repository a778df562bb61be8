"""Describe a trained model on a page, `models/<name>/README.md`, from what its folder holds."""

from . import modelzoo
from .atomic import atomic_write
from .data.patch_files import PATCHES
from .errors import counted
from .evaluation import table
from .outputs import MONUSEG
from .scores import KEY_SCORES
from .training.devices import CURES

ENGINES = {
    "keras": "Keras, {backend}",
    "openvino": "OpenVINO, float32",
    "openvino-int8": "OpenVINO, int8",
}
"""The engines as the tables call them; the backend of Keras is that of the measurement."""

ENGINE_HEADINGS = "Engine | Dice | AJI | PQ | Seconds"


def write(folder):
    """Write the card of a model.

    Parameters
    ----------
    folder : Path
        As for `card`.

    Raises
    ------
    InputError
        As in `card`, or if the file cannot be written.
    """
    text = card(folder)
    with atomic_write(folder / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")


def card(folder):
    """Describe one model.

    Parameters
    ----------
    folder : Path
        With its `config.json` and `metrics.json`.

    Returns
    -------
    str
        Markdown.

    Raises
    ------
    InputError
        If one of the files is missing or damaged.
    """
    config, metrics = modelzoo.read_config(folder), modelzoo.read_metrics(folder)
    arguments = ", ".join(f"{key}={value!r}" for key, value in config["arguments"].items())
    versions = ", ".join(f"{package} {version}" for package, version in metrics["versions"].items())
    settings = {
        **_data(metrics),
        "Start": start(metrics),
        "Epochs": f"{metrics['epochs']} of {metrics['steps_per_epoch']} batches "
        f"of {metrics['batch_size']} augmented patches",
        "Patches": PATCHES[metrics["patches"]],
        "Learning rate": f"{metrics['learning_rate']:g} at its peak",
        "Seed": metrics["seed"],
        "Hardware": f"{time_taken(metrics)}, {metrics['hardware']['precision']}",
        "Software": f"{versions}; commit {metrics['commit']}",
    }
    if "augmentation" in metrics:
        changes = (f"{name} {change:g}" for name, change in metrics["augmentation"].items())
        settings["Augmentation"] = ", ".join(changes)
    if "remarks" in metrics:
        settings["Remarks"] = metrics["remarks"]
    return CARD.format(
        name=folder.name,
        network=f"{config['network']}({arguments})",
        parameters=f"{metrics['parameters']:,}",
        settings="\n".join(rows(settings.items())),
        kept=_kept(metrics),
        test=table(metrics["test"]),
        validation=table(metrics["val"]),
        engines=_engines(metrics),
        licence=_licence(metrics),
    )


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

{kept} No setting was chosen on the test images.

## Test images

{test}

## Validation images

{validation}

Images are predicted whole, with a threshold of 0.5 and without test-time augmentation. The 95%
intervals are bootstrap intervals over images. AJI and PQ compare nuclei, the other scores compare
pixels. "Soft Dice per pixel" is a score of older work that rewards background.
[docs/evaluation.md](../../docs/evaluation.md) has the definitions.
{engines}
## Licence

{licence}
"""

BEST = """\
The weights are those of the epoch with the best validation Dice. `history.csv` has the scores of
every epoch."""

AVERAGED = """\
The weights are a mean of two: {share:.0%} from the epoch with the best validation Dice, {rest:.0%}
from what this training began with. `make average` chose the shares on the validation images.
`history.csv` has the scores of every epoch of this training."""

REFITTED = """\
Settings were chosen with the 6 validation patients held out. The table above, `history.csv` and all
scores of validation images are those of that training; its weights are in commit {commit}.
The weights here come from the same training on all 30 patients: {epochs} epochs of {steps} batches,
{time}. The last epoch is kept."""

NOT_COMMERCIAL = """which is under CC BY-NC-SA 4.0. They are under the same
licence: you may not use them commercially."""


def _data(metrics):
    """What the model was trained on; of data of your own only the name and counts."""
    if "train_images" in metrics:
        train, val = (counted(metrics[f"{split}_images"], "image") for split in ("train", "val"))
        return {"Data": f"{metrics['data']}, {train}", "Held out for validation": val}
    trained = set(metrics["train_patients"]) - set(metrics["val_patients"])
    return {
        "Data": f"{metrics['data']}, {len(trained)} patients",
        "Held out for validation": ", ".join(metrics["val_patients"]),
    }


def start(metrics):
    """The first weights in words; a commit tells those of a model from later ones of its name."""
    weights, comma, changes = metrics["start"].partition(", ")
    commit = metrics.get("start_commit")
    trained = f", trained at commit {commit}" if commit else ""
    return f"{weights} weights{trained}{comma}{changes}"


def _kept(metrics):
    """Which weights these are."""
    if share := metrics.get("averaged"):
        return AVERAGED.format(share=share, rest=1 - share)
    if "refit" not in metrics:
        return BEST
    refit = metrics["refit"]
    steps, commit = refit["steps_per_epoch"], refit["commit"]
    time = time_taken(refit)
    return REFITTED.format(commit=commit, epochs=metrics["epochs"], steps=steps, time=time)


def _licence(metrics):
    """What holds for the weights, by all that they were trained on, the first first."""
    sentences = {
        MONUSEG: f"The weights were trained on MoNuSeg, {NOT_COMMERCIAL}",
        "synthetic tissue": "Synthetic tissue comes with this code.",
    }
    seen = dict.fromkeys([*metrics.get("start_data", ()), metrics["data"]])
    owners = "The owners of {} decide on the licence of the weights."
    return "\n".join(sentences.get(data, owners.format(data)) for data in seen)


def _engines(metrics):
    """The section about engines; empty if the model was not measured with them."""
    measured = rows(engine_rows(metrics))
    if not measured:
        return ""
    head = [f"| Images | {ENGINE_HEADINGS} |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    where = f"\n## Engines\n\nSeconds for one image, on {metrics.get('processor', 'a CPU')}.\n\n"
    return where + "\n".join(head + measured) + "\n"


def engine_rows(metrics):
    """Scores and seconds of each engine on the test and on the validation images.

    Parameters
    ----------
    metrics : dict
        The content of `metrics.json`.

    Returns
    -------
    list of list of str
        Images, then as in `ENGINE_HEADINGS`.
    """
    return [
        [
            images,
            ENGINES[engine].format(backend=CURES[scores[split].get("backend", "tensorflow")][0]),
            *(f"{scores[split][score]:.4f}" for score in KEY_SCORES),
            f"{scores[split]['seconds_per_image']:.2f}",
        ]
        for split, images in (("test", "test"), ("val", "validation"))
        for engine, scores in metrics.get("engines", {}).items()
        if split in scores
    ]


def time_taken(metrics):
    """How long a training took, and on what."""
    return f"{metrics['minutes']:.0f} min on {metrics['hardware']['device']}"


def rows(table):
    """Rows of a Markdown table."""
    return ["| " + " | ".join(map(str, row)) + " |" for row in table]
