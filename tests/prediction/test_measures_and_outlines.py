"""Nuclei as shapes: measures of known shapes, and outlines that give the labels back."""

import csv
import json

import awkward_nuclei
import numpy as np
import pytest
from shapely.geometry import shape
from skimage.draw import polygon
from skimage.measure import approximate_polygon, find_contours, perimeter_crofton
from skimage.segmentation import find_boundaries

from nuclei.data import synthetic
from nuclei.data.stains import STAINS
from nuclei.data.targets import targets
from nuclei.prediction import measures, outlines, overlay
from nuclei.prediction.instances import separate


@pytest.fixture(scope="module")
def tissue():
    image, labels = synthetic.tissue(seed=5, shape=(300, 400))
    return image, separate(targets(labels))[0]  # in one piece each, without holes


def disc(radius, shape=(100, 120), centre=(40.0, 70.0)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (np.hypot(y - centre[0], x - centre[1]) <= radius).astype(np.int32)


GREY = np.full((100, 120, 3), 128, np.uint8)


class TestMeasure:
    def test_a_disc(self):
        (row,) = measures.measure(disc(20), GREY, mpp=0.5)
        assert tuple(row) == measures.COLUMNS["basic"]
        assert row["label"] == 1
        assert row["area_um2"] == pytest.approx(np.pi * 10**2, rel=0.01)
        assert row["perimeter_um"] == pytest.approx(2 * np.pi * 10, rel=0.03)
        assert row["circularity"] > 0.95
        # The middle of pixel (40, 70) lies 40.5 pixels down and 70.5 to the right.
        assert (row["y_um"], row["x_um"]) == pytest.approx((20.25, 35.25))

    def test_a_bar_is_not_round_and_size_does_not_matter(self):
        found = []
        for scale in (1, 3):
            labels = np.zeros((100, 120), np.int32)
            labels[10 : 10 + 5 * scale, 10 : 10 + 30 * scale] = 1
            found.append(measures.measure(labels, GREY)[0]["circularity"])
        assert found[0] == pytest.approx(found[1], abs=0.05)
        assert found[0] < 0.55

    def test_a_single_pixel(self):
        labels = np.zeros((100, 120), np.int32)
        labels[0, 0] = 9
        (row,) = measures.measure(labels, GREY)
        assert row["label"] == 9 and row["area_um2"] == 0.25**2 and 0 < row["circularity"] <= 1

    def test_haematoxylin_is_that_of_the_stain(self):
        labels = disc(20)
        amounts = np.array([0.6, 0.3, 0.0])
        image = GREY.copy()
        image[labels > 0] = np.rint(256 * np.exp(-amounts @ STAINS) - 1)
        (row,) = measures.measure(labels, image)
        assert row["haematoxylin"] == pytest.approx(0.6, abs=0.03)

    def test_no_nuclei_have_no_rows(self):
        assert measures.measure(np.zeros((100, 120), np.int32), GREY) == []


def test_outlines_rasterise_back_to_the_labels(tissue):
    _, labels = tissue
    back = np.zeros_like(labels)
    for label, ring in outlines.trace(labels).items():
        assert (ring[0] == ring[-1]).all()
        x, y = ring.T - 0.5  # to where the middle of a pixel has whole numbers
        back[polygon(y, x, labels.shape)] = label
    np.testing.assert_array_equal(back, labels)


def test_outlines_never_meet_themselves(tissue):
    for ring in outlines.trace(tissue[1]).values():
        assert len(np.unique(ring[:-1], axis=0)) == len(ring) - 1


def test_polygons_are_valid_and_as_large_as_their_nuclei(tissue):
    image, labels = tissue
    collection = json.loads(outlines.geojson(labels, measures.measure(labels, image)))
    for label, feature in enumerate(collection["features"], start=1):
        outline = shape(feature["geometry"])
        assert outline.is_valid and outline.exterior.is_ring
        assert outline.area == pytest.approx((labels == label).sum(), rel=0.02)


def test_geojson_is_what_qupath_opens(tissue):
    image, labels = tissue
    rows = measures.measure(labels, image)
    collection = json.loads(outlines.geojson(labels, rows))
    assert collection["type"] == "FeatureCollection"
    assert len(collection["features"]) == labels.max()
    for feature, row in zip(collection["features"], rows, strict=True):
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1] and len(ring) >= 4
        properties = feature["properties"]
        assert properties["objectType"] == "detection"
        assert set(properties["classification"]) == {"name", "color"}  # QuPath 0.4 needs both
        assert properties["measurements"]["area_um2"] == pytest.approx(row["area_um2"])


