import errno

import defusedxml.ElementTree
import numpy as np
import pytest

from nuclei.data.annotations import aperio
from nuclei.data.annotations.polygons import draw
from nuclei.errors import InputError
from nuclei.images import read_grey

SQUARE = [(1.5, 0.5), (4.5, 0.5), (4.5, 2.5), (1.5, 2.5)]


def region(polygon, attributes=""):
    vertices = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in polygon)
    return f"<Region {attributes}><Vertices>{vertices}</Vertices></Region>"


def layer(*regions):
    return f"<Annotation><Regions>{''.join(regions)}</Regions></Annotation>"


def document(*layers):
    return f"<Annotations>{''.join(layers)}</Annotations>"


def xml(*polygons):
    return document(layer(*map(region, polygons)))


def asap_xml(*annotations):
    """The XML of ASAP, for pairs of type and points; the points lie in the file in any order."""
    text = ""
    for kind, points in annotations:
        lines = [
            f'<Coordinate Order="{order}" X="{x}" Y="{y}"/>' for order, (x, y) in enumerate(points)
        ]
        text += f'<Annotation Name="a" Type="{kind}" PartOfGroup="None" Color="#F4FA58">'
        text += f"<Coordinates>{''.join(lines[::2] + lines[1::2])}</Coordinates></Annotation>"
    groups = '<AnnotationGroups><Group Name="a" PartOfGroup="None"/></AnnotationGroups>'
    return f"<ASAP_Annotations><Annotations>{text}</Annotations>{groups}</ASAP_Annotations>"


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "nuclei.xml"
        path.write_text(text)
        return path

    return write


def test_x_is_the_column_and_y_the_row(write):
    labels = aperio.read(write(xml(SQUARE)), (4, 6))
    assert labels.dtype == np.int32
    assert labels.tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 1, 1, 1, 0],
        [0, 0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0],
    ]


def test_later_regions_overwrite_earlier_ones():
    later = [(3.5, -2), (9, -2), (9, 9), (3.5, 9)]
    labels = draw([SQUARE, later], (4, 6))
    assert labels.tolist() == [
        [0, 0, 0, 0, 2, 2],
        [0, 0, 1, 1, 2, 2],
        [0, 0, 1, 1, 2, 2],
        [0, 0, 0, 0, 2, 2],
    ]


def test_numbers_have_no_gaps():
    line, outside = SQUARE[:2], [(90, 90), (99, 90), (99, 99)]
    last = [(x, y + 4) for x, y in SQUARE]
    labels = draw([line, SQUARE, outside, SQUARE, last], (8, 6))
    assert np.unique(labels).tolist() == [0, 1, 2]
    assert labels[1, 2] == 1 and labels[5, 2] == 2


def test_nothing_to_draw_is_background():
    assert not draw([], (4, 6)).any()


def test_all_layers_are_read(write):
    first = layer(region(SQUARE))
    moved = first.replace('Y="0.5"', 'Y="4.5"').replace('Y="2.5"', 'Y="6.5"')
    labels = aperio.read(write(document(first, moved)), (8, 6))
    assert labels.max() == 2


def test_the_namespace_of_a_file_does_not_matter(write):
    text = xml(SQUARE)
    expected = aperio.read(write(text), (4, 6))
    assert expected.any()
    plain = text.replace("<Annotations>", '<Annotations xmlns="http://aperio.com">')
    named = text.replace("<", "<a:").replace("<a:/", "</a:")
    named = named.replace("<a:Annotations>", '<a:Annotations xmlns:a="http://aperio.com">')
    for text in (plain, named):
        np.testing.assert_array_equal(aperio.read(write(text), (4, 6)), expected)


@pytest.mark.parametrize(
    "corners", [[(1.5, 0.5), (4.5, 2.5)], [(4.5, 2.5), (1.5, 0.5)], SQUARE], ids=str
)
def test_a_rectangle_has_two_or_four_corners(write, corners):
    text = document(layer(region(corners, 'Type="1"')))
    np.testing.assert_array_equal(aperio.read(write(text), (4, 6)), draw([SQUARE], (4, 6)))


@pytest.mark.parametrize("corners", [[(3, 5), (24, 15)], [(24, 5), (3, 15)]])
def test_an_ellipse_fills_the_box_whose_corners_the_file_holds(write, corners):
    text = document(layer(region(corners, 'Type="2"')))
    labels = aperio.read(write(text), (20, 30))
    y, x = np.mgrid[:20, :30]
    distance = ((x - 13.5) / 10.5) ** 2 + ((y - 10) / 5) ** 2
    clear = abs(distance - 1) > 0.02  # pixels on the ellipse may go either way
    assert clear.mean() > 0.98
    np.testing.assert_array_equal(labels[clear] == 1, distance[clear] < 1)


