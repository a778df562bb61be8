"""A folder to work in, and tissue."""

import numpy as np
import pytest
from command_line import NUCLEUS, TISSUE
from red import Red

from nuclei.data import monuseg
from nuclei.errors import InputError
from nuclei.prediction import engines


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder to work in, without MoNuSeg, where the model is `Red` by any name but "none"."""

    def load(name, engine):
        if name == "none":
            raise InputError("There is no model none: choose one of unet.")
        return engines.KerasEngine(Red())

    monkeypatch.setattr(engines, "load", load)
    monkeypatch.setattr(engines, "choose", lambda name, engine: load(name, engine).name)
    monkeypatch.setattr(engines, "fingerprint", lambda name, engine: f"{name} {engine}")
    monkeypatch.setattr(monuseg, "FOLDER", tmp_path / "nowhere")
    monkeypatch.delenv("MONUSEG_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pixels():
    """Tissue with one nucleus of 7 x 9 pixels."""
    image = np.full((30, 41, 3), TISSUE, np.uint8)
    image[5:12, 20:29] = NUCLEUS
    return image