def test_table_holds_a_row_for_every_nucleus(tissue, tmp_path):
    image, labels = tissue
    scores = np.linspace(0, 1, labels.max())
    rows = measures.measure(labels, image, scores=scores)
    assert [row["score"] for row in rows] == pytest.approx(scores, abs=1e-4)
    measures.write_table(tmp_path / "a.csv", rows)
    with open(tmp_path / "a.csv", newline="") as file:
        read = list(csv.DictReader(file))
    assert [int(row["label"]) for row in read] == [row["label"] for row in rows]
    for name in measures.COLUMNS["basic"]:
        assert [float(row[name]) for row in read] == pytest.approx(
            [row[name] for row in rows], abs=1e-4
        )


def test_a_table_without_nuclei_has_its_heading(tmp_path):
    measures.write_table(tmp_path / "a.csv", [])
    assert (tmp_path / "a.csv").read_text() == ",".join(measures.COLUMNS["basic"]) + "\n"


@pytest.fixture(params=["tissue", "awkward", "gaps", "one pixel", "full"])
def any_labels(request, tissue):
    """Touching at corners and at the border, rings around others, missing numbers, one pixel."""
    if request.param == "awkward":
        return awkward_nuclei.LABELS
    if request.param == "one pixel":
        return np.array([[3]], np.int32)
    if request.param == "full":
        return np.full((4, 5), 2, np.int32)
    labels = tissue[1]
    return np.where(labels % 3 == 1, labels, 0) if request.param == "gaps" else labels


def test_outlines_are_those_of_marching_squares(any_labels):
    rings = outlines.trace(any_labels)
    assert list(rings) == np.unique(any_labels[any_labels > 0]).tolist()
    for label, ring in rings.items():
        contours = find_contours(np.pad(any_labels == label, 1).astype(float), 0.5)
        expected = approximate_polygon(max(contours, key=len)[:, ::-1] - 0.5, 1e-6)
        assert shape({"type": "Polygon", "coordinates": [ring.tolist()]}).equals(
            shape({"type": "Polygon", "coordinates": [expected.tolist()]})
        )
        assert len(ring) <= len(expected)


def test_perimeters_are_those_of_scikit_image(any_labels):
    image = np.zeros((*any_labels.shape, 3), np.uint8)
    for row in measures.measure(any_labels, image, mpp=1):
        nucleus = np.pad(any_labels == row["label"], 1)
        assert row["perimeter_um"] == pytest.approx(perimeter_crofton(nucleus), abs=1e-4)
        assert row["area_um2"] == nucleus.sum()
        centre = np.argwhere(nucleus).mean(axis=0) - 0.5
        assert (row["y_um"], row["x_um"]) == pytest.approx(tuple(centre), abs=1e-4)


def test_no_nuclei_have_no_outlines():
    assert outlines.trace(np.zeros((5, 6), np.int32)) == {}


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (64, 48)])
@pytest.mark.parametrize("count", [2, 5, 70_000])
def test_borders_are_the_thick_boundaries(shape, count):
    labels = np.random.default_rng(0).integers(0, count, shape).astype(np.int32)
    for mask in (labels, labels > 0):
        assert np.array_equal(overlay.borders(mask), find_boundaries(mask, mode="thick"))
