"""Whole slides from end to end: every nucleus once, whatever happens on the way."""

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import geopandas
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
import tifffile
import zarr
from objects_reference import share_matched
from ome_zarr_models import open_ome_zarr
from ome_zarr_models.v04.image import Image
from ome_zarr_models.v04.image_label import ImageLabel
from slide_files import aperio, dicom_slide, leica, painted, replaced, tissue
from sockets import listening

from nuclei import ROOT, modelfiles, modelzoo, networks
from nuclei.__main__ import main
from nuclei.atomic import locked
from nuclei.data import annotations
from nuclei.errors import InputError
from nuclei.prediction import engines, instances, measures, windows
from nuclei.slides import dask_cluster, find, ome_zarr
from nuclei.slides import predict as predict_slide
from nuclei.slides.pyramid import write_pyramid


class Red:
    """Stands in for a model: probability is red / 255, by pixel, so that tiles are exact."""

    name = "red"
    output_shape = (None, None, None, 1)
    calls = 0
    ends_at = None

    def predict_on_batch(self, batch):
        self.calls += 1
        if self.ends_at and self.calls >= self.ends_at:
            raise OSError(errno.ENOSPC, "disk is full")
        return batch[..., :1] / np.float32(255)


@pytest.fixture
def red(monkeypatch, tmp_path):
    """The model is `Red` by any name, in a folder whose weights stand for it."""
    model = Red()
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


@pytest.fixture
def undisturbed(red, slide, tmp_path):
    predict_slide.predict("red", slide, tmp_path / "undisturbed")
    red.calls = 0
    return results(tmp_path / "undisturbed")


