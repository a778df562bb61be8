"""Data for the tests: a MoNuSeg of five small images, and the real one where it is at hand."""

import os
import random
import zipfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image
from tiny_monuseg import published, tiny_images

LONG = ("test_notebooks", "test_own_data", "test_models", "test_slide_processes", "test_devices")
"""Files of the tests that take longest."""


def pytest_collection_modifyitems(items):
    """Begin with the longest tests, so that no core waits for the last one.

    Of two processes each gets one half of the list, in order. So each half begins with long tests.
    """
    long = [item for name in LONG for item in items if item.path.stem == name]
    short = [item for item in items if item.path.stem not in LONG]
    half = max(0, (len(items) + 1) // 2 - len(long[::2]))
    items[:] = long[::2] + short[:half] + long[1::2] + short[half:]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Give the networks of a test the same random weights in each run: Keras draws from here."""
    random.seed(0)


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """A cache of the tests' own for converted models, also in processes that they start."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder := tmp_path_factory.mktemp("cache")))
        yield folder


@pytest.fixture(autouse=True)
def environment():
    """The environment variables of a test end with it: tools set some for what they start."""
    with patch.dict(os.environ):
        yield


@pytest.fixture
def monuseg_folder():
    """The folder of the real MoNuSeg."""
    if "MONUSEG_DIR" not in os.environ:
        pytest.skip("MONUSEG_DIR is not set")
    return Path(os.environ["MONUSEG_DIR"])


@pytest.fixture(scope="session")
def tiny():
    """Five small images by TCGA name: folder, image, labels, and both as files of MoNuSeg."""
    return tiny_images()


@pytest.fixture
def canonical(tmp_path, tiny):
    """`tiny` in the layout Training|Test / TissueImages, GroundTruth, Labels."""
    root = tmp_path / "canonical"
    for name, one in tiny.items():
        folder = root / one.folder
        _save(folder / "TissueImages" / f"{name}.tif", one.image)
        _save(folder / "GroundTruth" / f"{name}_bin_mask.png", np.uint8(255) * (one.labels > 0))
        _save(folder / "Labels" / f"{name}_labels.png", one.labels.astype(np.uint16))
    return root


@pytest.fixture
def unpacked(tmp_path, tiny):
    """`tiny` as the archives of the challenge unpack."""
    root = tmp_path / "unpacked"
    for path, data in published(tiny).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


@pytest.fixture
def zipped(tmp_path, tiny):
    """`tiny` as the two archives of the challenge."""
    root = tmp_path / "zipped"
    root.mkdir()
    for path, data in published(tiny).items():
        with zipfile.ZipFile(root / f"{path.parts[0]}.zip", "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path.as_posix(), data)
            # Archives packed on a Mac carry such companions, which are no images.
            archive.writestr(f"__MACOSX/{path.parent}/._{path.name}", b"Mac OS X")
    return root


def _save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
