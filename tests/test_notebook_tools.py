"""Notebooks run headless: the right Python, one sentence for a failure, nothing half written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import run_notebooks
from headless import execute, prepare_environment
from nuclei import ROOT
from nuclei.errors import InputError

pytestmark = pytest.mark.tensorflow  # the same under any backend: once is enough
DIE = "import os\nos.kill(os.getpid(), 9)"


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """An empty project as working directory, with MoNuSeg in some folder."""
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_notebooks.monuseg, "find", lambda: Path("/somewhere/monuseg"))


def write(path, *cells):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.cells[0].metadata["tags"] = ["parameters"]
    notebook.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": ""}
    notebook.metadata["title"] = "Of the page"
    nbformat.write(notebook, path)
    return Path(path)


def printed(notebook):
    return "".join(
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "text" in output
    )


def test_a_notebook_runs_in_its_folder_on_this_python_with_its_parameters(tmp_path, monkeypatch):
    # Another kernel of the same name, as a person may have one.
    alien = tmp_path / "alien" / "kernels" / "python3" / "kernel.json"
    alien.parent.mkdir(parents=True)
    alien.write_text(json.dumps({"argv": ["false"], "display_name": "", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "alien"))
    monkeypatch.setenv("MONUSEG_DIR", "monuseg")
    # Another checkout, as the installed one may be.
    (tmp_path / "other" / "nuclei").mkdir(parents=True)
    (tmp_path / "other" / "nuclei" / "__init__.py").write_text("ROOT = 'another checkout'")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "other"))
    prepare_environment()

    code = "import os, sys\nfrom nuclei import ROOT\n"
    code += "print(N, os.getcwd(), sys.prefix, os.environ['MONUSEG_DIR'], ROOT, sep='\\n')"
    executed = execute(write("notebooks/a.ipynb", "N = 1", code), Path("runs/a.ipynb"), {"N": 2})

    found = ["2", str(tmp_path / "notebooks"), sys.prefix, str(tmp_path / "monuseg")]
    assert printed(executed).splitlines() == [*found, str(ROOT)]
    assert printed(nbformat.read("runs/a.ipynb", 4)) == printed(executed)


@pytest.mark.parametrize(
    ("code", "reason"),
    [("1 / 0", "ZeroDivisionError: division by zero"), (DIE, "its Python process died")],
)
def test_a_failure_names_notebook_and_cell_and_leaves_the_copy(code, reason):
    notebook = write("notebooks/a.ipynb", "print('before')", code, "print('after')")
    with pytest.raises(InputError, match=rf"notebooks/a.ipynb failed in cell \[2\] \({reason}"):
        execute(notebook, Path("runs/a.ipynb"))
    assert printed(nbformat.read("runs/a.ipynb", 4)).startswith("before\n")


def test_a_damaged_notebook_is_named():
    Path("a.ipynb").write_text("<<<<<<< HEAD")
    with pytest.raises(InputError, match="a.ipynb is missing or damaged"):
        execute(Path("a.ipynb"), Path("runs/a.ipynb"))


def test_rewriting_twice_gives_the_same_bytes():
    code = "import sys\nprint('shown')\nprint('a warning', file=sys.stderr)"
    notebook = write("patch_generator.ipynb", "N = 1", code)
    run_notebooks.rewrite()
    first = notebook.read_bytes()
    run_notebooks.rewrite()

    assert notebook.read_bytes() == first
    cells = nbformat.read(notebook, 4).cells
    assert [cell.execution_count for cell in cells] == [1, 2]
    assert [dict(cell.metadata) for cell in cells] == [{"tags": ["parameters"]}, {}]
    assert printed(nbformat.read(notebook, 4)) == "shown\n"
    assert set(nbformat.read(notebook, 4).metadata) == {"kernelspec", "language_info", "title"}


@pytest.mark.parametrize(
    ("code", "reason"), [("1 / 0", "failed in cell"), ("'/somewhere/monuseg/a'", "Cell .1. shows")]
)
def test_a_notebook_that_fails_or_shows_a_path_is_left_as_it_was(code, reason):
    notebook = write("patch_generator.ipynb", code)
    before = notebook.read_bytes()
    with pytest.raises(InputError, match=reason):
        run_notebooks.rewrite()
    assert notebook.read_bytes() == before


def test_without_monuseg_the_committed_notebooks_and_weights_are_left_alone(monkeypatch, capfd):
    monkeypatch.setattr(run_notebooks.monuseg, "find", lambda: None)
    with pytest.raises(InputError, match="nuclei download"):
        run_notebooks.rewrite()
    write(
        "notebooks/unet.ipynb", "OUTPUT = '.'\nTRAIN = False\nEPOCHS = 5", "print(OUTPUT, EPOCHS)"
    )
    run_notebooks.train("unet", {"EPOCHS": 3})
    said = capfd.readouterr().out
    assert "runs 3\n" in said and f"into {ROOT}/runs/models/ and {ROOT}/runs/Graphs/." in said


def test_the_checkout_of_the_script_is_used_whichever_is_installed(tmp_path):
    package = tmp_path / "other" / "nuclei"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('another checkout')")
    script = ROOT / "tools" / "run_notebooks.py"
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    command = [sys.executable, str(script), "train", "none"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("There is no network 'none': ")


def test_a_parameter_that_does_not_exist_is_named_with_those_that_do():
    write("notebooks/unet.ipynb", "TRAIN = False\nWIDTH = 16\nEPOCHS = 5")
    with pytest.raises(InputError, match="no parameter 'DEPTH': choose from TRAIN, WIDTH, EPOCHS"):
        run_notebooks.train("unet", {"DEPTH": 3})


@pytest.mark.parametrize(
    ("value", "cure"),
    [
        ({"STRONG": "false"}, "STRONG=false is not possible: set STRONG to True or False."),
        ({"STRONG": 0}, "STRONG=0 is not possible: set STRONG to True or False."),
        ({"EPOCHS": "3x"}, "EPOCHS=3x is not possible: set EPOCHS to a whole number."),
        ({"EPOCHS": 1.5}, "EPOCHS=1.5 is not possible: set EPOCHS to a whole number."),
        ({"RATE": "fast"}, "RATE=fast is not possible: set RATE to a number."),
    ],
)
def test_a_parameter_of_another_kind_is_refused(value, cure):
    write("notebooks/unet.ipynb", "TRAIN = False\nSTRONG = False\nEPOCHS = 5\nRATE = 2e-3")
    with pytest.raises(InputError) as error:
        run_notebooks.train("unet", value)
    assert str(error.value) == cure


def test_a_whole_number_is_a_number_and_none_may_be_anything():
    write("notebooks/unet.ipynb", "TRAIN = False\nRATE = 2e-3\nDATA = None\nOUTPUT = '.'", "RATE")
    run_notebooks.train("unet", {"RATE": 1, "DATA": "mydata", "OUTPUT": "runs"})


def test_run_executes_all_in_reading_order_and_prints_results(capfd):
    write("patch_generator.ipynb", "OUTPUT = '.'")
    report = {
        score: {"mean": 0.5, "low": 0.25, "high": 0.75}
        for score in ("dice", "iou", "precision", "recall", "accuracy")
    }
    code = (
        "from pathlib import Path\nfolder = Path('..', OUTPUT, 'results')\nfolder.mkdir()\n"
        f"(folder / 'unet.json').write_text('{json.dumps({'mean': report})}')"
    )
    write("notebooks/unet.ipynb", "OUTPUT = '.'", code)
    write("notebooks/comparison.ipynb", "OUTPUT = '.'", "open('../runs/results/unet.json').read()")
    run_notebooks.run()
    out = capfd.readouterr().out
    assert "MoNuSeg test images" in out
    assert (
        out.splitlines()[-1].split() == ["unet", "0.500", "(0.250", "to", "0.750)"] + ["0.500"] * 4
    )


def test_a_network_that_does_not_exist_is_named_with_those_that_do():
    write("notebooks/unet.ipynb", "TRAIN = False")
    write("notebooks/whole_slide.ipynb", "SLIDE = ''")  # a notebook that trains nothing
    for name in ("resnet", "whole_slide"):
        with pytest.raises(InputError, match=f"no network '{name}': set MODEL to unet\\.$"):
            run_notebooks.train(name, {})
