"""Read the GeoJSON of QuPath, 0.2 and later, into a label image."""

import gzip
import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from skimage.measure import points_in_poly

from ...errors import InputError
from .polygons import draw_areas, ellipse
from .xml_files import check_any

GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
"""How compressed files begin; QuPath writes both."""

MOST = 2**28
"""Bytes that a compressed file may unpack to."""

PARSED = 700_000_000
"""Bytes that parsed JSON may take: 64 for each list or object and 32 for each number in them. These
are five million points of outlines, or an image with hundreds of thousands of nuclei."""

NO_NUCLEI = "tile", "PathTileObject", "tmaCore", "tma_core", "TMACoreObject", "root"
"""Types of object that are no nuclei, in the spellings of all versions."""

CELLS = "cell", "PathCellObject"
NUCLEUS = "nucleus of a cell"
DETECTIONS = "detection", "PathDetectionObject", NUCLEUS, *CELLS
"""Whatever is neither of these is an annotation, as in QuPath."""

REGION = 4
"""An annotation with a bounding box of more than this many typical ones may be a region."""


@dataclass(frozen=True)
class Outlined:
    """One object with an area.

    Attributes
    ----------
    kind : str
        Its type in QuPath, or `NUCLEUS`.
    name : str
        Its class, "" if it has none; the parts of a derived class are joined, as in QuPath, to
        "Tumor: Positive".
    parts : list of list of ndarray of float, shape (V, 2)
        As for `polygons.draw_areas`, in pixels from the corner of the image.
    """

    kind: str
    name: str
    parts: list


def read(path, shape, classes=None):
    """Read the nuclei of a GeoJSON file as a label image.

    Each annotation, detection or cell with an area is one nucleus. Of a cell the nucleus counts; if
    no cell of the file has one, their outlines are taken for nuclei, as other programs write them.
    Points, lines, tiles and cores of tissue microarrays are left out, and so are regions:
    annotations that contain other objects, and objects of classes that QuPath ignores, whose names
    end with `*`.

    Parameters
    ----------
    path : str, Path or binary file object
        GeoJSON: a FeatureCollection, a list of features, one feature or one geometry; as it is, or
        compressed as gzip or zip.
    shape : tuple of int
        Height and width of the image that was annotated.
    classes : collection of str, optional
        Names of classes, in small or capital letters: only objects of these classes are read. Of a
        derived class such as "Tumor: Positive", the whole name or one of its parts counts.

    Returns
    -------
    ndarray of int32, shape (H, W)
        0 = background, 1..N = one nucleus each, in the order of the file; later ones lie over
        earlier ones.

    Raises
    ------
    InputError
        If the file is missing or no complete GeoJSON, has no object of the classes, or outlines no
        nucleus in the image.
    """
    try:
        objects = list(chain.from_iterable(map(_objects, _parse(path))))
    except InputError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} is not complete GeoJSON ({error}): export it from QuPath again."
        ) from None
    if classes is not None:
        objects = _of_classes(objects, classes, path)
    else:
        objects = [item for item in objects if not item.name.endswith("*")]
    if any(item.kind == NUCLEUS for item in objects):
        objects = [item for item in objects if item.kind not in CELLS]
    objects = _without_regions(objects)
    # In QuPath, the first pixel reaches from 0 to 1; for `draw_areas` its centre lies at 0.
    shifted = [[[ring - 0.5 for ring in rings] for rings in item.parts] for item in objects]
    labels = draw_areas(shifted, shape)
    if objects and not labels.any():
        x, y = objects[0].parts[0][0][0]
        raise InputError(
            f"{path} outlines nuclei only outside the {shape[0]} x {shape[1]} pixels of the image, "
            f"such as at x {x:.0f}, y {y:.0f}: export the outlines of this image, not of the slide "
            "that it was cut from."
        )
    return check_any(labels, path)


def _parse(path):
    """Parsed JSON of a file: one document, or those in a zip file."""
    try:
        data = path.read() if hasattr(path, "read") else Path(path).read_bytes()
        return [_loads(text) for text in _unpacked(data)]
    except RecursionError:  # a RuntimeError; `read` says what is wrong
        raise
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: check the path.") from None
    except PermissionError:
        raise InputError(f"{path} cannot be read: change its permissions.") from None
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise InputError(f"{path} cannot be read ({error}): get a fresh copy.") from None


def _loads(text):
    """Parse JSON, unless it would take the memory that `PARSED` says."""
    lists, entries = text.count(b"[") + text.count(b"{"), text.count(b",")
    if 64 * lists + 32 * entries > PARSED:
        raise OSError(f"it has {entries:,} numbers, far more than the outlines of an image")
    return json.loads(text.decode("utf-8-sig"))


