"""Notebooks that are not fit to commit are told apart, and the committed ones are fit."""

import json
import re
from pathlib import Path

import pytest

import check_notebooks
from check_notebooks import main, problems
from nuclei import ROOT

HOME = Path("/home/somebody")


@pytest.fixture(autouse=True)
def home(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: HOME)


def cell(number, source="x = 1", *outputs, tags=()):
    return {
        "cell_type": "code",
        "execution_count": number,
        "metadata": {"tags": list(tags)} if tags else {},
        "outputs": list(outputs),
        "source": source.splitlines(keepends=True),
    }


def stream(text):
    return {"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)}


def picture(data, kind="image/png", title="Nuclei"):
    metadata = {kind: {"alt": title}} if title else {}
    return {"output_type": "display_data", "metadata": metadata, "data": {kind: data}}


def notebook(*cells, kernel="python3", **metadata):
    return {
        "cells": [
            {"cell_type": "markdown", "metadata": {}, "source": f"%magic in {ROOT}"},
            cell(1),
            cell(2, tags=["parameters"]),
            *cells,
        ],
        "metadata": {"kernelspec": {"name": kernel}, **metadata},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def write(folder, content):
    path = folder / "a.ipynb"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    "fit",
    [
        cell(3, "a = (\n    7\n    % 4\n)", stream("Read data/MoNuSeg in 2 s")),
        cell(3, "\n".join(["x = 1"] * 25)),
        cell(3, "def f(): ...\nasync def g(): ...\ntext = 'def '"),
        cell(3, "x", stream("see https://somewhere.org/home/page or /homes/x"), picture(f"{ROOT}")),
        cell(3, "x", stream(f"{ROOT}s and {HOME}_2".replace("/home/", "/elsewhere/"))),
    ],
)
def test_a_notebook_that_is_fit(tmp_path, fit):
    assert problems(write(tmp_path, notebook(fit))) == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (notebook(cell(4)), "was not executed in order from code cell 3 on"),
        (notebook(cell(None), cell(None)), "not executed in order from code cell 3 on"),
        (notebook(cell(3, "1 / 0", {"output_type": "error"})), "its code cell 3 ended in an error"),
        (notebook(cell(3, "\n".join(["x = 1"] * 26))), "its code cell 3 has 26 lines"),
        (notebook(cell(3, "def f():\n    def g(): ..."), cell(4, "def h(): ...")), "defines 3 fun"),
        (notebook(cell(3, "%matplotlib inline")), "its code cell 3 is not plain Python"),
        (notebook(cell(3, "!ls")), "its code cell 3 is not plain Python"),
        (notebook(kernel="ir"), "names another kernel"),
        (notebook(widgets={}), "keeps the state of widgets"),
        (
            notebook(cell(3) | {"metadata": {"papermill": {}}}),
            "its code cell 3 keeps the times",
        ),
        (notebook() | {"cells": [cell(1, tags=["parameters"]), cell(2)]}, "no tag `parameters`"),
        (notebook() | {"cells": [cell(1)]}, "no tag `parameters`"),
        (notebook(cell(3, "x", stream("x" * 2_000_000))), "has 2.0 MB"),
        (
            notebook(cell(3, "x", stream(f"in {ROOT}/data"))),
            f"cell 3 shows {ROOT}, a path",
        ),
        (notebook(cell(3, "x", stream(f"in {HOME}\n"))), f"cell 3 shows {HOME}, a path"),
        (
            notebook(cell(3, "x", stream("'/Users/me/a'"))),
            "cell 3 shows /Users/me, a path",
        ),
        (notebook(cell(3, "x", stream(r"C:\Users\me\a"))), r"cell 3 shows C:\Users\me, a path"),
        (
            notebook(cell(3, "x", picture(f"<!--{ROOT}-->", "image/svg+xml"))),
            "cell 3 shows",
        ),
        (notebook(cell(3, "x", picture("", title=None))), "cell 3 has a figure without a title"),
        ({"worksheets": []}, "it cannot be read as a notebook (KeyError"),
        ([], "it cannot be read as a notebook (TypeError"),
    ],
)
def test_a_notebook_that_is_not_fit_is_named_with_its_one_problem(tmp_path, content, problem):
    (found,) = problems(write(tmp_path, content))
    assert found.startswith("a.ipynb is not fit to commit: it")
    assert problem in found
    assert found.endswith(".") and "\n" not in found and not re.search(r"\.\s", found)


def test_a_conflict_and_a_missing_file_are_problems_too(tmp_path):
    path = tmp_path / "a.ipynb"
    assert "FileNotFoundError" in problems(path)[0]
    path.write_text("<<<<<<< HEAD\n{}")
    assert "JSONDecodeError" in problems(path)[0]


def test_a_home_at_the_root_of_the_disk_is_not_found_everywhere(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/"))
    assert problems(write(tmp_path, notebook(cell(3, "x", stream("1 / 2"))))) == []


def test_the_script_prints_every_problem_and_fails(tmp_path, capsys):
    bad = write(tmp_path, notebook(cell(None, "!ls"), kernel="ir"))
    assert main([str(bad)]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_without_arguments_the_script_checks_all_of_the_repository(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(check_notebooks, "ROOT", tmp_path)
    (tmp_path / "notebooks").mkdir()
    write(tmp_path, notebook())
    assert main([]) == 0
    write(tmp_path / "notebooks", notebook(cell(None)))
    assert main([]) == 1
    assert "notebooks/a.ipynb is not fit to commit: it was not executed" in capsys.readouterr().out
