"""Where a training writes its results, and where its first weights come from."""

from pathlib import Path
from typing import NamedTuple

from . import ROOT, modelfiles, modelzoo
from .data import loading, monuseg, seen
from .errors import InputError

MONUSEG = "MoNuSeg"


class Places(NamedTuple):
    """Where a notebook writes.

    Attributes
    ----------
    name : str
        Name of the model.
    model : Path
        Its folder.
    trained : str or Path
        What `modelzoo.load` takes to load it.
    graphs, diagrams : Path
        Folders for curves and predictions, and for drawings of the network.
    checkpoints : Path
        Folder for the state of a training.
    """

    name: str
    model: Path
    trained: str | Path
    graphs: Path
    diagrams: Path
    checkpoints: Path


def places(output, default, name=None, data=None, train=False):
    """Decide where a notebook writes.

    A model of your own keeps all that is known of it in its folder. Those of the notebooks have
    their figures in `Graphs/` and `Images/`.

    Parameters
    ----------
    output : Path
        The folder of models and figures.
    default : str
        Name of the model that the notebook is about.
    name : str, optional
        Name of a model of your own.
    data : str, Path or None
        As for `loading.load`.
    train : bool
        Whether the model is going to be trained, which replaces it.

    Returns
    -------
    Places

    Raises
    ------
    InputError
        If data of your own come without a name, the name is no name of a folder, a model of this
        name was trained on other data, or synthetic tissue would replace a model of MoNuSeg.
    """
    if name is None and not loading.is_monuseg(data):
        raise InputError(
            f"A model that is trained on {data} needs a name of its own: set NAME, as in "
            f"NAME=my_{default}."
        )
    title = default if name is None else str(name)
    if not title or Path(title).name != title or title.startswith("."):
        raise InputError(f"{title!r} cannot be the name of a folder: choose another NAME.")
    model = output / "models" / title
    checkpoints = output / "checkpoints" / title
    synthetic = data is None and monuseg.find() is None
    shipped = name is None and output.resolve() == ROOT
    if train and synthetic and (shipped or _owner(model) == MONUSEG):
        raise InputError(
            f"Without MoNuSeg, a training on synthetic tissue would replace {model}: set "
            'OUTPUT = "runs" or a new NAME, or fetch MoNuSeg with `nuclei download`.'
        )
    if name is None:
        return Places(title, model, title, output / "Graphs", output / "Images", checkpoints)
    owner, here = _owner(model), MONUSEG if loading.is_monuseg(data) else loading.source(data)
    if owner not in (None, here, "synthetic tissue"):
        raise InputError(
            f"{model} was trained on {owner}, not on {here}: choose another NAME, or remove that "
            "folder."
        )
    return Places(title, model, model, model, model, checkpoints)


def _owner(model):
    """What a model was trained on; None if there is no record."""
    if not (model / "metrics.json").exists():
        return None
    return modelzoo.read_metrics(model).get("data", "unknown data")


def origin(start, config, otherwise="random"):
    """Say where the first weights of a training come from, for its record.

    Parameters
    ----------
    start : str or None
        Name of the model that `modelzoo.start_from` takes.
    config : dict
        `network` and `arguments` of the new model.
    otherwise : str
        What the weights are without `start`.

    Returns
    -------
    dict
        `start`: in words; with `start`, also `start_data`: what it was trained on, the first first;
        `start_seen`, as from `seen.read`; and `start_commit`, the `commit` of its record.

    Raises
    ------
    InputError
        If there is no such model.
    """
    if not start:
        return {"start": otherwise}
    folder = modelzoo.find(start)
    old, new = modelzoo.read_config(folder)["arguments"], config["arguments"]
    words = f"models/{folder.name}"
    if old.get("width") != new.get("width"):
        words += f", widened from {old.get('width')} to {new.get('width')}"
    if old.get("channels", 1) < new.get("channels", 1):
        words += ", new channels random"
    try:
        metrics = modelzoo.read_metrics(folder)
        data = list(dict.fromkeys([*metrics.get("start_data", []), metrics["data"]]))
    except (InputError, KeyError):  # a training must not fail at its end for want of a record
        metrics, data = {}, ["unknown data"]
    return {
        "start": words,
        "start_data": data,
        "start_seen": sorted(seen.read(folder)),
        "start_commit": metrics.get("commit"),
    }


def check_monuseg(folder):
    """Make sure that a model was trained on MoNuSeg, before anything is measured on it there.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    InputError
        If it was trained on other data, or has no record.
    """
    data = modelzoo.read_metrics(folder).get("data")
    if data != MONUSEG:
        raise InputError(
            f"{folder} was trained on {data}, so it is not measured or calibrated on MoNuSeg: "
            f"score it on your images with `python -m nuclei evaluate {folder} --data FOLDER`."
        )


def models_of(data=MONUSEG, root=modelzoo.MODELS):
    """List the models in a folder that were trained on these data.

    Parameters
    ----------
    data : str
        As in their `metrics.json`.
    root : Path

    Returns
    -------
    list of str
        Names, sorted.
    """
    return [
        name
        for name in modelfiles.names(root)
        if modelzoo.read_metrics(root / name).get("data") == data
    ]
