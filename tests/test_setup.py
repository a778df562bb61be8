"""What an installation depends on: requirements, a GPU or none, and a CI that runs."""

import ast
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata

import pytest
import yaml
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
    "ai_edge_litert": "ai-edge-litert",
    "bioimageio": "bioimageio.core",
    "numcodecs": "zarr",
    "openslide": "openslide-python",
    "psutil": "dask",
    "skimage": "scikit-image",
    "yaml": "dask",
}


def requirements(name):
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


ALL = [
    requirement
    for name in (
        "requirements.txt",
        "requirements-gpu.txt",
        "requirements-dev.txt",
        "requirements-export.txt",
        "requirements-quantize.txt",
        "requirements-app.txt",
        "requirements-napari.txt",
        "requirements-supply.txt",
    )
    for requirement in requirements(name)
]


@pytest.mark.parametrize("requirement", ALL, ids=str)
def test_a_requirement_has_a_lower_and_an_upper_bound(requirement):
    assert {specifier.operator for specifier in requirement.specifier} == {">=", "<"}


def test_the_file_for_a_gpu_adds_cuda_to_all_that_the_other_installs():
    assert "\n-r requirements.txt\n" in (ROOT / "requirements-gpu.txt").read_text()
    (cuda,) = requirements("requirements-gpu.txt")
    (plain,) = (one for one in requirements("requirements.txt") if one.name == "tensorflow")
    assert cuda.name == "tensorflow" and cuda.extras == {"and-cuda"}
    assert cuda.specifier == plain.specifier


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def versions(name, *options):
    """Versions that the package index has for this Python on this system."""
    done = pip("index", "versions", name, *options)
    found = re.search("^Available versions: (.+)$", done.stdout, re.MULTILINE)
    return found.group(1).split(", ") if found else []


@pytest.mark.tensorflow
def test_the_requirements_resolve_to_what_is_installed(tmp_path):
    # What is installed is a solution, which pip finds without the index; any conflict is named.
    # The package itself is left out: pip would fetch setuptools to ask for its dependencies.
    lines = (ROOT / "requirements.txt").read_text().replace("--editable .", "")
    (tmp_path / "requirements.txt").write_text(lines)
    done = pip("install", "--dry-run", "--no-index", "-r", str(tmp_path / "requirements.txt"))
    assert done.returncode == 0, done.stderr
    assert "Would install" not in done.stdout


@pytest.mark.tensorflow
@pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason="the CUDA libraries of TensorFlow exist for Linux on x86_64 alone",
)
def test_the_cuda_libraries_resolve():
    # `pip install --dry-run` may download all 2.8 GB to ask them what they need, so the index is
    # asked for versions only. TensorFlow names all libraries; nothing else here depends on them.
    wanted = [Requirement(text) for text in metadata.requires("tensorflow")]
    wanted = [one for one in wanted if one.marker and one.marker.evaluate({"extra": "and-cuda"})]
    assert {"nvidia-cudnn-cu12", "nvidia-cublas-cu12"} <= {one.name for one in wanted}
    if not versions("tensorflow", "--timeout", "10", "--retries", "1"):
        pytest.skip("no package index that has TensorFlow can be reached")
    with ThreadPoolExecutor(4) as pool:
        offered = pool.map(versions, [one.name for one in wanted])
        missing = [
            str(one)
            for one, found in zip(wanted, offered, strict=True)
            if not any(one.specifier.contains(version) for version in found)
        ]
    assert not missing


def sources():
    for folder in ("nuclei", "tools", "benchmarks", "experiments"):
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
    known |= sys.stdlib_module_names | {"nuclei"}
    folders = "tools", "benchmarks", "experiments"  # their scripts import each other
    known |= {path.stem for folder in folders for path in ROOT.glob(f"{folder}/*.py")}
    more = {"quantize.py": {one.name for one in requirements("requirements-quantize.txt")}}
    more["h5ad.py"] = {"anndata"}  # optional: a sentence says so where it is missing
    # Optional as well; some come with packages of requirements-export.txt.
    exporting = {one.name for one in requirements("requirements-export.txt")}
    more["formats.py"] = exporting
    more["bioimage.py"] = exporting | {"onnx", "pydantic"}
    more["app.py"] = {one.name for one in requirements("requirements-app.txt")} | {"tornado"}
    more["browser.py"] = {one.name for one in requirements("requirements-dev.txt")} | {"psutil"}
    unknown = {
        f"{path.relative_to(ROOT)} imports {module}"
        for path, source in sources()
        for module in imports(source)
        if DISTRIBUTIONS.get(module, module) not in known | more.get(path.name, set())
    }
    assert not unknown


