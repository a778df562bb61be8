"""Aperio ImageScope XML, the format of the MoNuSeg annotations, to a label image."""

from xml.etree.ElementTree import ParseError

import defusedxml.ElementTree
import numpy as np
from defusedxml import DefusedXmlException
from skimage.draw import polygon
from skimage.segmentation import relabel_sequential

from .files import InputError


def read(path, shape):
    """Read the nuclei of an Aperio XML file as a label image.

    Each `Region` is the outline of one nucleus, whatever `Annotation` layer it lies in.

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
        If the file is missing, malformed, defines entities, or outlines nothing in the image.
    """
    try:
        root = defusedxml.ElementTree.parse(path).getroot()
        outlines = [_outline(region) for region in root.iter("Region")]
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: check the path.") from None
    except DefusedXmlException:
        raise InputError(f"{path} defines entities, which is unsafe: remove its DTD.") from None
    except (ParseError, OSError, TypeError, ValueError, LookupError) as error:
        raise InputError(
            f"{path} is not a complete Aperio XML file ({error}): get a fresh copy."
        ) from None
    labels = draw(outlines, shape)
    if not labels.any():
        raise InputError(
            f"{path} outlines no nucleus inside {shape[0]} x {shape[1]} pixels: "
            "check that it is the annotation of this image."
        )
    return labels


def draw(polygons, shape):
    """Fill polygons with one label each; later ones overwrite earlier ones.

    The coordinates go to `skimage.draw.polygon` as they are, neither rounded nor shifted. Outlines
    filled with `cv2.fillPoly` include their border pixels and give masks 7 to 10% larger.

    Parameters
    ----------
    polygons : iterable of array_like, shape (V, 2)
        Vertices x, y in pixels. What has fewer than three vertices encloses nothing and is skipped,
        as is what lies outside the image.
    shape : tuple of int
        Height and width.

    Returns
    -------
    ndarray of int32, shape (H, W)
        0 = background, 1..N = one polygon each, in their order and without gaps.

    Examples
    --------
    >>> draw([[(0, 0), (2, 0), (2, 2), (0, 2)]], (3, 4))
    array([[1, 1, 1, 0],
           [1, 1, 1, 0],
           [1, 1, 1, 0]], dtype=int32)
    """
    labels = np.zeros(shape, np.int32)
    outlines = [np.asarray(outline, float) for outline in polygons if len(outline) >= 3]
    for number, outline in enumerate(outlines, start=1):
        x, y = outline.T
        labels[polygon(y, x, shape)] = number
    # A polygon outside the image, or wholly under later ones, leaves a gap in the numbers.
    return relabel_sequential(labels)[0]


def _outline(region):
    vertices = [(vertex.get("X"), vertex.get("Y")) for vertex in region.iter("Vertex")]
    outline = np.array(vertices, float).reshape(-1, 2)
    if not np.isfinite(outline).all():
        raise ValueError("a vertex without finite X and Y")
    return outline
