"""What an installation depends on: bounded requirements, all of them named, and a CI that runs."""

import ast
import json
import os
import sys

import pytest
from packaging.requirements import Requirement

from nuclei import ROOT

# The requirement that brings a module, where their names differ.
DISTRIBUTIONS = {
    "IPython": "jupyter",
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "distributed": "dask",
    "h5py": "keras",
    "jupyter_client": "papermill",
    "nbclient": "papermill",
    "nbformat": "papermill",
    "numcodecs": "zarr",
    "openslide": "openslide-python",
    "psutil": "dask",
    "skimage": "scikit-image",
}


def requirements(name):
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("--")]


@pytest.mark.parametrize(
    "requirement", requirements("requirements.txt") + requirements("requirements-dev.txt"), ids=str
)
def test_a_requirement_has_a_lower_and_an_upper_bound(requirement):
    assert {specifier.operator for specifier in requirement.specifier} == {">=", "<"}


def sources():
    for folder in ("nuclei", "tools", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            yield path, path.read_text()
    for path in [*ROOT.glob("*.ipynb"), *(ROOT / "notebooks").glob("*.ipynb")]:
        cells = json.loads(path.read_text())["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        yield path, "\n".join(code)


def imports(source):
    """Names of the top-level packages that some code imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


def test_whatever_is_imported_is_required():
    known = {requirement.name for requirement in requirements("requirements.txt")}
    known |= sys.stdlib_module_names | {"nuclei"} | {path.stem for path in ROOT.glob("tools/*.py")}
    unknown = {
        f"{path.relative_to(ROOT)} imports {module}"
        for path, source in sources()
        for module in imports(source)
        if DISTRIBUTIONS.get(module, module) not in known
    }
    assert not unknown


def test_ci_can_be_executed():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
