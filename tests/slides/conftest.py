"""Slides, and a model that stands in for a network."""

import pytest
from slide_files import painted, tissue
from slide_results import CountingRed, results

from nuclei import modelfiles
from nuclei.prediction import engines
from nuclei.slides import find
from nuclei.slides import predict as predict_slide
from nuclei.slides.pyramid import write_pyramid


@pytest.fixture(scope="module")
def image():
    return tissue((700, 900))[0]


@pytest.fixture
def red(monkeypatch, tmp_path):
    """The model is `Red` by any name, in a folder whose weights stand for it."""
    model = CountingRed()
    (tmp_path / "red").mkdir()
    (tmp_path / "red" / "config.json").write_text("{}")
    for module in (find, predict_slide):
        monkeypatch.setattr(module, "load_engine", lambda job: engines.KerasEngine(model))
    monkeypatch.setattr(modelfiles, "find", lambda name: tmp_path / "red")
    return model


@pytest.fixture(scope="module")
def labels():
    return tissue()[1]


@pytest.fixture
def slide(tmp_path, labels):
    return write_pyramid(tmp_path / "slide.tif", painted(labels))


@pytest.fixture
def undisturbed(red, slide, tmp_path):
    predict_slide.predict("red", slide, tmp_path / "undisturbed")
    red.calls = 0
    return results(tmp_path / "undisturbed")