class TestResults:
    def test_every_nucleus_is_found_once_as_in_the_whole_image(self, undisturbed, labels):
        whole, _ = instances.separate(painted(labels)[..., 0] / 255.0)
        found = undisturbed["labels"][0]
        assert found.max() == len(np.unique(found)) - 1 == undisturbed["report"]["nuclei"]
        assert found.max() == pytest.approx(whole.max(), abs=1)
        assert share_matched(whole, found, 0.9) > 0.995
        assert share_matched(found, whole, 0.9) > 0.995

    def test_glass_is_left_out(self, undisturbed, red, slide, tmp_path):
        assert undisturbed["report"]["tiles"] == 4  # of 2 x 3
        predict_slide.predict("red", slide, tmp_path / "again")
        assert red.calls == 4

    def test_there_are_no_nuclei_in_ink(self, undisturbed, red, tmp_path, labels):
        image = painted(labels)
        image[:, 900:1100] = (200, 30, 40)  # across two tiles, and red is nucleus
        path = write_pyramid(tmp_path / "slide.tif", image)
        predict_slide.predict("red", path, tmp_path / "ink")
        found, before = results(tmp_path / "ink"), undisturbed
        for name in ("maps", "labels"):
            pixels = found[name][0]
            assert not pixels[..., 900:1100].any() and pixels[..., :850].any()
            beside = np.s_[..., :1200, :850]
            np.testing.assert_array_equal(pixels[beside] > 0, before[name][0][beside] > 0)
        assert 0 < found["report"]["nuclei"] < before["report"]["nuclei"]

    def test_maps_hold_the_probability(self, undisturbed, labels):
        (maps,) = undisturbed["maps"][0]
        np.testing.assert_array_equal(maps[:1024, :1024], painted(labels)[:1024, :1024, 0])
        assert not maps[:, 2048:].any()

    def test_levels_are_half_as_large_each(self, undisturbed):
        assert [x.shape for x in undisturbed["labels"]] == [(1300, 2300), (650, 1150), (325, 575)]
        fine, coarse = (undisturbed["labels"][level] for level in (0, 1))
        np.testing.assert_array_equal(coarse, fine[::2, ::2])
        fine, coarse = (undisturbed["maps"][level][0].astype(float) for level in (0, 1))
        mean = fine.reshape(650, 2, 1150, 2).mean(axis=(1, 3))
        assert np.abs(coarse - mean).max() <= 1

    def test_metadata_are_those_of_ome_ngff(self, undisturbed, tmp_path):
        store = validated(tmp_path / "undisturbed" / "slide.zarr")
        (image,) = store.attrs["multiscales"]
        assert [axis["name"] for axis in image["axes"]] == ["c", "y", "x"]
        scales = [d["coordinateTransformations"][0]["scale"] for d in image["datasets"]]
        np.testing.assert_allclose(scales, [[1, 0.25, 0.25], [1, 0.5, 0.5], [1, 1, 1]])
        assert store["labels"].attrs["labels"] == ["nuclei"]
        nuclei = store["labels/nuclei"].attrs
        assert nuclei["image-label"]["source"] == {"image": "../../"}
        assert [axis["name"] for axis in nuclei["multiscales"][0]["axes"]] == ["y", "x"]

    def test_other_programs_read_outlines_and_tables(self, undisturbed, tmp_path):
        """GDAL reads the GeoJSON for geopandas, which checks the metadata of GeoParquet itself."""
        geojson = geopandas.read_file(tmp_path / "undisturbed" / "slide.geojson")
        geojson = geojson.set_crs(None, allow_override=True)  # GDAL thinks of degrees on the Earth
        table = geopandas.read_parquet(tmp_path / "undisturbed" / "slide.parquet")
        assert table.crs is None and b"crs" not in undisturbed["geojson"]  # they are pixels
        for found in (geojson, table):
            assert len(found) == undisturbed["report"]["nuclei"]
            assert (found.geom_type == "Polygon").all() and found.is_valid.all()
            assert found.geometry.exterior.is_simple.all() and (found.area > 0).all()
        assert table.geometry.geom_equals(geojson.geometry).all()
        measured = [row["area_um2"] for row in geojson["measurements"]]
        np.testing.assert_array_equal(table["area_um2"], measured)
        # Outlines leave out the holes of nuclei, and cut their corners.
        np.testing.assert_allclose(table.area * 0.25**2, measured, rtol=0.02)

    def test_outlines_and_tables_agree_with_the_labels(self, undisturbed, tmp_path):
        found = undisturbed["labels"][0]
        features = json.loads(undisturbed["geojson"])["features"]
        table = undisturbed["parquet"]
        polygons = shapely.from_wkb(table["geometry"].to_pylist())
        numbers = table["label"].to_pylist()
        assert sorted(numbers) == list(range(1, found.max() + 1)) and len(features) == len(numbers)
        areas = np.bincount(found.ravel())[numbers] / 16
        np.testing.assert_allclose(table["area_um2"], areas, rtol=0.02)
        for feature, number, polygon in zip(features, numbers, polygons, strict=True):
            assert feature["properties"]["measurements"]["label"] == number
            assert shapely.geometry.shape(feature["geometry"]).equals(polygon)
        back = annotations.read(tmp_path / "undisturbed" / "slide.geojson", found.shape)
        assert (back == found).mean() > 0.9999  # where two tiles meet, either may lie above
        x, y = (np.rint(4 * table[name].to_numpy() - 0.5).astype(int) for name in ("x_um", "y_um"))
        assert (found[y, x] == numbers).mean() > 0.97  # the centre of a crescent lies outside it

    def test_all_measures_are_those_of_the_whole_slide(
        self, undisturbed, red, slide, tmp_path, labels
    ):
        predict_slide.predict("red", slide, tmp_path / "all", measures="all")
        found = results(tmp_path / "all")
        np.testing.assert_array_equal(found["labels"][0], undisturbed["labels"][0])
        table, basic = found["parquet"], undisturbed["parquet"]
        assert table.select(basic.column_names).equals(basic)
        rows = measures.measure(found["labels"][0], painted(labels), choice="all")
        assert [*rows[0], "geometry"] == table.column_names
        place = {number: place for place, number in enumerate(table["label"].to_pylist())}
        order = [place[row["label"]] for row in rows]
        for name in measures.COLUMNS["all"][-10:]:
            of_tiles = table[name].to_numpy()[order]
            # A nucleus on a border may lack pixels that the next tile gave to its neighbour.
            same = np.isclose(of_tiles, [row[name] for row in rows], rtol=0.01, atol=1e-3)
            assert same.mean() > 0.98, name
        features = json.loads(found["geojson"])["features"]
        written = [feature["properties"]["measurements"] for feature in features]
        assert written == table.drop_columns("geometry").to_pylist()
        anndata = pytest.importorskip("anndata", reason="an optional package: pip install anndata")
        words = ["predict", "red", slide, "--out", tmp_path / "all", "--measures", "all"]
        assert main([*map(str, words), "--anndata"]) == 0  # of a slide that is finished, at once
        cells = anndata.read_h5ad(tmp_path / "all" / "slide.h5ad")
        assert cells.obs_names.to_list() == [str(label) for label in table["label"].to_pylist()]
        places = np.stack([table["x_um"], table["y_um"]], axis=1)
        np.testing.assert_array_equal(cells.obsm["spatial"], places)
        solidity = cells[:, "solidity"].X[:, 0]
        np.testing.assert_allclose(solidity, table["solidity"], rtol=1e-6)
        assert cells.uns["nuclei"]["measures"] == "all"
        with pytest.raises(InputError, match=r"another measures \(all, not basic\)"):
            predict_slide.predict("red", slide, tmp_path / "all")

    def test_reports_of_earlier_releases_are_still_known(self, undisturbed, red, slide, tmp_path):
        path = tmp_path / "undisturbed" / "slide.json"
        report = json.loads(path.read_text())
        del report["settings"]["measures"]
        path.write_text(json.dumps(report))
        predict_slide.predict("red", slide, tmp_path / "undisturbed")
        assert red.calls == 0

    def test_outlines_are_in_pixels_of_the_finest_level(self, red, tmp_path, labels):
        twice = painted(labels)[:600, :600].repeat(2, axis=0).repeat(2, axis=1)
        path = write_pyramid(tmp_path / "slide.tif", twice, mpp=0.125)
        predict_slide.predict("red", path, tmp_path / "out")
        found = results(tmp_path / "out")
        assert found["labels"][0].shape == (600, 600)
        polygons = shapely.from_wkb(found["parquet"]["geometry"].to_pylist())
        box = shapely.total_bounds(polygons)
        rows, columns = (np.flatnonzero(labels[:600, :600].any(axis=a)) for a in (1, 0))
        expected = [2 * n for n in (columns[0], rows[0], columns[-1], rows[-1])]
        np.testing.assert_allclose(box, expected, atol=6)
        back = annotations.read(tmp_path / "out" / "slide.geojson", (1200, 1200))
        same = found["labels"][0].repeat(2, axis=0).repeat(2, axis=1) == back
        assert same.mean() > 0.99

    def test_positions_are_relative_to_the_scanned_part_as_in_qupath(
        self, undisturbed, red, tmp_path, labels
    ):
        leica(tmp_path / "slide.scn", painted(labels), (400, 300), compression="zlib")
        report = predict_slide.predict("red", tmp_path / "slide.scn", tmp_path / "scn")
        assert report.offset == (400, 300)
        found = results(tmp_path / "scn")
        assert found["report"]["offset"] == [400, 300]
        assert undisturbed["report"]["offset"] == [0, 0]
        again = predict_slide.predict("red", tmp_path / "slide.scn", tmp_path / "scn")
        assert again == report
        # The corner of the scanned part is that of the slide, so all results are the same.
        for name in ("settings", "offset"):
            del found["report"][name], undisturbed["report"][name]
        assert_same(found, undisturbed)
        store = validated(tmp_path / "scn" / "slide.zarr")
        for group, first in ((store, [0]), (store["labels/nuclei"], [])):
            for dataset in group.attrs["multiscales"][0]["datasets"]:
                scale, translation = dataset["coordinateTransformations"]
                assert scale["type"] == "scale" and translation["type"] == "translation"
                np.testing.assert_allclose(translation["translation"], [*first, 75, 100])

    def test_a_corner_is_in_micrometres_of_the_finest_level(self, red, tmp_path):
        image = np.full((1024, 1024, 3), 243, np.uint8)
        leica(tmp_path / "slide.scn", image, (400, 300), mpp=0.125, compression="zlib")
        predict_slide.predict("red", tmp_path / "slide.scn", tmp_path / "out")
        store = zarr.open_group(tmp_path / "out" / "slide.zarr", mode="r")
        (dataset,) = store.attrs["multiscales"][0]["datasets"]
        _, translation = dataset["coordinateTransformations"]
        np.testing.assert_allclose(translation["translation"], [0, 37.5, 50])

    def test_a_slide_of_glass_has_no_nuclei(self, red, tmp_path):
        path = write_pyramid(tmp_path / "slide.tif", np.full((700, 900, 3), 243, np.uint8))
        report = predict_slide.predict("red", path, tmp_path / "out")
        assert (report.tiles, report.nuclei, report.problems) == (0, 0, {})
        assert json.loads((tmp_path / "out" / "slide.geojson").read_text())["features"] == []
        assert pq.read_table(tmp_path / "out" / "slide.parquet").num_rows == 0

    def test_views_are_averaged_when_asked_for(self, undisturbed, red, slide, tmp_path):
        predict_slide.predict("red", slide, tmp_path / "views", augment=True)
        assert red.calls == 8 * 4
        found = results(tmp_path / "views")
        np.testing.assert_array_equal(found["labels"][0], undisturbed["labels"][0])


