"""Check that notebooks are committed as they should be: `make lint`, and pre-commit.

Executed outputs stay in the notebooks, for readers on the web; what would embarrass them or
differ from machine to machine does not. Only the standard library is needed.
"""

import argparse
import ast
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_BYTES = 2_000_000
MAX_LINES = 25
MAX_FUNCTIONS = 2
HOMES = r"(?<![\w.+-])/(?:home|Users)/[\w.-]+|[A-Za-z]:\\Users\\[\w.-]+"
"""Home folders on other machines than this one; no part of a web address."""


def problems(path):
    """Say what keeps a notebook from being committed.

    Parameters
    ----------
    path : path-like
        A notebook.

    Returns
    -------
    list of str
        One sentence for each problem; empty if there is none.
    """
    path = Path(path).resolve()
    name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        found = [f"it {problem}" for problem in _of_file(path, notebook, cells)]
        for number, cell in enumerate(cells, start=1):
            found += [f"its code cell {number} {problem}" for problem in _of_cell(cell)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        # A ValueError is no JSON or no UTF-8; the last three come from JSON that is no notebook.
        found = [f"it cannot be read as a notebook ({type(error).__name__}: {error})"]
    return [f"{name} is not fit to commit: {problem}." for problem in found]


def _of_file(path, notebook, cells):
    """Yield what is wrong with a notebook as a whole."""
    if (size := path.stat().st_size) >= MAX_BYTES:
        yield f"has {size / 1e6:.1f} MB, and outputs should stay below {MAX_BYTES / 1e6:.0f} MB"
    if notebook["metadata"].get("kernelspec", {}).get("name") != "python3":
        yield "names another kernel than python3"
    if "widgets" in notebook["metadata"]:
        yield "keeps the state of widgets: run `make notebooks`"
    if len(cells) < 2 or "parameters" not in cells[1]["metadata"].get("tags", []):
        yield "has no tag `parameters` at its second code cell"
    numbered = enumerate(cells, start=1)
    if first := next((n for n, cell in numbered if cell["execution_count"] != n), None):
        yield f"was not executed in order from code cell {first} on: run `make notebooks`"
    functions = sum(map(_count_functions, cells))
    if functions > MAX_FUNCTIONS:
        yield f"defines {functions} functions: leave {MAX_FUNCTIONS} and move the others to nuclei/"


def _of_cell(cell):
    """Yield what is wrong with a code cell."""
    source = _text(cell["source"])
    if any(output["output_type"] == "error" for output in cell["outputs"]):
        yield "ended in an error"
    if (lines := len(source.splitlines())) > MAX_LINES:
        yield f"has {lines} lines, and {MAX_LINES} are the most"
    if _parse(source) is None:
        yield "is not plain Python, so use no magics"
    if cell["metadata"].keys() & {"papermill", "execution"}:
        yield "keeps the times of its execution: run `make notebooks`"
    if any("image/png" in data and "alt" not in meta for data, meta in _shown(cell["outputs"])):
        yield "has a figure without a title for those who cannot see it: use `show_figure`"
    if shown := next(_machine_paths(cell["outputs"]), None):
        yield f"shows {shown}, a path of one machine: print paths relative to the repository"


def _parse(source):
    try:
        return ast.parse(source)
    except SyntaxError:
        return None


def _count_functions(cell):
    tree = _parse(_text(cell["source"]))
    nodes = ast.walk(tree) if tree else ()
    return sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes)


def _shown(outputs):
    """Yield what outputs show, by format, and the metadata of it."""
    for output in outputs:
        if "data" in output:
            yield output["data"], output.get("metadata", {}).get("image/png", {})


def _machine_paths(outputs):
    """Yield folders of a machine that outputs show: the repository, and homes."""
    # A home that is the root of the disk, as in some containers, would be found everywhere.
    folders = [folder for folder in (ROOT, Path.home()) if folder != Path(folder.anchor)]
    pattern = "|".join([*(rf"{re.escape(str(folder))}(?!\w)" for folder in folders), HOMES])
    for text in _strings(outputs):
        yield from (match.group() for match in re.finditer(pattern, text))


def _strings(outputs):
    """Yield all texts of outputs; base64 of pictures says nothing, or anything by chance."""
    if isinstance(outputs, str):
        yield outputs
    elif isinstance(outputs, list):
        if outputs and all(isinstance(line, str) for line in outputs):
            outputs = ["".join(outputs)]
        for each in outputs:
            yield from _strings(each)
    elif isinstance(outputs, dict):
        for key, value in outputs.items():
            if not key.startswith("image/") or key == "image/svg+xml":
                yield from _strings(value)


def _text(source):
    """Join the lines of a cell, which are stored as one string or as several."""
    return source if isinstance(source, str) else "".join(source)


def main(arguments=None):
    """Parse the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of the repository")
    paths = parser.parse_args(arguments).notebooks
    paths = paths or sorted([*ROOT.glob("*.ipynb"), *ROOT.glob("notebooks/*.ipynb")])
    found = [sentence for path in paths for sentence in problems(path)]
    print(*found or [f"{len(paths)} notebooks are fit to commit."], sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