FAKES = {
    # Stands for every Python: "creates" an environment, and notes what pip is to install.
    "python": """
        if [ "$3" = --clear ]; then rm -rf "$4"; fi
        if [ "$2" = venv ]; then mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; fi
        if [ "$2" = pip ]; then shift 3; echo "$@" >> pip.log; fi
    """,
    "uname": "echo $SYSTEM",
    "nvidia-smi": "echo NVIDIA-SMI 570.86; exit $CARD",
}
CPU = [
    "--quiet pip>=25",
    "--no-compile -r requirements.txt -r requirements-dev.txt -c requirements.lock",
]
GPU = ["-r requirements-gpu.txt -c requirements.lock"]


@pytest.fixture
def setup(tmp_path, monkeypatch):
    """Runs `make setup` in a copy: the Makefile is real, Python and nvidia-smi are not.

    Returns what pip was asked to install, and what was printed.
    """
    if not (shutil.which("make") and shutil.which("timeout")):
        pytest.skip("make or timeout is not installed")
    for path in (ROOT / "Makefile", *ROOT.glob("requirements*")):
        shutil.copy2(path, tmp_path)
    for name, commands in FAKES.items():
        program = tmp_path / "fakes" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{commands}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "fakes"), prepend=os.pathsep)
    # `make test GPU=0` hands its variables on to every make that runs inside.
    for name in ("GPU", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL"):
        monkeypatch.delenv(name, raising=False)

    def run(*variables, card=True, system="Linux x86_64", target="setup"):
        log = tmp_path / "pip.log"
        log.write_text("")
        command = ["make", "PYTHON=python", target, *variables]
        environment = {**os.environ, "SYSTEM": system, "CARD": "0" if card else "9"}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return log.read_text().splitlines(), done.stdout

    return run


@pytest.mark.parametrize(
    ("card", "system", "variables", "installed"),
    [
        (False, "Linux x86_64", [], CPU),
        (True, "Linux x86_64", [], CPU + GPU),
        (True, "Linux x86_64", ["GPU=0"], CPU),
        (False, "Linux x86_64", ["GPU=1"], CPU + GPU),
        (True, "Linux aarch64", [], CPU),
        (True, "Darwin arm64", [], CPU),
    ],
)
def test_cuda_is_installed_where_a_card_answers(setup, card, system, variables, installed):
    found, out = setup(*variables, card=card, system=system)
    assert found == installed
    sentences = [line for line in out.splitlines() if line.startswith("TensorFlow")]
    assert len(sentences) == 1
    assert ("gets the CUDA libraries" if installed != CPU else "for the CPU") in sentences[0]


def test_gpu_0_may_come_from_the_environment(setup, monkeypatch):
    monkeypatch.setenv("GPU", "0")
    assert setup()[0] == CPU


def test_a_card_that_comes_later_gets_its_libraries_once(setup):
    assert setup(card=False)[0] == CPU
    assert setup(card=False)[0] == []
    assert setup(card=True)[0] == GPU
    assert setup(card=True)[0] == setup(card=False)[0] == []


def test_a_new_environment_gets_its_libraries_again(setup, tmp_path):
    assert setup()[0] == CPU + GPU
    for name, expected in (("requirements-gpu.txt", GPU), ("requirements.txt", CPU + GPU)):
        later = (tmp_path / ".venv" / "installed-gpu").stat().st_mtime + 10
        os.utime(tmp_path / name, (later, later))
        assert setup()[0] == expected
        os.utime(tmp_path / name, (0, 0))


def test_only_setting_up_asks_for_a_card(setup, tmp_path):
    (tmp_path / "fakes" / "nvidia-smi").write_text("#!/bin/sh\ntouch asked\n")
    out = setup(target="help")[1]
    assert re.search("make setup .*GPU=0", out)
    assert not (tmp_path / "asked").exists()
    setup()
    assert (tmp_path / "asked").exists()


def test_ci_can_be_executed():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_ci_calls_targets_of_make_on_a_python_that_is_supported():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    targets = set(re.findall("^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name, job in jobs.items():
        steps = job["steps"]
        runs = [step["run"].partition("  #")[0] for step in steps if "run" in step]
        assert runs.pop() == f"make {name}"
        browser = ["make setup", ".venv/bin/playwright install --with-deps chromium"]
        assert runs == (browser if name == "test" else [])
        assert name in targets and job["timeout-minutes"] <= 60
        assert all(re.search("@v[0-9]+$", step["uses"]) for step in steps if "uses" in step)
    assert jobs.keys() == {"test", "lint"}
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.13"]


def test_a_commit_is_checked_like_the_tree():
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = [hook["entry"].replace(" --force-exclude", "") for hook in local["hooks"]]
    makefile = (ROOT / "Makefile").read_text()
    lint = makefile.partition("\nlint:")[2].partition("\n\n")[0]
    for hook in hooks:
        assert f"$(VENV_PYTHON) {hook.removeprefix('python ')}" in lint.replace("-m ", "")
    assert len(hooks) == lint.count("$(VENV_PYTHON)") == 3
    ruff = [one for one in requirements("requirements-dev.txt") if one.name == "ruff"]
    for hook in local["hooks"][:2]:
        assert [Requirement(text) for text in hook["additional_dependencies"]] == ruff