class TestTrouble:
    def test_what_is_finished_is_not_done_again(self, undisturbed, red, slide, tmp_path):
        report = predict_slide.predict("red", slide, tmp_path / "undisturbed")
        assert red.calls == 0 and report.nuclei == undisturbed["report"]["nuclei"]
        assert not (tmp_path / "undisturbed" / "slide.work").exists()

    @pytest.mark.parametrize(
        ("lost", "how"),
        [
            ("slide.zarr", "removed"),
            ("slide.zarr/0", "removed"),
            ("slide.zarr/.zattrs", "removed"),
            ("slide.zarr/labels/.zattrs", "removed"),
            ("slide.zarr/labels/nuclei/.zgroup", "removed"),
            ("slide.zarr/labels/nuclei/2", "removed"),
            ("slide.zarr/labels/nuclei/0/.zarray", "emptied"),
            ("slide.zarr/labels/nuclei/0/1/1", "removed"),
            ("slide.zarr/1/0/0/1", "emptied"),
            ("slide.geojson", "removed"),
            ("slide.geojson", "emptied"),
            ("slide.geojson", "cut"),
            ("slide.parquet", "removed"),
            ("slide.parquet", "cut"),
            ("slide.parquet", "exchanged"),
        ],
    )
    def test_a_finished_slide_whose_results_are_lost_is_predicted_again(
        self, undisturbed, red, slide, tmp_path, capsys, lost, how
    ):
        path = tmp_path / "undisturbed" / lost
        if how == "removed":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        elif how == "exchanged":
            pq.write_table(pq.read_table(path).slice(1), path)
        else:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if how == "cut" else b"")
        capsys.readouterr()
        predict_slide.predict("red", slide, tmp_path / "undisturbed")
        said = capsys.readouterr().err.splitlines()[0]
        whole = tmp_path / "undisturbed" / lost.split("/")[0]
        assert said == f"{whole} is missing or damaged: the slide is predicted again."
        assert red.calls == 4
        assert_same(results(tmp_path / "undisturbed"), undisturbed)
        predict_slide.predict("red", slide, tmp_path / "undisturbed")
        assert red.calls == 4 and "again" not in capsys.readouterr().err

    def test_an_interrupted_slide_whose_maps_are_lost_is_begun_again(
        self, undisturbed, red, slide, tmp_path, capsys
    ):
        red.ends_at = 3
        with pytest.raises(InputError, match="disk is full"):
            predict_slide.predict("red", slide, tmp_path / "out")
        shutil.rmtree(tmp_path / "out" / "slide.zarr")
        red.calls, red.ends_at = 0, None
        predict_slide.predict("red", slide, tmp_path / "out")
        said = "slide.zarr is missing or damaged: the slide is begun again."
        assert said in capsys.readouterr().err
        assert red.calls == 4
        assert_same(results(tmp_path / "out"), undisturbed)

    def test_a_report_of_an_earlier_release_counts(self, undisturbed, red, slide, tmp_path):
        path = tmp_path / "undisturbed" / "slide.json"
        content = json.loads(path.read_text())
        del content["offset"]
        path.write_text(json.dumps(content))
        assert predict_slide.predict("red", slide, tmp_path / "undisturbed").offset == (0, 0)
        assert red.calls == 0

    NO_NUMBER = '{"settings":{},"tiles":1,"nuclei":[],"problems":{},"seconds":1}'

    @pytest.mark.parametrize(
        "text", ["{", "[]", "{}", '{"settings": {}}', '{"settings": 1}', NO_NUMBER]
    )
    def test_a_file_that_is_no_report_is_said(self, red, slide, tmp_path, text):
        (tmp_path / "slide.json").write_text(text)
        with pytest.raises(InputError, match="slide.json is not the report of a slide: remove it"):
            predict_slide.predict("red", slide, tmp_path)

    def test_a_full_disk_loses_nothing_finished(self, undisturbed, red, slide, tmp_path):
        red.ends_at = 3
        with pytest.raises(InputError, match="disk is full"):
            predict_slide.predict("red", slide, tmp_path / "out")
        assert not (tmp_path / "out" / "slide.json").exists()
        red.calls, red.ends_at = 0, None
        predict_slide.predict("red", slide, tmp_path / "out")
        assert 0 < red.calls <= 2
        assert_same(results(tmp_path / "out"), undisturbed)

    @pytest.mark.parametrize(
        ("at", "again"), [("Numbering", 4), ("_fill_pyramids", 0), ("Report", 0)]
    )
    def test_an_end_between_two_steps_is_no_harm(
        self, undisturbed, red, slide, tmp_path, monkeypatch, at, again
    ):
        def ended(*_, **__):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(predict_slide, at, ended)
            predict_slide.predict("red", slide, tmp_path / "out")
        red.calls = 0
        predict_slide.predict("red", slide, tmp_path / "out")
        assert red.calls <= again
        assert_same(results(tmp_path / "out"), undisturbed)

    def test_a_folder_that_cannot_be_written_is_said(self, red, slide, tmp_path, monkeypatch):
        class Full:
            shape = (1300, 2300)

            def __setitem__(self, *_):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(ome_zarr, "open_array", lambda *_: Full())
        with pytest.raises(InputError, match="could not be written.*free some space"):
            predict_slide.predict("red", slide, tmp_path / "out")

    def test_a_damaged_tile_is_reported_and_the_rest_completes(
        self, undisturbed, red, slide, tmp_path
    ):
        with tifffile.TiffFile(slide) as file:
            page = file.pages.first
            tile = 9 * 5 + 1  # in the last row of nine, where no other tile looks
            offset, length = page.dataoffsets[tile], page.databytecounts[tile]
        whole = slide.read_bytes()
        damaged = whole[:offset] + b"\xff" * length + whole[offset + length :]
        slide.write_bytes(damaged)
        report = predict_slide.predict("red", slide, tmp_path / "out")
        assert list(report.problems) == ["x 0 to 1024, y 1024 to 1300"]
        assert report.nuclei > undisturbed["report"]["nuclei"] / 2
        # With the file whole again, only what was missing is done.
        slide.write_bytes(whole)
        red.calls = 0
        assert not predict_slide.predict("red", slide, tmp_path / "out").problems
        assert red.calls == len(report.problems)
        assert_same(results(tmp_path / "out"), undisturbed)

    def test_a_slide_that_is_replaced_by_one_of_its_size_is_not_mixed(
        self, undisturbed, red, slide, tmp_path
    ):
        red.ends_at = 3
        with pytest.raises(InputError, match="disk is full"):
            predict_slide.predict("red", slide, tmp_path / "out")
        red.calls, red.ends_at = 0, None
        true = slide.read_bytes()
        slide.write_bytes(replaced(true))
        for out in ("out", "undisturbed"):
            with pytest.raises(InputError, match="with another slide of this name and size: use"):
                predict_slide.predict("red", slide, tmp_path / out)
        slide.write_bytes(true)
        predict_slide.predict("red", slide, tmp_path / "out")
        assert_same(results(tmp_path / "out"), undisturbed)

    def test_a_process_that_ends_while_it_is_started_is_said(self, monkeypatch):
        def failed(*_, **__):
            raise RuntimeError("Nanny failed to start.")

        monkeypatch.setattr("distributed.LocalCluster", failed)
        with (
            pytest.raises(InputError, match="One of 2 processes ended while it was started"),
            dask_cluster.connect(workers=2),
        ):
            pass

    def test_what_zarr_was_writing_is_removed(self, undisturbed, red, slide, tmp_path):
        red.ends_at = 3
        with pytest.raises(InputError, match="disk is full"):
            predict_slide.predict("red", slide, tmp_path / "out")
        (tmp_path / "out/slide.zarr/0/0.0123.partial").touch()
        red.calls, red.ends_at = 0, None
        predict_slide.predict("red", slide, tmp_path / "out")
        assert not list((tmp_path / "out").rglob("*.partial"))

    def test_chunks_without_nuclei_are_written_whichever_thread_opens_the_array(
        self, undisturbed, tmp_path, monkeypatch
    ):
        """The setting of Zarr is one for all threads, and each puts back what it found."""
        store, opened = tmp_path / "undisturbed" / "slide.zarr", zarr.open_array

        def slow(path, **options):
            time.sleep(0.05 if path.endswith("0") else 0.15)
            return opened(path, **options)

        monkeypatch.setattr(zarr, "open_array", slow)
        with ThreadPoolExecutor(2) as pool:
            arrays = pool.map(ome_zarr.open_array, [f"{store}/0", f"{store}/1"])
        assert all(array._async_array._config.write_empty_chunks for array in arrays)

    def test_two_runs_into_one_folder_exclude_each_other(self, red, slide, tmp_path):
        with (
            locked(tmp_path / "out" / "slide.lock", "a slide"),
            pytest.raises(InputError, match="Another run is predicting slide.tif"),
        ):
            predict_slide.predict("red", slide, tmp_path / "out")

    def test_after_results_are_removed_another_resolution_has_another_layout(
        self, undisturbed, red, slide, tmp_path
    ):
        shutil.rmtree(tmp_path / "undisturbed")
        predict_slide.predict("red", slide, tmp_path / "undisturbed", mpp=0.5)
        shapes = [level.shape for level in results(tmp_path / "undisturbed")["labels"]]
        assert shapes == [(2600, 4600), (1300, 2300), (650, 1150), (325, 575)]

    def test_results_of_another_engine_are_not_mixed(self, red, slide, tmp_path):
        predict_slide.predict("red", slide, tmp_path / "out", engine="keras")
        report = json.loads((tmp_path / "out" / "slide.json").read_text())
        assert report["settings"]["engine"] == "keras"
        with pytest.raises(InputError, match="another engine .keras, not openvino"):
            predict_slide.predict("red", slide, tmp_path / "out", engine="openvino")

    def test_other_settings_are_not_mixed(self, undisturbed, red, slide, tmp_path):
        with pytest.raises(InputError, match=r"another threshold \(0.5, not 0.7\)"):
            predict_slide.predict("red", slide, tmp_path / "undisturbed", threshold=0.7)


