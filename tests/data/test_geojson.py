"""GeoJSON as QuPath 0.2 to 0.6 and other programs write it, made small."""

import gzip
import io
import json
import zipfile

import numpy as np
import pytest
from sentences import is_one_sentence

from nuclei.data import annotations, synthetic
from nuclei.data.annotations import geojson, json_files
from nuclei.data.targets import targets
from nuclei.errors import InputError
from nuclei.prediction import measures, outlines
from nuclei.prediction.instances import separate

SHAPE = (12, 16)
SQUARE = [[1, 1], [5, 1], [5, 4], [1, 4], [1, 1]]
BESIDE = [[8, 6], [14, 6], [14, 11], [8, 11], [8, 6]]
HOLE = [[10, 8], [12, 8], [12, 9], [10, 9], [10, 8]]
SMALL = [[2, 2], [4, 2], [4, 3], [2, 3], [2, 2]]
FRAME = [[0, 0], [16, 0], [16, 12], [0, 12], [0, 0]]
UUID = "c1bb1604-39e8-49fe-8f09-aaed31bb6a79"


def polygon(*rings, **members):
    return {"type": "Polygon", "coordinates": list(rings), **members}


def feature(geometry, kind="annotation", /, **properties):
    properties = {"objectType": kind, **properties}
    return {"type": "Feature", "id": UUID, "geometry": geometry, "properties": properties}


def collection(*features):
    return {"type": "FeatureCollection", "features": list(features)}


def box(left, top, right, bottom, number=1):
    labels = np.zeros(SHAPE, np.int32)
    labels[top:bottom, left:right] = number
    return labels


FIRST, SECOND = box(1, 1, 5, 4), box(8, 6, 14, 11)
BOTH = FIRST + 2 * SECOND


@pytest.fixture
def read(tmp_path):
    """Write GeoJSON and read it back, through the reader of all formats."""

    def read(content, classes=None, pack=lambda data: data):
        path = tmp_path / "a.geojson"
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_bytes(pack(text.encode()))
        return annotations.read(path, SHAPE, classes)

    return read


def zipped(data, name="a.geojson"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("__MACOSX/._a.geojson", b"\x00\x05\x16\x07")
        archive.writestr("readme.txt", "of no interest")
        archive.writestr(name, data)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        collection(feature(polygon(SQUARE)), feature(polygon(BESIDE))),
        [feature(polygon(SQUARE)), feature(polygon(BESIDE))],
        [collection(feature(polygon(SQUARE))), polygon(BESIDE)],
        collection(feature(polygon(SQUARE[:-1])), feature(polygon(BESIDE[::-1]), "detection")),
        collection(feature(polygon([[x, y, 0.0] for x, y in SQUARE])), feature(polygon(BESIDE))),
        collection(feature({"type": "MultiPolygon", "coordinates": [[SQUARE]]}), polygon(BESIDE)),
    ],
    ids=["collection", "list", "geometry", "unclosed", "3-D", "multipolygon"],
)
@pytest.mark.parametrize(
    "pack",
    [
        bytes,
        gzip.compress,
        zipped,
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.decode().encode("utf-16"),  # as PowerShell writes it
    ],
    ids=["plain", "gzip", "zip", "bom", "utf-16"],
)
def test_every_form_gives_the_same_labels(read, content, pack):
    labels = read(content, pack=pack)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, BOTH)


def test_one_feature_is_one_nucleus(read):
    np.testing.assert_array_equal(read(feature(polygon(SQUARE))), FIRST)
    parts = {"type": "MultiPolygon", "coordinates": [[SQUARE], [BESIDE, HOLE]]}
    np.testing.assert_array_equal(read(feature(parts)), FIRST + SECOND - box(10, 8, 12, 9))
    together = {"type": "GeometryCollection", "geometries": [polygon(SQUARE), polygon(BESIDE)]}
    np.testing.assert_array_equal(read(feature(together)), FIRST + SECOND)


def test_later_objects_lie_over_earlier_ones_except_in_holes(read):
    small = [[10, 8], [11, 8], [11, 9], [10, 9]]
    labels = read([feature(polygon(small)), feature(polygon(BESIDE, HOLE))])
    expected = 2 * SECOND - 2 * box(10, 8, 12, 9) + box(10, 8, 11, 9)
    np.testing.assert_array_equal(labels, expected)
    labels = read([feature(polygon(BESIDE)), feature(polygon(SQUARE)), feature(polygon(SMALL))])
    np.testing.assert_array_equal(labels, SECOND + 2 * FIRST + box(2, 2, 4, 3))


@pytest.mark.parametrize(
    "old",
    [
        {"id": "PathDetectionObject", "properties": {"isLocked": False, "measurements": []}},  # 0.2
        {"properties": {"object_type": "annotation", "classification": {}}},  # 0.3
        {"properties": {"type": "detection", "isLocked": "false", "color": -65536}},
        {"properties": {"objectType": "nonsense"}},
        {"properties": {"name": "calib1", "classification": None, "id": None}},
        {"properties": None},
        {},
    ],
)
def test_types_and_classes_may_be_missing_or_old(read, old):
    one = {"type": "Feature", "geometry": polygon(SQUARE), **old}
    np.testing.assert_array_equal(read([one, feature(polygon(BESIDE))]), BOTH)


