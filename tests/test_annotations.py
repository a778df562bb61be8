import numpy as np
import pytest

from nuclei.data.annotations import aperio
from nuclei.data.annotations.polygons import draw
from nuclei.errors import InputError
from nuclei.images import read_grey

SQUARE = [(1.5, 0.5), (4.5, 0.5), (4.5, 2.5), (1.5, 2.5)]


def xml(*polygons):
    regions = ""
    for polygon in polygons:
        vertices = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in polygon)
        regions += f"<Region><Vertices>{vertices}</Vertices></Region>"
    return f"<Annotations><Annotation><Regions>{regions}</Regions></Annotation></Annotations>"


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
    layer = xml(SQUARE).removeprefix("<Annotations>").removesuffix("</Annotations>")
    moved = layer.replace('Y="0.5"', 'Y="4.5"').replace('Y="2.5"', 'Y="6.5"')
    labels = aperio.read(write(f"<Annotations>{layer}{moved}</Annotations>"), (8, 6))
    assert labels.max() == 2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not a complete Aperio XML"),
        ("<Annotations/>", "outlines no nucleus"),
        (xml(SQUARE[:2]), "outlines no nucleus"),
        (xml([(x + 50, y) for x, y in SQUARE]), "outlines no nucleus"),
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


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a complete Aperio XML"):
        aperio.read(tmp_path, (4, 6))


def test_real_annotations_give_the_published_labels(monuseg_folder):
    name = "TCGA-HT-8564-01Z-00-DX1"
    labels = aperio.read(monuseg_folder / "Test" / "Annotations" / f"{name}.xml", (1000, 1000))
    assert (labels == read_grey(monuseg_folder / "Test" / "Labels" / f"{name}_labels.png")).all()
