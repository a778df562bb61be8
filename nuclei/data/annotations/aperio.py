"""Read Aperio ImageScope XML, the format of the MoNuSeg annotations, into a label image."""

from xml.etree.ElementTree import ParseError

import defusedxml.ElementTree
import numpy as np
from defusedxml import DefusedXmlException

from ...errors import InputError
from .polygons import draw


def read(path, shape):
    """Read the nuclei of an Aperio XML file as a label image.

    Each `Region` is the outline of one nucleus, in whichever `Annotation` layer it is.

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
        If the file is missing or malformed, defines entities, or outlines no nucleus in the image.
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


def _outline(region):
    vertices = [(vertex.get("X"), vertex.get("Y")) for vertex in region.iter("Vertex")]
    outline = np.array(vertices, float).reshape(-1, 2)
    if not np.isfinite(outline).all():
        raise ValueError("a vertex without finite X and Y")
    return outline