@pytest.mark.parametrize(
    "other",
    [
        feature({"type": "Point", "coordinates": [3, 3]}),
        feature({"type": "MultiPoint", "coordinates": [[3, 3], [4, 4]]}),
        feature({"type": "LineString", "coordinates": SMALL}),
        feature({"type": "MultiLineString", "coordinates": [SMALL]}),
        feature({"type": "Polygon", "coordinates": []}),
        feature({"type": "MultiPolygon", "coordinates": [[], [[]]]}),
        feature({"type": "GeometryCollection", "geometries": []}),
        feature(polygon(SMALL[:2])),
        feature(None),
        feature({}),
        feature(polygon(SMALL), "tile"),
        feature(polygon(SMALL), "tmaCore", isMissing=True),
        {**feature(polygon(SMALL)), "properties": {"object_type": "tma_core"}},
        {**feature(polygon(SMALL)), "id": "PathTileObject", "properties": {}},
        feature(polygon(SMALL), classification={"name": "Ignore*", "color": [180, 180, 180]}),
        feature(polygon([[x - 900, y] for x, y in SMALL])),
    ],
)
def test_what_has_no_area_or_is_no_nucleus_is_left_out(read, other):
    content = collection(feature(polygon(SQUARE)), other, feature(polygon(BESIDE)))
    np.testing.assert_array_equal(read(content), BOTH)


def test_of_cells_the_nucleus_is_read(read):
    cell = feature(polygon(FRAME), "cell", measurements={"Nucleus: Area": float("nan")})
    cell["nucleusGeometry"] = polygon(SQUARE)
    without = feature(polygon(BESIDE), "cell")
    np.testing.assert_array_equal(read(collection(cell, without)), FIRST)
    # Other programs write nuclei as cells without one.
    np.testing.assert_array_equal(read([feature(polygon(SQUARE), "cell"), without]), BOTH)


def test_an_ellipse_fills_its_box_as_in_qupath(read):
    diamond = [[1, 4], [7, 1], [13, 4], [7, 7], [1, 4]]
    labels = read(feature(polygon(diamond, isEllipse=True, plane={"c": -1, "z": 0, "t": 0})))
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    distance = ((x - 7) / 6) ** 2 + ((y - 4) / 3) ** 2
    clear = abs(distance - 1) > 0.02  # pixels on the ellipse may go either way
    assert clear.mean() > 0.97
    np.testing.assert_array_equal(labels[clear] == 1, distance[clear] < 1)


@pytest.mark.parametrize("kind", ["annotation", "PathAnnotationObject", "unknown to us"])
def test_a_region_is_no_nucleus(read, kind):
    nuclei = [feature(polygon(SQUARE), "detection"), feature(polygon(BESIDE), "detection")]
    np.testing.assert_array_equal(read([feature(polygon(FRAME), kind), *nuclei]), BOTH)
    # A detection is never a region, nor is what holds a single other object.
    whole = [feature(polygon(FRAME), "detection"), *nuclei]
    np.testing.assert_array_equal(read(whole), BOTH + 1)
    one = [feature(polygon(FRAME), kind), *nuclei[:1]]
    np.testing.assert_array_equal(read(one), FIRST + 1)


def test_objects_within_others_are_read(read):
    inner = feature(polygon(BESIDE), "detection")
    outer = feature(polygon(FRAME), childObjects=[feature(polygon(SQUARE), children=[]), inner])
    root = feature(None, "root", childObjects=[outer])
    np.testing.assert_array_equal(read([root]), BOTH)


CLASSES = [
    {"name": "Tumor", "color": [200, 0, 0]},  # 0.4 and later
    {"names": ["Tumor", "Positive"], "color": [200, 0, 0]},
    {"name": "Positive", "colorRGB": -3670016, "parentClass": {"name": "Tumor"}},  # before
    {"name": "Tumor: Positive", "colorRGB": -3670016},
    "Tumor",
]


@pytest.mark.parametrize("classification", CLASSES)
@pytest.mark.parametrize("wanted", ["Tumor", "tumor"])
def test_classes_are_chosen_by_name(read, classification, wanted):
    others = [feature(polygon(BESIDE), classification={"name": "Stroma"}), polygon(SMALL)]
    chosen = feature(polygon(SQUARE), classification=classification)
    np.testing.assert_array_equal(read([chosen, *others], [wanted]), FIRST)
    with pytest.raises(
        InputError, match="class Necrosis, only of Stroma, Tumor.*: choose .* by a bar"
    ):
        read([chosen, *others[:1]], ["Necrosis"])


def test_an_ignored_class_is_read_if_chosen(read):
    ignored = feature(polygon(SQUARE), classification={"name": "Ignore*"})
    np.testing.assert_array_equal(read(ignored, ["ignore*"]), FIRST)