def _unpacked(data):
    """Contents of all JSON files in the bytes of a file."""
    if data.startswith(GZIP):
        with gzip.open(io.BytesIO(data)) as file:
            yield _limited(file)
    elif data.startswith(ZIP):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist():
                hidden = Path(entry.filename).name.startswith(".")  # as macOS adds them
                if not hidden and entry.filename.lower().endswith((".geojson", ".json")):
                    with archive.open(entry) as file:
                        yield _limited(file)
    else:
        yield data


def _limited(file):
    """Read a compressed file, unless it unpacks to more than any annotation has."""
    data = file.read(MOST + 1)
    if len(data) > MOST:
        raise OSError(f"it unpacks to more than {MOST:,} bytes")
    return data


def _objects(content):
    """Yield the objects with an area in parsed GeoJSON, children after their parents."""
    if isinstance(content, list):
        yield from chain.from_iterable(map(_objects, content))
        return
    kind = content.get("type")
    if kind == "FeatureCollection":
        yield from _objects(content["features"])
    elif kind == "Feature":
        yield from _feature(content)
    else:
        yield from _feature({"geometry": content})


def _feature(feature):
    """Yield the object of a feature, then its children if the hierarchy was exported."""
    properties = feature.get("properties") or {}
    children = list(_objects(properties.get("childObjects") or properties.get("children") or []))
    kind, geometry = _kind(feature, properties), feature.get("geometry")
    if kind in CELLS and feature.get("nucleusGeometry"):
        kind, geometry = NUCLEUS, feature["nucleusGeometry"]
    parts = _parts(geometry)
    is_region = children and kind not in DETECTIONS
    if parts and kind not in NO_NUCLEI and not is_region:
        yield Outlined(kind, _class(properties.get("classification")), parts)
    yield from children


def _kind(feature, properties):
    """Type of an object: a property of changing name since 0.3, the id of the feature before."""
    found = [properties.get(name) for name in ("objectType", "object_type", "type")]
    legacy = str(feature.get("id"))
    found.append(legacy if legacy.startswith("Path") or legacy == "TMACoreObject" else "")
    return next(filter(None, found), "")


def _class(classification):
    """Name of a class: text; or `name`, from 0.4 on also `names`, before that `parentClass`."""
    if not classification:
        return ""
    if isinstance(classification, str):
        return classification
    names = classification.get("names") or [classification.get("name") or ""]
    names = [_class(classification.get("parentClass")), *names]
    return ": ".join(filter(None, names))


def _parts(geometry):
    """Polygons of a geometry; of points, lines and empty geometries there are none."""
    if not geometry:
        return []
    kind = geometry.get("type")
    if kind == "GeometryCollection":
        return list(chain.from_iterable(map(_parts, geometry["geometries"])))
    if kind in ("Point", "MultiPoint", "LineString", "MultiLineString", "LinearRing"):
        return []
    if kind not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"it has something of type {kind}")
    polygons = geometry["coordinates"] if kind == "MultiPolygon" else [geometry["coordinates"]]
    parts = [[ring for ring in map(_ring, rings) if len(ring) > 2] for rings in polygons]
    if geometry.get("isEllipse"):  # QuPath takes its bounding box
        parts = [[ellipse(rings[0])] for rings in parts if rings]
    return [rings for rings in parts if rings]


def _ring(points):
    """Vertices x, y of a ring, whose last point may repeat the first one; heights are left out."""
    ring = np.array([point[:2] for point in points], float).reshape(-1, 2)
    if not np.isfinite(ring).all():
        raise ValueError("a point without finite x and y")
    return ring


def _of_classes(objects, classes, path):
    """The objects of some classes; an InputError if there are none."""
    wanted = {name.casefold() for name in classes}

    def names(item):
        return {item.name.casefold(), *item.name.casefold().split(": ")}

    chosen = [item for item in objects if names(item) & wanted]
    if objects and not chosen:
        found = sorted({item.name or "no class" for item in objects})
        raise InputError(
            f"{path} has no outline of class {' or '.join(classes)}, only of "
            f"{', '.join(found[:10])}: choose among these."
        )
    return chosen


def _without_regions(objects):
    """Leave out annotations that contain the centres of two other objects."""
    if not objects:
        return []
    outlines = [np.concatenate([rings[0] for rings in item.parts]) for item in objects]
    low = np.array([outline.min(axis=0) for outline in outlines])
    high = np.array([outline.max(axis=0) for outline in outlines])
    sizes, centres = np.prod(high - low, axis=1), (low + high) / 2
    large = sizes > REGION * np.median(sizes)

    def is_region(index):
        if not large[index] or objects[index].kind in DETECTIONS:
            return False
        near = ((low[index] <= centres) & (centres <= high[index])).all(axis=1)
        near[index] = False
        parts = objects[index].parts
        return sum(points_in_poly(centres[near], rings[0]).sum() for rings in parts) > 1

    return [item for index, item in enumerate(objects) if not is_region(index)]
