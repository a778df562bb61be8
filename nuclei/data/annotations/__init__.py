"""Read outlines of nuclei, as written by annotation programs, into label images.

`read` knows every format by its content. Each format has one file with a function
`read(path, shape)`, which draws with `polygons`. `aperio.read` also takes ASAP XML, and hands it to
`asap`; `xml_files` parses the XML of both. `geojson` reads what QuPath writes, and `json_files`
parses it.
"""

import re
from pathlib import Path

from ...errors import InputError
from . import aperio, geojson, json_files

UTF = re.compile(b"\xef\xbb\xbf|\xff\xfe|\xfe\xff|\0")
"""What text in UTF-8 or UTF-16 may have before and between its letters."""


def read(path, shape, classes=None):
    """Read the nuclei of an annotation file of any known format as a label image.

    Parameters
    ----------
    path : str, Path or binary file object that can seek
        Aperio XML, ASAP XML or GeoJSON, whatever its name.
    shape : tuple of int
        Height and width of the image that was annotated.
    classes : collection of str, optional
        For GeoJSON: names of the classes to read.

    Returns
    -------
    ndarray of int32, shape (H, W)
        0 = background, 1..N = one nucleus each, in the order of the file; later ones lie over
        earlier ones.

    Raises
    ------
    InputError
        As for `geojson.read` and `aperio.read`; also if the file is of another kind, or if classes
        are chosen in XML.
    """
    head = UTF.sub(b"", _head(path)).lstrip()
    if head.startswith((b"{", b"[", json_files.GZIP, json_files.ZIP)):
        return geojson.read(path, shape, classes)
    if not head.startswith(b"<"):
        raise InputError(
            f"{path} is neither XML nor GeoJSON: export the outlines from QuPath, Aperio "
            "ImageScope or ASAP."
        )
    if classes is not None:
        raise InputError(f"{path} is XML, of which all nuclei are read: leave the classes out.")
    return aperio.read(path, shape)


def left_out(path, classes):
    """Count the outlines that `read` leaves out because of their class; see `geojson.left_out`."""
    return geojson.left_out(path, classes)


def _head(path):
    """The first bytes of a file; none if it cannot be read, which the readers then explain."""
    if hasattr(path, "read"):
        head = path.read(64)
        path.seek(-len(head), 1)
        return head
    try:
        with Path(path).open("rb") as file:
            return file.read(64)
    except OSError:
        return b"<"
