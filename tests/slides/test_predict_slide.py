"""Whole slides from end to end: every nucleus once."""

import json

import geopandas
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
import zarr
from objects_reference import share_matched
from slide_files import leica, painted, tissue
from slide_results import assert_same, results, validated

from nuclei.__main__ import main
from nuclei.data import annotations
from nuclei.errors import InputError
from nuclei.prediction import artefacts, engines, instances, measures, stain_strength, windows
from nuclei.slides import predict as predict_slide
from nuclei.slides.pyramid import write_pyramid
from nuclei.slides.slide import Slide


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

    def test_all_tiles_of_a_pale_slide_get_the_same_stain(self, red, tmp_path, capsys):
        pale = stain_strength.multiplied(tissue()[0], 0.25)
        path = write_pyramid(tmp_path / "slide.tif", pale)
        predict_slide.predict("red", path, tmp_path / "pale", threshold=1)  # no nuclei
        factor = stain_strength.factor(Slide(path).overview()[0])
        assert factor > 1.2 and f"the network saw {factor:.2f} times" in capsys.readouterr().err
        maps = results(tmp_path / "pale")["maps"][0].squeeze()
        seen = stain_strength.multiplied(pale, factor)[..., 0]
        predicted = maps > 0
        assert predicted[:1200, :1200].mean() > 0.9
        np.testing.assert_array_equal(maps[predicted], seen[predicted])

    def test_black_is_no_area_of_the_density(self, red, tmp_path, labels):
        image = painted(labels)
        image[:, 900:] = 0
        path = write_pyramid(tmp_path / "slide.tif", image)
        predict_slide.predict("red", path, tmp_path / "black", measures="all")
        found, ink = results(tmp_path / "black"), artefacts.find_ink(image, 0.25)
        rows = measures.measure(found["labels"][0], image, choice="all", excluded=ink)
        expected = {row["label"]: row["density_within_50um_per_mm2"] for row in rows}
        table = found["parquet"].select(["label", "density_within_50um_per_mm2"]).to_pydict()
        names, densities = table.values()
        # The ink of a slide is known to about 8 um.
        ratio = np.array(densities) / [expected[name] for name in names]
        assert ratio.min() > 0.8 and ratio.max() < 1.1 and np.median(ratio) == pytest.approx(1)

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
        cells = anndata.read_h5ad(file := tmp_path / "all" / "slide.h5ad")
        file.write_bytes(b"an analysis")
        assert main([*map(str, words), "--anndata"]) == 0 and file.read_bytes() == b"an analysis"
        assert cells.obs_names.to_list() == [str(label) for label in table["label"].to_pylist()]
        places = np.stack([table["x_um"], table["y_um"]], axis=1)
        np.testing.assert_array_equal(cells.obsm["spatial"], places)
        solidity = cells[:, "solidity"].X[:, 0]
        np.testing.assert_allclose(solidity, table["solidity"], rtol=1e-6)
        told = cells.uns["nuclei"]
        assert told["image"] == slide.name and told["measures"] == "all"
        assert not told.keys() & {"slide", "bytes", "content"}  # no path and no hashes are shared
        with pytest.raises(InputError, match=r"another measures \(all, not basic\)"):
            predict_slide.predict("red", slide, tmp_path / "all")

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

    @pytest.mark.parametrize("turned", [False, True])
    def test_a_part_of_what_is_too_large_is_no_nucleus(self, red, tmp_path, turned):
        """The first tile sees 410 um2 of 1000, from which the second one is cut."""
        image = np.full((1100, 2300, 3), (100, 90, 160), np.uint8)
        image[300:340, 924:1324] = image[500:520, 1010:1030] = (200, 90, 160)
        image = image.swapaxes(0, 1) if turned else image
        path = write_pyramid(tmp_path / "slide.tif", image)
        assert predict_slide.predict("red", path, tmp_path / "out").nuclei == 1

    def test_a_slide_without_colour_is_not_judged_by_colour(self, red, tmp_path):
        """Grey that was saved as RGB: dark is tissue, and bright is nucleus."""
        image = np.full((1100, 2300, 3), 243, np.uint8)
        image[300:600, 300:600] = 100
        image[400:420, 400:420] = 180
        path = write_pyramid(tmp_path / "grey.tif", image)
        report = predict_slide.predict("red", path, tmp_path / "out")
        assert (report.tiles, report.nuclei) == (1, 1)

    def test_a_slide_of_glass_has_no_nuclei(self, red, tmp_path, capsys):
        path = write_pyramid(tmp_path / "slide.tif", np.full((700, 900, 3), 243, np.uint8))
        report = predict_slide.predict("red", path, tmp_path / "out")
        assert (report.tiles, report.nuclei, report.problems) == (0, 0, {})
        assert f"No tissue was found on {path}.\n" in capsys.readouterr().err
        assert json.loads((tmp_path / "out" / "slide.geojson").read_text())["features"] == []
        assert pq.read_table(tmp_path / "out" / "slide.parquet").num_rows == 0

    def test_views_are_averaged_when_asked_for(self, undisturbed, red, slide, tmp_path):
        predict_slide.predict("red", slide, tmp_path / "views", augment=True)
        assert red.calls == 8 * 4
        found = results(tmp_path / "views")
        np.testing.assert_array_equal(found["labels"][0], undisturbed["labels"][0])


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
