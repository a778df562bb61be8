"""The package is a house: rooms in an order, each of which imports only rooms before it."""

import ast
import subprocess
import sys
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter

import pytest

from nuclei import ROOT

PACKAGE = ROOT / "nuclei"
ROOMS = [
    "errors",
    "atomic",
    "memory",
    "images",
    "keras_backend",
    "streams",
    "gpus",
    "allocator",
    "modelfiles",
    "scores",
    "data",
    "networks",
    "training",
    "modelzoo",
    "outputs",
    "prediction",
    "export",
    "slides",
    "figures",
    "app",
    "evaluation",
    "model_card",
    "commands",
    "__main__",
]
"""In order: files and folders of `nuclei/`."""

FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST = 300
"""Lines of a file that can be read in a sitting."""


def name_of(path):
    """The module of a file, relative to the package: `data.patches`, and "" for the package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path) for path in FILES}


def imported(path):
    """Modules of the package that a file imports, anywhere in it; relative to the package."""
    folder = path.parent.relative_to(PACKAGE).parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            yield from (name[7:] for name in names if name.startswith("nuclei."))
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = [*folder[: len(folder) - node.level + 1]]
            elif (node.module or "").split(".")[0] == "nuclei":
                base = []
            else:
                continue
            base += (node.module or "").removeprefix("nuclei").strip(".").split(".")
            base = ".".join(filter(None, base))
            for alias in node.names:
                whole = f"{base}.{alias.name}".strip(".")
                yield whole if whole in MODULES else base


def room(module):
    return module.split(".")[0]


def test_every_file_is_in_a_room():
    assert {room(module) for module in MODULES - {""}} == set(ROOMS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: name_of(path) or "nuclei")
def test_a_room_imports_only_rooms_before_it(path):
    here = name_of(path)
    for module in imported(path):
        assert not module or room(module) == room(here) or here, f"nuclei imports {module}"
        if module and room(module) != room(here):
            assert ROOMS.index(room(module)) < ROOMS.index(room(here)), f"{here} imports {module}"


def test_no_two_files_import_each_other():
    graph = defaultdict(set)
    for path in FILES:
        here = name_of(path)
        graph[here] |= {module for module in imported(path) if module not in ("", here)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports in a circle: {error.args[1]}")


FORBIDDEN = {
    "networks": {"data"},  # a network knows nothing of data
    "scores": {"images"},  # a score knows nothing of files, nor of Keras: see below
}
"""Rooms before a room that it does without."""

KERNELS = {"training.acceleration": {"tensorflow"}}
"""Backends of Keras that a file calls itself, for a kernel that `keras.ops` lacks."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: name_of(path) or "nuclei")
def test_rooms_know_no_more_than_they_need(path):
    here = room(name_of(path))
    rooms = {room(module) for module in imported(path)}
    assert not rooms & FORBIDDEN.get(here, set())
    if here not in ("slides", "app", "commands", "__main__"):
        assert "slides" not in rooms
    packages = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            packages |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            packages.add(node.module.split(".")[0])
    assert packages & {"tensorflow", "jax", "torch"} == KERNELS.get(name_of(path), set())
    if here == "scores":
        assert "keras" not in packages


@pytest.mark.parametrize("path", FILES, ids=lambda path: name_of(path) or "nuclei")
def test_every_file_says_what_it_is_for_and_is_short(path):
    source = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source))
    assert len(source.splitlines()) <= LONGEST


def test_every_file_is_linted():
    command = [sys.executable, "-m", "ruff", "check", "--show-files"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {*map(str, FILES), *map(str, (ROOT / "tests").rglob("*.py"))} <= {*shown.splitlines()}


def test_rooms_are_walked_as_they_should_be():
    """The walk itself sees imports of every form."""
    found = set(imported(PACKAGE / "slides" / "find.py"))
    assert {"atomic", "errors", "prediction.artefacts", "slides.job", "slides.rle"} <= found
    loading = PACKAGE / "prediction" / "engines" / "loading.py"
    assert {"modelzoo", "prediction.engines.files"} <= set(imported(loading))  # within a function
    assert "data.annotations" in set(imported(PACKAGE / "data" / "dataset.py"))
    assert "data.annotations.polygons" in set(
        imported(PACKAGE / "data" / "annotations" / "aperio.py")
    )