@pytest.mark.parametrize("classes", [None, ["Nucleus"]])
@pytest.mark.parametrize("content", [collection(), []])
def test_a_region_without_nuclei_has_an_empty_list(read, content, classes):
    labels = read(content, classes)
    assert labels.shape == SHAPE and labels.dtype == np.int32 and not labels.any()


NAN = feature(polygon([[float("nan"), 1], *SQUARE]))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (
            collection(feature({"type": "Point", "coordinates": [1, 2]})),
            "outlines no nucleus: outline those of the image, or if it has none, put a black mask",
        ),
        (feature(polygon([[x + 900, y] for x, y in SQUARE])), "no nucleus in the 16 x 12 pixels"),
        (feature(polygon([[x / 9, y / 9] for x, y in SMALL])), "but at x 0.2222222, y 0.2222222:"),
        (
            [feature(polygon(SQUARE), classification={"name": name}) for name in ("B*", "A*")],
            "has only outlines of the class A*, B*, which QuPath ignores: if they are nuclei, choo",
        ),
        (json.dumps(collection(feature(polygon(SQUARE))))[:-9], "not complete GeoJSON"),
        ({"type": "Topology", "objects": {}}, "not complete GeoJSON (it has something of type"),
        (
            {"images": [], "annotations": []},
            "without a type, as JSON of other programs): export it",
        ),
        ({"type": "Area. " * 999, "objects": {}}, "(it has something of type Area; Area;"),
        ([1, 2], "not complete GeoJSON"),
        (collection(feature({"type": "Polygon"})), "not complete GeoJSON"),
        (collection(feature(polygon([["a", "b"], *SQUARE]))), "not complete GeoJSON"),
        (NAN, "not complete GeoJSON (a point without finite x and y)"),
        ("[" * 100_000, "not complete GeoJSON"),
        ("", "neither XML nor GeoJSON"),
        ("x,y\n1,2", "neither XML nor GeoJSON"),
        ("<svg/>", "neither Aperio XML nor ASAP XML"),
    ],
)
def test_other_files_are_refused_in_one_sentence(read, tmp_path, content, complaint):
    with pytest.raises(InputError) as caught:
        read(content)
    assert complaint in str(caught.value)
    assert is_one_sentence(caught, tmp_path / "a.geojson")


@pytest.mark.parametrize(
    ("pack", "complaint"),
    [
        (lambda data: gzip.compress(data)[:-9], "cannot be read"),
        (lambda data: gzip.compress(data)[:9] + b"nonsense", "cannot be read"),
        (lambda data: zipped(data)[:-9], "cannot be read"),
        (lambda data: zipped(data, "a.xml"), "is a zip file without GeoJSON: export it from QuPa"),
        (lambda data: data.replace(b"Feature", b"\xff\xfe"), "not complete GeoJSON"),
    ],
)
def test_damaged_files_are_refused_in_one_sentence(read, tmp_path, pack, complaint):
    with pytest.raises(InputError, match=complaint) as caught:
        read(feature(polygon(SQUARE)), pack=pack)
    assert is_one_sentence(caught, tmp_path / "a.geojson")


@pytest.mark.parametrize("pack", [gzip.compress, zipped])
def test_a_bomb_is_not_unpacked(read, monkeypatch, pack):
    monkeypatch.setattr(json_files, "MOST", 100)
    with pytest.raises(InputError, match="unpacks to more than 100 bytes"):
        read(feature(polygon(SQUARE)), pack=pack)


def test_files_that_cannot_be_read_are_named(tmp_path):
    for reader in (annotations.read, geojson.read):
        with pytest.raises(InputError, match=r"absent\.geojson does not exist"):
            reader(tmp_path / "absent.geojson", SHAPE)
    with pytest.raises(InputError, match="cannot be read"):
        geojson.read(tmp_path, SHAPE)


def test_xml_and_file_objects_are_known_by_content(tmp_path):
    corners = "".join(f'<Vertex X="{x - 0.5}" Y="{y - 0.5}"/>' for x, y in SQUARE)
    path = tmp_path / "a.json"
    path.write_text(
        f"<Annotations><Annotation><Region>{corners}</Region></Annotation></Annotations>"
    )
    np.testing.assert_array_equal(annotations.read(path, SHAPE), FIRST)
    with pytest.raises(InputError, match="is XML, of which all nuclei are read"):
        annotations.read(path, SHAPE, ["Tumor"])
    for data in (path.read_bytes(), json.dumps(feature(polygon(SQUARE))).encode()):
        np.testing.assert_array_equal(annotations.read(io.BytesIO(data), SHAPE), FIRST)


def test_predicted_outlines_give_their_labels_back(tmp_path):
    image, labels = synthetic.tissue(seed=5, shape=(300, 400))
    labels = separate(targets(labels))[0]
    path = tmp_path / "a.geojson"
    path.write_text(outlines.geojson(labels, measures.measure(labels, image)))
    np.testing.assert_array_equal(annotations.read(path, labels.shape), labels)
