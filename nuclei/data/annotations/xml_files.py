"""Parse the XML of annotation programs, safely and in whatever namespace."""

from xml.etree.ElementTree import ParseError

import defusedxml.ElementTree
import numpy as np
from defusedxml import DefusedXmlException

from ...errors import InputError, reason


def parse(path):
    """Parse an XML file.

    Parameters
    ----------
    path : str, Path or binary file object
        The XML file.

    Returns
    -------
    xml.etree.ElementTree.Element
        The root. All names are without a namespace.

    Raises
    ------
    InputError
        If the file is missing, cannot be read, is malformed or defines entities.
    """
    try:
        root = defusedxml.ElementTree.parse(path).getroot()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: check the path.") from None
    except PermissionError:
        raise InputError(f"{path} cannot be read: change its permissions.") from None
    except DefusedXmlException:
        raise InputError(f"{path} defines entities, which is unsafe: remove its DTD.") from None
    except (ParseError, OSError, ValueError, LookupError) as error:
        raise InputError(
            f"{path} is not a complete Aperio XML or ASAP XML file ({reason(error)}): get a fresh "
            "copy."
        ) from None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def outline(points):
    """Read the vertices of an outline.

    Parameters
    ----------
    points : iterable of xml.etree.ElementTree.Element
        Elements with the attributes X and Y.

    Returns
    -------
    ndarray of float, shape (V, 2)
        Vertices x, y in pixels.

    Raises
    ------
    TypeError, ValueError
        If X or Y is missing or is no finite number.
    """
    vertices = np.array([(point.get("X"), point.get("Y")) for point in points], float)
    if not np.isfinite(vertices).all():
        raise ValueError("a vertex without finite X and Y")
    return vertices.reshape(-1, 2)