class TestCommand:
    def test_a_folder_of_dicom_files_is_predicted_once(self, red, tmp_path, labels, capsys):
        image = painted(labels)[:600, :700]
        dicom_slide(tmp_path / "in", image, suffix="")
        assert main(["predict", "red", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
        assert capsys.readouterr().out.count("written to") == 1
        assert [path.name for path in (tmp_path / "out").glob("*.json")] == ["c_level.json"]
        (maps,) = zarr.open_array(tmp_path / "out" / "c_level.zarr" / "0", mode="r")[:]
        np.testing.assert_array_equal(maps, image[..., 0])

    def test_a_slide_of_a_wrong_resolution_lets_the_next_one_go_on(self, red, tmp_path, capsys):
        glass = np.full((700, 900, 3), 243, np.uint8)
        folder = tmp_path / "in"
        folder.mkdir()
        aperio(folder / "a.svs", glass, 0, power=None)
        aperio(folder / "b.svs", glass, 0.00025)
        dicom_slide(folder, glass)
        (folder / "c_level.dcm").unlink()
        (folder / "b_half.dcm").unlink()
        write_pyramid(folder / "d.btf", glass)
        aperio(folder / "f.svs", glass)
        main(["predict", "red", str(folder), "--out", str(tmp_path / "out")])
        output, errors = capsys.readouterr()
        said = [line for line in errors.splitlines() if line.startswith(str(folder))]
        assert [line.split(" ")[0].rpartition("/")[2] for line in said] == [
            "a.svs",
            "a_label.dcm",
            "b.svs",
        ]
        assert "/d.zarr" in output and "/f.zarr" in output

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--overlay"], "--overlay ignored for slides: "),
            (["--overlay", "--probability"], "--overlay and --probability ignored for slides: "),
            ([], None),
        ],
    )
    def test_options_of_images_are_not_ignored_silently(self, red, tmp_path, capsys, options, said):
        glass = np.full((700, 900, 3), 243, np.uint8)
        paths = [str(write_pyramid(tmp_path / f"{name}.tif", glass)) for name in "ab"]
        out = tmp_path / "out"
        assert main(["predict", "red", *paths, "--out", str(out), *options]) == 0
        lines = [line for line in capsys.readouterr().err.splitlines() if "ignored" in line]
        text = f"{said}{out}/a.zarr holds the probability and the nuclei of the slide."
        assert lines == ([text] if said else [])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A UNet with random weights in a folder of its own, which other processes can load."""
    folder = tmp_path_factory.mktemp("models") / "small"
    config = {"network": "unet", "arguments": {"width": 4}}
    model = networks.unet(width=4)
    modelzoo.save(folder, model, config, [{"epoch": 1}], {})
    return folder


def command(*arguments, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    words = [sys.executable, "-m", "nuclei", "predict", *map(str, arguments)]
    return subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.tensorflow
class TestProcesses:
    def test_killed_at_any_moment_it_goes_on_to_the_same_result(self, small, tmp_path):
        path = write_pyramid(tmp_path / "slide.tif", tissue((2600, 3100))[0])
        # Kernels of the notebooks run at this level, which does not silence TensorFlow.
        first = command(small, path, "--out", tmp_path / "out", TF_CPP_MIN_LOG_LEVEL="2")
        sockets = set()
        for _ in range(600):
            sockets |= listening(first.pid)
            if len(list((tmp_path / "out").glob("slide.work/nuclei/*.npy"))) >= 2:
                break
            time.sleep(0.05)
        first.send_signal(signal.SIGKILL)
        assert "absl" not in first.communicate()[1]  # TensorFlow is quiet
        assert not (tmp_path / "out" / "slide.json").exists()
        # On to the end with two processes, which changes nothing either.
        second = command(small, path, "--out", tmp_path / "out", "--workers", 2)
        while second.poll() is None:
            sockets |= listening(second.pid)
            time.sleep(0.2)
        # Nothing listens beyond this computer: neither dashboard, nor scheduler, nor workers.
        assert len(sockets) >= 6 and {address for address, _ in sockets} == {"127.0.0.1"}
        output, progress = second.communicate()
        assert second.returncode == 0, progress
        assert "absl" not in progress  # nor do the processes that it starts speak
        assert "nuclei in 4 tiles written" in output
        assert "Dask dashboard: http" in progress and "Tiles: 100%" in progress
        endings = "geojson", "json", "lock", "parquet", "zarr"
        left = sorted(path.name for path in (tmp_path / "out").iterdir())
        assert left == [f"slide.{ending}" for ending in endings]
        predict_slide.predict(small, path, tmp_path / "again")
        assert_same(results(tmp_path / "out"), results(tmp_path / "again"))

    def test_ctrl_c_is_left_to_the_first_process(self, capfd):
        with dask_cluster.connect(workers=2) as client:
            pids = client.run(os.getpid)
            for pid in pids.values():
                os.kill(pid, signal.SIGINT)
            assert client.run(os.getpid) == pids and len(pids) == 2
        assert "Traceback" not in capfd.readouterr().err


@pytest.mark.tensorflow
class TestScheduler:
    def test_the_recipe_predicts_with_workers_of_their_own(self, small, tmp_path):
        """Over TLS, which has all parts of a plain connection, and certificates."""
        if not shutil.which("openssl"):
            pytest.skip("the command openssl, which makes certificates, is not installed")
        subprocess.run([ROOT / "deploy" / "tls.sh", tmp_path / "tls"], check=True)
        path = write_pyramid(tmp_path / "slide.tif", tissue()[0])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        done = subprocess.run(
            [ROOT / "deploy" / "local.sh", small, path, tmp_path / "out"],
            env={
                **os.environ,
                "PORT": port,
                "PROTOCOL": "tls",
                "DASK_CONFIG": str(tmp_path / "tls" / "tls.yaml"),
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert "nuclei in 4 tiles written" in done.stdout
        predict_slide.predict(small, path, tmp_path / "again")
        assert_same(results(tmp_path / "out"), results(tmp_path / "again"))

    def test_an_address_where_nothing_answers_is_said(self, red, slide, tmp_path, monkeypatch):
        monkeypatch.setattr(dask_cluster, "PATIENCE", "1s")
        with pytest.raises(InputError, match="No Dask scheduler answers at tcp://127.0.0.1:9"):
            predict_slide.predict("red", slide, tmp_path / "out", scheduler="tcp://127.0.0.1:9")

    def test_tls_without_certificates_is_said(self, red, slide, tmp_path):
        with pytest.raises(InputError, match=r"No Dask .* tls://127.0.0.1:9 .* see deploy/README"):
            predict_slide.predict("red", slide, tmp_path / "out", scheduler="tls://127.0.0.1:9")


@pytest.mark.tensorflow
def test_nuclei_of_real_tissue_are_those_of_the_image_predicted_whole(monuseg_folder, tmp_path):
    """At least 99% of nuclei match at IoU 0.9, by the same engine, which sees only its window."""
    from nuclei.data import monuseg

    sample = monuseg.load("val", monuseg_folder)[0].image
    image = np.pad(sample, ((0, 500), (0, 500), (0, 0)), mode="symmetric")
    path = write_pyramid(tmp_path / "slide.tif", image)
    predict_slide.predict("unet_instances", path, tmp_path / "out")
    found = zarr.open_array(tmp_path / "out" / "slide.zarr/labels/nuclei/0")[:].astype(np.int32)
    # All at once, and mirrored as far beyond its border.
    mirrored = np.pad(image, ((64, 100), (64, 100), (0, 0)), mode="reflect")
    (maps,) = windows.forward(engines.load("unet_instances"), mirrored[None])
    whole, _ = instances.separate(maps[64:1564, 64:1564])
    assert share_matched(whole, found, 0.9) >= 0.99
    assert share_matched(found, whole, 0.9) >= 0.99
