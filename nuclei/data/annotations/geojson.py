"""Read the GeoJSON of QuPath, 0.2 and later, into a label image."""

from collections import Counter
from dataclasses import dataclass
from itertools import chain

import numpy as np
from skimage.measure import points_in_poly

from ...errors import InputError, reason
from .json_files import parse
from .polygons import check_any, draw_areas, ellipse

NO_CLASS = "no class"
"""What objects without a class are called where classes are chosen."""

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
        Names of classes, in small or capital letters: only objects of these classes are read, and
        of none with `NO_CLASS`. Of a derived class such as "Tumor: Positive", the whole name or one
        of its parts counts.

    Returns
    -------
    ndarray of int32, shape (H, W)
        0 = background, 1..N = one nucleus each, in the order of the file; later ones lie over
        earlier ones. An empty collection or list has none.

    Raises
    ------
    InputError
        If the file is missing or no complete GeoJSON, has no object of the classes, or has objects
        of which none outlines a nucleus in the image.
    """
    objects, is_empty = _read(path)
    if is_empty:  # a region without nuclei, as QuPath exports it
        return np.zeros(shape, np.int32)
    if classes is not None:
        objects = _of_classes(objects, classes, path)
    else:
        objects = _without_ignored(objects, path)
    objects = _without_regions(_without_cells(objects))
    # In QuPath, the first pixel reaches from 0 to 1; for `draw_areas` its centre lies at 0.
    shifted = [[[ring - 0.5 for ring in rings] for rings in item.parts] for item in objects]
    labels = draw_areas(shifted, shape)
    return check_any(labels, [item.parts[0][0] for item in objects], path)


def _read(path):
    """All objects of a file that have an area, and whether it says that there are none at all."""
    try:
        contents = parse(path)
        objects = list(chain.from_iterable(map(_objects, contents)))
        return objects, all(map(_is_empty, contents))
    except InputError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} is not complete GeoJSON ({reason(error)}): export it from QuPath again."
        ) from None


def _is_empty(content):
    return (content.get("features") if isinstance(content, dict) else content) == []


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
        what = f"of type {kind}" if kind else "without a type, as JSON of other programs"
        raise ValueError(f"it has something {what}")
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


def left_out(path, classes):
    """Count the objects that `read` leaves out because of their class.

    Parameters
    ----------
    path, classes
        As for `read`, which has read the file.

    Returns
    -------
    collections.Counter
        Their number by the name of the class.
    """
    others = [item for item in _read(path)[0] if not _is_of(item, classes)]
    return Counter(item.name or NO_CLASS for item in _without_cells(others))


def _without_cells(objects):
    """Leave out the outlines of cells if there is a nucleus of a cell."""
    if any(item.kind == NUCLEUS for item in objects):
        return [item for item in objects if item.kind not in CELLS]
    return objects


def _is_of(item, classes):
    """Whether an object is of one of some classes."""
    name = (item.name or NO_CLASS).casefold()
    return not {name, *name.split(": ")}.isdisjoint(one.casefold() for one in classes)


def _of_classes(objects, classes, path):
    """The objects of some classes; an InputError if there are none."""
    chosen = [item for item in objects if _is_of(item, classes)]
    if objects and not chosen:
        found = sorted({item.name or NO_CLASS for item in objects})
        raise InputError(
            f"{path} has no outline of class {' or '.join(classes)}, only of "
            f"{', '.join(found[:10])}: choose among these, separated by a bar, or if the image has "
            "no nuclei, put a black mask in place of this file."
        )
    return chosen


def _without_ignored(objects, path):
    """Leave out objects of classes that QuPath ignores; an InputError if there are no others."""
    kept = [item for item in objects if not item.name.endswith("*")]
    if objects and not kept:
        found = sorted({item.name for item in objects})
        raise InputError(
            f"{path} has only outlines of the class {', '.join(found[:10])}, which QuPath ignores: "
            "if they are nuclei, choose the class in the column classes of samples.csv, else "
            "remove them."
        )
    return kept


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
