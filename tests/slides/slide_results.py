"""What a run over a slide has written, and a model for it."""

import errno
import json

import numpy as np
import pyarrow.parquet as pq
import zarr
from ome_zarr_models import open_ome_zarr
from ome_zarr_models.v04.image import Image
from ome_zarr_models.v04.image_label import ImageLabel
from red import Red


class CountingRed(Red):
    """Counts its calls, and may end with a full disk at one of them."""

    calls = 0
    ends_at = None

    def predict_on_batch(self, batch):
        self.calls += 1
        if self.ends_at and self.calls >= self.ends_at:
            raise OSError(errno.ENOSPC, "disk is full")
        return super().predict_on_batch(batch)


def results(out):
    """Everything that a run has written but its duration."""
    store = zarr.open_group(out / "slide.zarr", mode="r")
    levels = range(len(store.attrs["multiscales"][0]["datasets"]))
    report = json.loads((out / "slide.json").read_text())
    del report["seconds"]
    return {
        "maps": [store[str(level)][:] for level in levels],
        "labels": [store[f"labels/nuclei/{level}"][:] for level in levels],
        "geojson": (out / "slide.geojson").read_bytes(),
        "parquet": pq.read_table(out / "slide.parquet"),
        "report": report,
    }


def validated(path):
    """Open a Zarr that the models of OME-NGFF 0.4 accept, with its labels."""
    store = zarr.open_group(path, mode="r")
    image = open_ome_zarr(store, version="0.4")
    assert type(image) is Image and image.labels.attributes.labels == ["nuclei"]
    assert type(open_ome_zarr(store["labels/nuclei"], version="0.4")) is ImageLabel
    return store


def assert_same(found, expected):
    for name in ("maps", "labels"):
        for one, other in zip(found[name], expected[name], strict=True):
            np.testing.assert_array_equal(one, other)
    assert found["geojson"] == expected["geojson"]
    assert found["parquet"].equals(expected["parquet"])
    assert found["report"] == expected["report"]
