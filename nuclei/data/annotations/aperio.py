"""Read Aperio ImageScope XML, the format of the MoNuSeg annotations, into a label image."""

import numpy as np
from skimage.segmentation import relabel_sequential

from ...errors import InputError, reason
from . import asap
from .polygons import check_any, draw, ellipse
from .xml_files import outline, parse

OUTLINE, RECTANGLE, ELLIPSE = "0", "1", "2"
"""Types of region with an area. A rectangle has four corners, an ellipse two: those of its box."""


def read(path, shape):
    """Read the nuclei of an Aperio XML file, or of an ASAP XML file, as a label image.

    Each `Region` is one nucleus, in whichever `Annotation` layer it is: an outline, a rectangle or
    an ellipse. A region with `NegativeROA="1"` is an exclusion: it is cut out of the nuclei of its
    layer. Arrows and rulers, which have two points, are left out.

    Parameters
    ----------
    path : str, Path or binary file object
        The XML file.
    shape : tuple of int
        Height and width of the image that was annotated.

    Returns
    -------
    ndarray of int32, shape (H, W)
        0 = background, 1..N = one nucleus each, in the order of the file.

    Raises
    ------
    InputError
        If the file is missing, malformed or of another program, defines entities, has regions of
        an unknown type, or outlines no nucleus in the image.
    """
    root = parse(path)
    if asap.is_asap(root):
        return asap.labels(root, path, shape)
    if root.tag != "Annotations" and next(root.iter("Region"), None) is None:
        raise InputError(
            f"{path} is neither Aperio XML nor ASAP XML, because it begins with <{root.tag}>: "
            "export the outlines in one of these formats."
        )
    layers = list(root.iter("Annotation")) or [root]
    labels, outlines = np.zeros(shape, np.int32), []
    for layer in layers:
        nuclei, exclusions = _regions(layer, path)
        outlines += nuclei
        drawn = draw(nuclei, shape)
        drawn[draw(exclusions, shape) > 0] = 0
        labels[drawn > 0] = drawn[drawn > 0] + labels.max()
    return check_any(relabel_sequential(labels)[0], outlines, path)


def _regions(layer, path):
    """Outlines of the nuclei and of the exclusions of a layer."""
    nuclei, exclusions = [], []
    for region in layer.iter("Region"):
        kind = region.get("Type", OUTLINE)
        try:
            vertices = outline(region.iter("Vertex"))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{path} is not a complete Aperio XML file ({reason(error)}): get a fresh copy."
            ) from None
        if kind in (RECTANGLE, ELLIPSE) and len(vertices) in (2, 4):
            vertices = ellipse(vertices) if kind == ELLIPSE else _rectangle(vertices)
        elif kind not in (OUTLINE, RECTANGLE, ELLIPSE, "", "Polygon") and len(vertices) > 2:
            raise InputError(
                f"{path} has a region of type {kind}, which is no outline (0), rectangle (1) or "
                "ellipse (2): remove that region or draw it anew."
            )
        negative = region.get("NegativeROA", "0").lower() in ("1", "true")
        (exclusions if negative else nuclei).append(vertices)
    return nuclei, exclusions


def _rectangle(corners):
    """Four corners of a rectangle in order; of two opposite ones, or of four that may be turned."""
    if len(corners) == 4:
        return corners
    (left, top), (right, bottom) = corners
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
