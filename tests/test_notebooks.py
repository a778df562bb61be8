"""Every notebook runs top to bottom on synthetic tissue, and is committed as it should be."""

import json
from pathlib import Path

import nbformat
import pytest

from headless import execute
from nuclei import ROOT, dataset, modelzoo

NOTEBOOKS = [ROOT / "patch_generator.ipynb", *sorted((ROOT / "notebooks").glob("*.ipynb"))]
COMPARISON = {"COMPARISON_WIDTH": 2, "COMPARISON_EPOCHS": 1, "COMPARISON_SEEDS": 1}
MODELS = {
    "unet": ("unet", {"WIDTH": 2}),
    "unet_instances": ("unet", {"WIDTH": 16, "DISTANCE": True, "START": "unet"}),
    "segnet": ("segnet", {"WIDTH": 2} | COMPARISON),
    "deeplabv3_mobilenetv2": (
        "deeplabv3",
        {"WIDTH": 4, "BACKBONE_WEIGHTS": None, "COMPARISON_EPOCHS": 1, "COMPARISON_SEEDS": 1},
    ),
}
"""For each model its notebook, and parameters that make it quick to train."""


QUICK = {"comparison": {"MEMBERS": ["unet"], "AUGMENT": False}}
"""Parameters that spare a notebook minutes."""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Notebooks in the folder where they are executed, and no MoNuSeg."""
    monkeypatch.delenv("MONUSEG_DIR", raising=False)
    if dataset.FOLDER.exists():
        pytest.skip("data/MoNuSeg is here, so the notebooks would run on it and take minutes")
    monkeypatch.chdir(ROOT)
    return tmp_path


def run(notebook, folder, **parameters):
    return execute(
        notebook.relative_to(ROOT), folder / notebook.name, {"OUTPUT": str(folder), **parameters}
    )


@pytest.mark.tensorflow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_on_synthetic_tissue(notebook, project):
    run(notebook, project, **QUICK.get(notebook.stem, {}))


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", MODELS)
def test_trains_on_synthetic_tissue(name, project):
    notebook, parameters = MODELS[name]
    run(ROOT / "notebooks" / f"{notebook}.ipynb", project, TRAIN=True, EPOCHS=2, **parameters)

    folder = project / "models" / name
    model = modelzoo.load(folder)
    metrics = modelzoo.read_metrics(folder)
    assert metrics["parameters"] == model.count_params()
    assert metrics["data"] == "synthetic tissue"
    assert not set(metrics["fitting_patients"]) & set(metrics["validation_patients"])
    losses = [row["loss"] for row in modelzoo.read_history(folder)]
    assert len(losses) == 2 and losses[1] < losses[0]
    assert not (project / "checkpoints" / name).exists()
    for figure in ("loss", "dice", "predictions"):
        assert (project / "Graphs" / f"{name}_{figure}.png").stat().st_size > 10_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_committed_executed_and_readable(path):
    assert path.stat().st_size < 2_000_000
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata.kernelspec.name == "python3"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
    assert "parameters" in code[1].metadata.tags
    assert max(len(cell.source.splitlines()) for cell in code) <= 25
    assert sum(cell.source.count("def ") for cell in code) <= 2
    shown = json.dumps([cell.outputs for cell in code])
    assert str(ROOT) not in shown and str(Path.home()) not in shown