def test_an_exclusion_is_cut_out_of_its_layer_and_is_no_nucleus(write):
    hole = region([(2.5, 0.5), (3.5, 0.5), (3.5, 1.5), (2.5, 1.5)], 'NegativeROA="1"')
    for regions in ((hole, region(SQUARE)), (region(SQUARE), hole)):  # in any order
        text = document(layer(*regions))
        assert aperio.read(write(text), (4, 6)).tolist() == [
            [0, 0, 0, 0, 0, 0],
            [0, 0, 1, 0, 1, 0],
            [0, 0, 1, 1, 1, 0],
            [0, 0, 0, 0, 0, 0],
        ]
    text = document(layer(region(SQUARE)), layer(hole))
    np.testing.assert_array_equal(aperio.read(write(text), (4, 6)), draw([SQUARE], (4, 6)))
    with pytest.raises(InputError, match="outlines no nucleus"):
        aperio.read(write(document(layer(hole))), (4, 6))


def test_arrows_and_rulers_are_left_out(write):
    lines = (region(SQUARE[::2], f'Type="{kind}"') for kind in (3, 4))
    text = document(layer(*lines, region(SQUARE)))
    np.testing.assert_array_equal(aperio.read(write(text), (4, 6)), draw([SQUARE], (4, 6)))


@pytest.mark.parametrize("kind", ["Polygon", "Spline", "Rectangle"])
def test_asap_xml_is_read_too(write, kind):
    moved = [(x, y + 4) for x, y in SQUARE]
    others = [(other, SQUARE) for other in ("Dot", "PointSet", "Measurement")]
    path = write(asap_xml((kind, SQUARE), *others, (kind, moved)))
    expected = draw([SQUARE, moved], (8, 6))
    assert expected.max() == 2
    np.testing.assert_array_equal(aperio.read(path, (8, 6)), expected)
    with path.open("rb") as file:
        np.testing.assert_array_equal(aperio.read(file, (8, 6)), expected)
    path = write(path.read_text().replace("ASAP_Annotations", "Other"))  # known by its points
    np.testing.assert_array_equal(aperio.read(path, (8, 6)), expected)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not a complete Aperio XML"),
        ("<Annotations/>", "outlines no nucleus: .* if it has none, put a black mask in place"),
        (xml(SQUARE[:2]), "outlines no nucleus: outline those of the image"),
        (xml([(x + 50, y) for x, y in SQUARE]), "no nucleus in the 6 x 4 .* at x 51.5, y 0.5: use"),
        ("<svg/>", "is neither Aperio XML nor ASAP XML, because it begins with <svg>"),
        (asap_xml(("Dot", SQUARE)), "outlines no nucleus: outline those of the image"),
        (asap_xml(("Polygon", [(x, y + 50) for x, y in SQUARE])), "at x 1.5, y 50.5: use the out"),
        (asap_xml(("Polygon", SQUARE)).replace('X="1.5"', ""), "not a complete ASAP XML"),
        (xml(SQUARE).replace("<Region ", '<Region Type="7" '), "has a region of type 7, which is"),
        (xml(SQUARE)[:-20], "not a complete Aperio XML"),
        (xml(SQUARE).replace('X="1.5"', ""), "not a complete Aperio XML"),
        (xml(SQUARE).replace('X="1.5"', 'X="left"'), "not a complete Aperio XML"),
        (xml(SQUARE).replace('X="1.5"', 'X="nan"'), "not a complete Aperio XML"),
        ('<!DOCTYPE a [<!ENTITY e "ha">]>' + xml(SQUARE), "defines entities"),
        ('<?xml version="1.0" encoding="klingon"?>' + xml(SQUARE), "not a complete Aperio XML"),
    ],
)
def test_a_file_without_nuclei_is_refused_in_one_sentence(write, text, complaint):
    path = write(text)
    with pytest.raises(InputError, match=complaint) as caught:
        aperio.read(path, (4, 6))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="absent.xml does not exist"):
        aperio.read(tmp_path / "absent.xml", (4, 6))


def test_a_file_that_may_not_be_read_is_not_called_damaged(write, monkeypatch):
    path = write(xml(SQUARE))

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(defusedxml.ElementTree, "parse", refuse)
    with pytest.raises(InputError, match="cannot be read: change its permissions"):
        aperio.read(path, (4, 6))


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a complete Aperio XML"):
        aperio.read(tmp_path, (4, 6))


def test_real_annotations_give_the_published_labels(monuseg_folder):
    name = "TCGA-HT-8564-01Z-00-DX1"
    labels = aperio.read(monuseg_folder / "Test" / "Annotations" / f"{name}.xml", (1000, 1000))
    assert (labels == read_grey(monuseg_folder / "Test" / "Labels" / f"{name}_labels.png")).all()
