"""All measures against scikit-image, and neighbours against a search through all pairs."""

import csv
import json

import awkward_nuclei
import numpy as np
import pytest
from skimage.measure import regionprops_table

from nuclei.data import synthetic
from nuclei.data.sizes import LARGEST
from nuclei.data.stains import STAINS, optical_density
from nuclei.data.targets import targets
from nuclei.prediction import measures, neighbours, outlines, shapes
from nuclei.prediction.instances import separate

MPP = 0.5


@pytest.fixture(scope="module")
def tissue():
    image, labels = synthetic.tissue(seed=5, shape=(300, 400))
    return image, separate(targets(labels))[0]


@pytest.fixture(scope="module")
def scattered():
    """Nuclei of several pieces with holes, with missing numbers, and noise for an image."""
    random = np.random.default_rng(0)
    blocks = np.kron(2 * np.arange(1, 31).reshape(5, 6), np.ones((9, 11), int))
    labels = np.where(random.random(blocks.shape) < 0.6, blocks, 0).astype(np.int32)
    return random.integers(0, 256, (*labels.shape, 3)).astype(np.uint8), labels


@pytest.fixture(params=["tissue", "scattered", "awkward", "one pixel", "full"])
def specimen(request, tissue, scattered):
    if request.param in ("tissue", "scattered"):
        return {"tissue": tissue, "scattered": scattered}[request.param]
    if request.param == "awkward":
        labels = awkward_nuclei.LABELS
    else:
        labels = np.full((1, 1) if request.param == "one pixel" else (4, 5), 3, np.int32)
    image = np.random.default_rng(1).integers(0, 256, (*labels.shape, 3)).astype(np.uint8)
    return image, labels


def test_measures_are_those_of_scikit_image(specimen):
    image, labels = specimen
    stains = optical_density(image).astype(float) @ np.linalg.inv(STAINS.astype(float))
    names = "label", "solidity", "eccentricity", "axis_major_length", "axis_minor_length"
    names += "orientation", "intensity_mean", "intensity_std"
    expected = regionprops_table(labels, stains, properties=names)
    rows = measures.measure(labels, image, MPP, "all")
    assert all(tuple(row) == measures.COLUMNS["all"] for row in rows)
    found = {name: np.array([row[name] for row in rows]) for name in measures.COLUMNS["all"][:-2]}
    pairs = {
        "label": expected["label"],
        "solidity": expected["solidity"],
        "axis_major_length_um": MPP * expected["axis_major_length"],
        "axis_minor_length_um": MPP * expected["axis_minor_length"],
        "haematoxylin": expected["intensity_mean-0"],
        "haematoxylin_sd": expected["intensity_std-0"],
        "eosin": expected["intensity_mean-1"],
        "eosin_sd": expected["intensity_std-1"],
    }
    for name, values in pairs.items():
        np.testing.assert_allclose(found[name], values, atol=2e-4, err_msg=name)
    np.testing.assert_allclose(found["eccentricity"], expected["eccentricity"], atol=1e-3)
    # The angle is modulo half a turn, and of a round nucleus it is chance.
    turned = np.sin(found["orientation_rad"] - expected["orientation"])
    np.testing.assert_allclose(turned[expected["eccentricity"] > 0.1], 0, atol=1e-3)


def test_convex_hulls_have_the_same_pixels(specimen):
    labels = specimen[1]
    expected = regionprops_table(labels, properties=("label", "area_convex"))
    found = shapes.convex_areas(labels, labels.max() + 1)
    np.testing.assert_array_equal(found[expected["label"]], expected["area_convex"])
    assert found.sum() == expected["area_convex"].sum()


def test_orientation_is_the_angle_from_downwards():
    labels = np.zeros((40, 40), np.int32)
    y, x = np.mgrid[:40, :40]
    labels[abs(x - y) < 3] = 1  # towards the lower right
    (row,) = measures.measure(labels, np.zeros((40, 40, 3), np.uint8), choice="all")
    assert row["orientation_rad"] == pytest.approx(np.pi / 4, abs=0.01)


def test_basic_measures_are_part_of_all(tissue):
    image, labels = tissue
    basic = measures.measure(labels, image)
    every = measures.measure(labels, image, choice="all")
    assert [{name: row[name] for name in measures.COLUMNS["basic"]} for row in every] == basic


class TestNeighbours:
    def test_distances_and_densities_are_those_of_all_pairs(self):
        random = np.random.default_rng(2)
        height, width = 180.0, 240.0
        x, y = random.uniform(0, width, 300), random.uniform(0, height, 300)
        nearest, density = neighbours.measure(x, y, height, width)
        distances = np.hypot(x[:, None] - x, y[:, None] - y)
        number = (distances <= neighbours.RADIUS).sum(axis=1)
        np.fill_diagonal(distances, np.inf)
        np.testing.assert_allclose(nearest, distances.min(axis=1))
        # The area of each disc within the image, by counting fine points.
        points_y, points_x = np.mgrid[0.25:height:0.5, 0.25:width:0.5]
        for index in range(0, 300, 10):
            inside = np.hypot(points_x - x[index], points_y - y[index]) <= neighbours.RADIUS
            area = inside.sum() * 0.5**2
            assert density[index] == pytest.approx(number[index] / area * 1e6, rel=0.003)

    def test_density_does_not_fall_towards_the_border(self):
        y, x = np.mgrid[2.5:400:5, 2.5:400:5]
        _, density = neighbours.measure(x.ravel(), y.ravel(), 400.0, 400.0)
        assert density.min() > 0.95 * 40_000 and density.max() < 1.1 * 40_000

    @pytest.mark.parametrize("side", [1600, 400, 100], ids=["0.25 um", "1 um", "4 um"])
    def test_density_does_not_fall_towards_what_is_excluded(self, side):
        y, x = (axis.ravel() for axis in np.mgrid[2.5:400:5, 2.5:200:5])
        excluded = np.zeros((side, side), bool)
        excluded[:, side // 2 :] = True
        for at_x, at_y, hidden in (x, y, excluded), (y, x, excluded.T):
            _, density = neighbours.measure(at_x, at_y, 400.0, 400.0, hidden)
            assert density.min() > 0.95 * 40_000 and density.max() < 1.1 * 40_000

    def test_a_nucleus_in_the_midst_of_ink_has_its_own_area(self):
        _, density = neighbours.measure([50], [50], 100.0, 100.0, np.ones((400, 400), bool))
        assert density == pytest.approx(1e6 / LARGEST)

    def test_a_single_nucleus_has_no_neighbour(self, tmp_path):
        labels = np.zeros((20, 20), np.int32)
        labels[5:9, 5:9] = 1
        (row,) = measures.measure(labels, np.zeros((20, 20, 3), np.uint8), choice="all")
        assert row["nearest_nucleus_um"] is None
        assert row[neighbours.COLUMNS[1]] == pytest.approx(1e6 / 5**2)
        (feature,) = json.loads(outlines.geojson(labels, [row]))["features"]
        assert "nearest_nucleus_um" not in feature["properties"]["measurements"]
        measures.write_table(tmp_path / "a.csv", [row], "all")
        with open(tmp_path / "a.csv", newline="") as file:
            (read,) = csv.DictReader(file)
        assert tuple(read) == measures.COLUMNS["all"] and read["nearest_nucleus_um"] == ""

    def test_without_nuclei_there_are_no_rows(self):
        labels, image = np.zeros((9, 9), np.int32), np.zeros((9, 9, 3), np.uint8)
        assert measures.measure(labels, image, choice="all") == []
