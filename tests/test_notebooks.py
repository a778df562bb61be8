"""Every notebook runs top to bottom, trains where it can, and is committed as it should be."""

import numpy as np
import pytest
from PIL import Image

from check_notebooks import problems
from headless import execute
from nuclei import ROOT, modelzoo
from nuclei.data import monuseg, synthetic
from nuclei.training.history import read_history

NOTEBOOKS = [ROOT / "patch_generator.ipynb", *sorted((ROOT / "notebooks").glob("*.ipynb"))]
CUT = {"PATCH_SIZE": 128, "STRIDE": 128}
MODELS = {
    "segnet_instances": (
        "segnet",
        {"WIDTH": 2, "DISTANCE": True, "PATCHES": "files", "STRONG": True}
        | {"COMPARISON_WIDTH": 2, "COMPARISON_EPOCHS": 1, "COMPARISON_SEEDS": 1},
    ),
    "deeplabv3_mobilenetv2": (
        "deeplabv3",
        {"WIDTH": 4, "BACKBONE_WEIGHTS": None, "COMPARISON_SEEDS": 0},
    ),
    "unet_instances": ("unet", {"WIDTH": 16, "DISTANCE": True, "START": "unet"}),
}
"""For each model its notebook, and parameters that make it quick to train; the longest first.

The comparison of DeepLabv3 would take longer than all the rest; SegNet's is made by the same loop.
test_own_data.py trains a UNet on masks."""

SMALL = {
    "TCGA-18-5592-01Z-00-DX1": "Training",
    "TCGA-38-6178-01Z-00-DX1": "Training",
    "TCGA-A7-A13E-01Z-00-DX1": "Training",
    "TCGA-HE-7130-01Z-00-DX1": "Training",  # a validation patient
    "TCGA-A6-6782-01A-01-BS1": "Test",
    "TCGA-HT-8564-01Z-00-DX1": "Test",
}
"""Images of the small data set that networks are trained on here."""

QUICK = {
    "comparison": {"MEASURE": True, "AUGMENT": False}
    | {"MODELS": ["unet", "unet_instances"], "MEMBERS": ["unet"]},
    "your_own_data": {"IMAGES": {"train": 2, "val": 1, "test": 2}, "SIDE": 160, "STEPS": 2},
    "unet": {},
    "segnet": {},
    "deeplabv3": {},
}
"""Notebooks that run on the small images, with their parameters: those that take longest."""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Notebooks in the folder where they are executed, and no MoNuSeg."""
    monkeypatch.delenv("MONUSEG_DIR", raising=False)
    if monuseg.FOLDER.exists():
        pytest.skip("data/MoNuSeg is here, so the notebooks would run on it and take minutes")
    monkeypatch.chdir(ROOT)
    return tmp_path


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A data set of six images of 256 x 256 pixels, named as in MoNuSeg."""
    root = tmp_path_factory.mktemp("small")
    for seed, (name, split) in enumerate(SMALL.items()):
        image, labels = synthetic.tissue(seed, (256, 256))
        for folder, ending, pixels in (
            ("TissueImages", ".tif", image),
            ("Labels", "_labels.png", labels.astype(np.uint16)),
        ):
            (root / split / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / split / folder / f"{name}{ending}")
    return root


def run(notebook, folder, **parameters):
    return execute(
        notebook.relative_to(ROOT), folder / notebook.name, {"OUTPUT": str(folder), **parameters}
    )


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", MODELS)
def test_trains(name, project, small, monkeypatch):
    notebook, parameters = MODELS[name]
    monkeypatch.setenv("MONUSEG_DIR", str(small))
    if parameters.get("PATCHES") == "files":
        run(ROOT / "patch_generator.ipynb", project, **CUT)
    parameters = {"TRAIN": True, "EPOCHS": 2, "BATCH_SIZE": 2} | CUT | parameters
    executed = run(ROOT / "notebooks" / f"{notebook}.ipynb", project, **parameters)
    printed = "".join(
        output.get("text", "") for cell in executed.cells for output in cell.get("outputs", ())
    )
    assert ("12 patches, read from the files" in printed) == (parameters.get("PATCHES") == "files")

    folder = project / "models" / name
    model = modelzoo.load(folder)
    metrics = modelzoo.read_metrics(folder)
    assert metrics["parameters"] == model.count_params()
    assert model.output_shape[-1] == (2 if "instances" in name else 1)
    assert metrics["steps_per_epoch"] == 3 * 4 / 2  # three images of four patches, two a batch
    assert set(metrics["train_patients"]) == {x[:12] for x in list(SMALL)[:3]}
    assert metrics["val_patients"] == ["TCGA-HE-7130"]
    scale = 0.35 if parameters.get("STRONG") else 0.25
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"| Augmentation | shift 64, turn 45, scale {scale}, stain " in card
    losses = [row["loss"] for row in read_history(folder)]
    assert len(losses) == 2 and losses[1] < losses[0]
    assert not (project / "checkpoints" / name).exists()
    for figure in ("loss", "dice", "predictions"):
        assert (project / "Graphs" / f"{name}_{figure}.png").stat().st_size > 10_000


@pytest.mark.tensorflow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_on_synthetic_tissue(notebook, project, small, monkeypatch):
    if notebook.stem in QUICK:
        monkeypatch.setenv("MONUSEG_DIR", str(small))
    run(notebook, project, **QUICK.get(notebook.stem, {}))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_committed_executed_and_readable(path):
    assert problems(path) == []
