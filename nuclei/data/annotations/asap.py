"""Read ASAP XML, which the viewer of Radboudumc writes, into a label image."""

from ...errors import InputError, reason
from .polygons import check_any, draw
from .xml_files import outline

AREAS = ("Polygon", "Spline", "Rectangle")
"""Types of annotation with an area. ASAP joins the points of all three by straight lines, too, when
it makes a mask. The others are Dot, PointSet and Measurement."""


def is_asap(root):
    """Whether parsed XML is that of ASAP: its points are called Coordinate."""
    return root.tag == "ASAP_Annotations" or next(root.iter("Coordinate"), None) is not None


def labels(root, path, shape):
    """Draw the nuclei of a parsed file: each annotation with an area, in whichever group it is.

    Parameters
    ----------
    root : xml.etree.ElementTree.Element
        Of `xml_files.parse`.
    path, shape
        As for `aperio.read`, as are the labels that are returned and the errors.
    """
    try:
        areas = (item for item in root.iter("Annotation") if item.get("Type", "Polygon") in AREAS)
        outlines = [outline(_in_order(area)) for area in areas]
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{path} is not a complete ASAP XML file ({reason(error)}): get a fresh copy."
        ) from None
    return check_any(draw(outlines, shape), outlines, path)


def _in_order(area):
    return sorted(area.iter("Coordinate"), key=lambda point: float(point.get("Order", 0)))
