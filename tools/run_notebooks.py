"""Execute the notebooks: `make run`, `make notebooks` and `make train`.

An executed copy of each notebook is written to runs/ cell by cell. It stays there if a cell fails,
so that the error can be inspected.
"""

import argparse
import ast
import json
import logging
import os
import sys
from pathlib import Path

import nbformat
import papermill

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # whichever checkout is installed

from headless import execute, prepare_environment, tidy
from nuclei import ROOT
from nuclei.atomic import atomic_write, expand
from nuclei.data import monuseg
from nuclei.errors import InputError

RUNS = Path("runs")
FIRST, LAST = "patch_generator", "comparison"
NAMES = "NAME", "START"
"""Parameters that are names."""
KINDS = {bool: "True or False", int: "a whole number", float: "a number"}
"""What a parameter with a default of this type can be."""
DOWNLOAD = "`.venv/bin/python -m nuclei download`"


def notebooks():
    """List all notebooks: that of the patches first, the comparison last."""
    found = [Path(f"{FIRST}.ipynb"), *sorted(Path("notebooks").glob("*.ipynb"))]
    return sorted(found, key=lambda path: path.stem == LAST)


def run():
    """Execute all notebooks on MoNuSeg or synthetic tissue, write to runs/, print the results."""
    folder = monuseg.find()
    print(f"Running the notebooks on {_source(folder)}, into {RUNS}/.", flush=True)
    results = RUNS / "results"
    for stale in [*RUNS.glob("*.ipynb"), *results.glob("*.json")]:
        stale.unlink()
    for notebook in notebooks():
        execute(notebook, RUNS / notebook.name, {"OUTPUT": str(RUNS)})
    print_results(results, "the MoNuSeg test images" if folder else "synthetic tissue, not MoNuSeg")


def print_results(folder, data):
    """Print one line per report of `evaluation.evaluate` in a folder; `data` names the images."""
    scores = ("iou", "precision", "recall", "accuracy")
    print(f"\nResults on {data}: whole images, threshold 0.5, mean over images")
    paths = sorted(folder.glob("*.json"))
    width = max((len(path.stem) for path in paths), default=0)
    print(f"{'':{width}}{'Dice (95% interval)':>24}", *(f"{score:>10}" for score in scores))
    for path in paths:
        mean = json.loads(path.read_text())["mean"]
        dice = "{mean:.3f} ({low:.3f} to {high:.3f})".format(**mean["dice"])
        others = [f"{mean[score]['mean']:10.3f}" for score in scores]
        print(f"{path.stem:{width}}{dice:>24}", *others)


def rewrite():
    """Execute all notebooks in place; each one is replaced only after it ran without an error."""
    folder = monuseg.find()
    if not folder:
        raise InputError(
            f"The committed notebooks show MoNuSeg, which was not found: get it with {DOWNLOAD}, "
            "or run copies of the notebooks with `make run`."
        )
    for notebook in notebooks():
        copy = RUNS / notebook.name
        executed = execute(notebook, copy)
        try:
            tidy(executed, forbidden=(str(ROOT), str(folder)))
        except InputError as error:
            raise InputError(f"{notebook} was not changed: {error}") from None
        with atomic_write(notebook) as temporary:
            nbformat.write(executed, temporary)


def train(model, parameters):
    """Execute the notebook of a network with TRAIN=True.

    With MoNuSeg the results are written to models/ and Graphs/. On synthetic tissue they are
    written to runs/, so that the weights of the project stay unchanged. With DATA, a folder of
    annotated images, or NAME, all are written to models/<NAME>/.

    Parameters
    ----------
    model : str
        Name of the notebook without its suffix, e.g. "unet".
    parameters : dict
        Values for the cell tagged `parameters`.

    Raises
    ------
    InputError
        If there is no such notebook or parameter, a value is of another kind than the default, or a
        cell fails.
    """
    notebook = Path("notebooks", f"{model}.ipynb")
    found = sorted(notebook.parent.glob("*.ipynb"))
    parameters_of = {path.stem: papermill.inspect_notebook(str(path)) for path in found}
    networks = [name for name, known in parameters_of.items() if "TRAIN" in known]
    if model not in networks:
        raise InputError(f"There is no network {model!r}: set MODEL to {' or '.join(networks)}.")
    known = parameters_of[model]
    if unknown := parameters.keys() - known.keys():
        raise InputError(
            f"{notebook} has no parameter {unknown.pop()!r}: choose from {', '.join(known)}."
        )
    for parameter, value in parameters.items():
        _check_kind(parameter, value, _read(known[parameter]["default"]))
    folder, data = monuseg.find(), parameters.get("DATA")
    output = parameters.get("OUTPUT", "." if folder or data else str(RUNS))
    name = parameters.get("NAME")
    place = (ROOT / output).resolve()  # as the notebook understands it
    where = f"{place}/models/{name}/" if name else f"{place}/models/ and {place}/Graphs/"
    print(f"Training on {data or _source(folder)}, into {where}.", flush=True)
    parameters = {"TRAIN": True, "OUTPUT": output} | parameters
    if data and "COMPARISON_SEEDS" in known:  # a lesson on the network, not on these data
        parameters = {"COMPARISON_SEEDS": 0} | parameters
    execute(notebook, RUNS / f"{model}_training.ipynb", parameters, verbose=True)


def _source(folder):
    """Describe the data that the notebooks will use."""
    if folder:
        return f"MoNuSeg from {folder}"
    return f"synthetic tissue, because MoNuSeg was not found (get it with {DOWNLOAD})"


def _parameter(text):
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    if name == "DATA" and value != "None":
        return name, os.path.abspath(expand(value))  # before the working directory changes
    if name in NAMES and value != "None":
        return name, value  # also if it looks like a number
    return name, _read(value)


def _read(text):
    """The Python value that a text stands for."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text  # a string needs no quotes


def _check_kind(name, value, default):
    """Raise an InputError where text would count as true, or fail far from here as a number."""
    wanted = type(default)
    if wanted in KINDS and type(value) not in (wanted, int if wanted is float else wanted):
        raise InputError(f"{name}={value} is not possible: set {name} to {KINDS[wanted]}.")


def main(arguments=None):
    """Parse the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="execute copies in runs/, on any data")
    commands.add_parser("rewrite", help="execute the notebooks in place, on MoNuSeg")
    training = commands.add_parser("train", help="train one network, on any data")
    training.add_argument("model")
    training.add_argument("parameters", nargs="*", type=_parameter, metavar="NAME=VALUE")
    arguments = vars(parser.parse_args(arguments))
    if "parameters" in arguments:
        arguments["parameters"] = dict(arguments["parameters"])

    prepare_environment()
    os.chdir(ROOT)
    try:
        {"run": run, "rewrite": rewrite, "train": train}[arguments.pop("command")](**arguments)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error}: free some space or check the permissions of {RUNS}/.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        logging.disable()  # hides errors of the tasks that nbclient cancels
        print(f"Interrupted: {RUNS}/ contains the cells executed so far.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
