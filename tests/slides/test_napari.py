"""The plugin of napari for OME-NGFF opens the maps of a slide; no window is drawn."""

import numpy as np
import pytest
from slide_files import aperio, tissue

from nuclei.__main__ import main
from nuclei.slides import ome_zarr

why = "optional, needs `pip install -r requirements-napari.txt`"
plugin = pytest.importorskip("napari_ome_zarr", reason=why)


def test_the_plugin_opens_probability_and_labels_of_a_slide(tmp_path):
    image, _ = tissue((700, 900))
    aperio(tmp_path / "slide.svs", image)
    words = ["predict", "unet_instances", tmp_path / "slide.svs", "--engine", "openvino-int8"]
    assert not main([str(word) for word in [*words, "--out", tmp_path / "out"]])
    path = tmp_path / "out" / "slide.zarr"

    layers = plugin.napari_get_reader(str(path))(str(path))
    found = {kind: (data, settings) for data, settings, kind in layers}
    assert set(found) == {"image", "labels"}
    written = np.asarray(ome_zarr.open_array(path / "labels" / "nuclei" / "0"))
    assert written.max() > 5
    np.testing.assert_array_equal(np.squeeze(found["labels"][0][0]), np.squeeze(written))
    assert found["image"][0][0].shape[-2:] == image.shape[:2]
    # Pixels of 0.25 um: image and labels lie on each other.
    for _, settings in found.values():
        np.testing.assert_allclose(settings["scale"][-2:], 0.25)
