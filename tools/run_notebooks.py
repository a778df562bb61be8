"""Execute the notebooks: `make run`, `make notebooks` and `make train`.

Each executed copy goes to runs/, cell by cell, and stays there for inspection when a cell fails.
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

from headless import execute, prepare_environment, tidy
from nuclei import ROOT, dataset
from nuclei.files import InputError, whole

RUNS = Path("runs")
FIRST, LAST = "patch_generator", "comparison"
DOWNLOAD = "`.venv/bin/python -m nuclei download`"


def notebooks():
    """Every notebook, in reading order: patches, each network, whole slides, then a comparison."""
    found = [Path(f"{FIRST}.ipynb"), *sorted(Path("notebooks").glob("*.ipynb"))]
    return sorted(found, key=lambda path: path.stem == LAST)


def run():
    """Execute every notebook on whatever data there is; write to runs/ and print the results."""
    folder = dataset.find()
    print(f"Running the notebooks on {_source(folder)}, into {RUNS}/.", flush=True)
    results = RUNS / "results"
    for stale in [*RUNS.glob("*.ipynb"), *results.glob("*.json")]:
        stale.unlink()
    for notebook in notebooks():
        execute(notebook, RUNS / notebook.name, {"OUTPUT": str(RUNS)})
    print_results(results, "the MoNuSeg test images" if folder else "synthetic tissue, not MoNuSeg")


def print_results(folder, data):
    """Print one line for each report of `evaluation.evaluate` in a folder."""
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
    """Execute every notebook in place: each is replaced whole, once it ran without an error."""
    folder = dataset.find()
    if not folder:
        raise InputError(
            f"The committed notebooks show MoNuSeg, which was not found: get it with {DOWNLOAD}, "
            "or execute copies with `make run`."
        )
    for notebook in notebooks():
        copy = RUNS / notebook.name
        executed = execute(notebook, copy)
        try:
            tidy(executed, forbidden=(str(ROOT), str(folder)))
        except InputError as error:
            raise InputError(f"{notebook} is left as it was: {error}") from None
        with whole(notebook) as temporary:
            nbformat.write(executed, temporary)


def train(model, parameters):
    """Execute the notebook of a network with TRAIN on.

    On MoNuSeg it rewrites models/ and Graphs/; without it the same goes to runs/, so that
    the weights of the project stay as they are.
    """
    notebook = Path("notebooks", f"{model}.ipynb")
    networks = [path.stem for path in notebooks() if path.stem not in (FIRST, LAST)]
    if model not in networks:
        raise InputError(f"There is no network {model!r}: set MODEL to {' or '.join(networks)}.")
    known = papermill.inspect_notebook(str(notebook))
    if unknown := parameters.keys() - known.keys():
        raise InputError(
            f"{notebook} has no parameter {unknown.pop()!r}: choose from {', '.join(known)}."
        )
    folder = dataset.find()
    output = "." if folder else str(RUNS)
    where = f"{output}/models/ and {output}/Graphs/"
    print(f"Training on {_source(folder)}, into {where}.", flush=True)
    parameters = {"TRAIN": True, "OUTPUT": output} | parameters
    execute(notebook, RUNS / f"{model}_training.ipynb", parameters, verbose=True)


def _source(folder):
    """Say what the notebooks will find."""
    if folder:
        return f"MoNuSeg from {folder}"
    return f"synthetic tissue, for MoNuSeg was not found (get it with {DOWNLOAD})"


def _parameter(text):
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value  # a word needs no quotes


def main(arguments=None):
    """Parse the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="to runs/, on any data")
    commands.add_parser("rewrite", help="in place, on MoNuSeg")
    training = commands.add_parser("train", help="one network, on MoNuSeg")
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
        logging.disable()  # of the tasks that nbclient drops
        print(f"Interrupted: {RUNS}/ holds what was executed so far.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
