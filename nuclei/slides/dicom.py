"""Which slide a DICOM file belongs to: a slide is a series of files, and one of them is enough."""

import struct
from dataclasses import dataclass

from ..images import IMAGE_SUFFIXES, SLIDE_SUFFIXES

SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""SOP class of whole slide images."""

WANTED = {
    (0x0008, 0x0008): "kind",
    (0x0008, 0x0016): "sop_class",
    (0x0020, 0x000E): "series",
    (0x0048, 0x0006): "columns",
    (0x0048, 0x0007): "rows",
}
"""Elements to read, by tag. Elements are in the order of their tags."""

UNDEFINED = 0xFFFFFFFF
"""Length of what ends with a delimiter instead."""

LONG = b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"
"""Types whose length has four bytes."""

ITEM_END, SEQUENCE_END = (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)


@dataclass(frozen=True)
class Instance:
    """One DICOM file of a slide.

    Attributes
    ----------
    series : str
        The unique identifier that all files of a slide share.
    kind : str
        VOLUME for a level of the pyramid; others are LABEL, OVERVIEW and THUMBNAIL.
    pixels : int
        Number of pixels of the image.
    """

    series: str
    kind: str
    pixels: int


def read_instance(path):
    """Read what a file says of its slide, without its pixels.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Instance or None
        None if the file is no DICOM file of a slide, or cannot be read.
    """
    try:
        with open(path, "rb") as file:
            if file.read(132)[128:] != b"DICM":
                return None
            found = _read(file)
    except (OSError, struct.error, ValueError, TypeError, RecursionError):
        return None
    if found.get("sop_class") != SLIDE or "series" not in found:
        return None
    parts = found.get("kind", "").split("\\")
    size = found.get("columns", 0) * found.get("rows", 0)
    return Instance(found["series"], parts[2] if len(parts) > 2 else "", size)


def one_per_slide(paths):
    """Keep one file of each DICOM slide: that with its finest level.

    Parameters
    ----------
    paths : iterable of Path
        Any files. Only those with the suffix .dcm or without a known one are opened.

    Returns
    -------
    list of Path
        Without the other levels and the label and overview of slides of which a level is left.
    """
    paths = list(paths)
    instances = dict(enumerate(map(_instance, paths)))
    best = {}
    for place, instance in instances.items():
        if instance:
            slide = paths[place].resolve().parent, instance.series
            rank = instance.kind == "VOLUME", instance.pixels
            best[slide] = max(best.get(slide, (rank, -place)), (rank, -place))
    kept = {-place for _, place in best.values()}
    return [path for place, path in enumerate(paths) if place in kept or not instances[place]]


def _instance(path):
    suffix = path.suffix.lower()
    known = suffix != ".dcm" and suffix in IMAGE_SUFFIXES + SLIDE_SUFFIXES
    return None if known else read_instance(path)


def _read(file):
    """Read the `WANTED` elements of a file with explicit lengths, as OpenSlide requires it."""
    found, last = {}, max(WANTED)
    while (element := _header(file))[0] <= last:
        tag, kind, length = element
        if tag not in WANTED:
            _skip(file, length)
            continue
        value = file.read(length)
        if kind == b"UL":
            (found[WANTED[tag]],) = struct.unpack("<I", value)
        else:
            found[WANTED[tag]] = value.decode("ascii").strip("\0 ")
    return found


def _header(file):
    """Read the tag, the type and the length of an element."""
    group, number, kind, length = struct.unpack("<HH2sH", file.read(8))
    if group == 0xFFFE:  # items have no type, but four bytes of length
        kind, length = b"", length << 16 | int.from_bytes(kind, "little")
    elif kind in LONG:
        (length,) = struct.unpack("<I", file.read(4))
    elif not kind.isalpha():
        raise ValueError("not DICOM with explicit types")
    return (group, number), kind, length


def _skip(file, length):
    """Skip the value of an element, which may be a sequence that ends with a delimiter."""
    if length != UNDEFINED:
        file.seek(length, 1)
        return
    while (element := _header(file))[0] not in (ITEM_END, SEQUENCE_END):
        _skip(file, element[2])
