"""Slides for the tests: of synthetic tissue, and of the kind that OpenSlide reads."""

import struct

import numpy as np
import tifffile

from nuclei.data import synthetic

GLASS = 243


def aperio(path, image, resolution=0.25, power=40):
    """Write what OpenSlide takes for an SVS of Aperio: levels as pages, told by a description."""
    options = {"tile": (256, 256), "compression": "jpeg", "photometric": "rgb", "metadata": None}
    height, width = image.shape[:2]
    text = f"Aperio Image Library v11\n{width}x{height} (256x256)"
    values = {"AppMag": power, "MPP": resolution}
    text += "".join(f"|{name} = {value}" for name, value in values.items() if value is not None)
    with tifffile.TiffWriter(path) as writer:
        writer.write(image, description=text, compressionargs={"level": 95}, **options)
        thumbnail = {**options, "tile": None, "rowsperstrip": 64}
        writer.write(image[::8, ::8], description="Aperio\nthumbnail", **thumbnail)
        writer.write(image[::4, ::4], description=text, **options)
    return path


def leica(path, image, corner=(400, 300), mpp=0.25, **options):
    """Write what OpenSlide takes for an SCN of Leica, with glass around the scanned part.

    The scanned part begins at `corner`, x and y in pixels. Lengths in the description are in
    nanometres.
    """
    height, width = image.shape[:2]
    options = {"tile": (256, 256), "compression": "jpeg", "photometric": "rgb", **options}
    if options["compression"] == "jpeg":
        options["compressionargs"] = {"level": 95}
    pixel = round(1000 * mpp)
    whole = corner[0] + width + 77, corner[1] + height + 55
    images = image, image[::4, ::4]
    levels = "".join(
        f'<dimension sizeX="{level.shape[1]}" sizeY="{level.shape[0]}" r="{n}" ifd="{n}"/>'
        for n, level in enumerate(images)
    )
    text = f"""<?xml version="1.0"?>
<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">
<collection name="slide" sizeX="{whole[0] * pixel}" sizeY="{whole[1] * pixel}"><image name="scan">
<creationDate>2020-01-01</creationDate><device model="none" version="1"/>
<pixels sizeX="{width}" sizeY="{height}">{levels}</pixels>
<view sizeX="{width * pixel}" sizeY="{height * pixel}"
offsetX="{corner[0] * pixel}" offsetY="{corner[1] * pixel}"/><scanSettings>
<objectiveSettings><objective>40</objective></objectiveSettings>
<illuminationSettings><numericalAperture>0.2</numericalAperture>
<illuminationSource>brightfield</illuminationSource></illuminationSettings>
</scanSettings></image></collection></scn>"""
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for level, pixels in enumerate(images):
            known = {"resolution": (1e4 / mpp / 4**level,) * 2, "resolutionunit": "CENTIMETER"}
            described = {"metadata": None, "description": None if level else text}
            writer.write(pixels, **described, **known, **options)
    return path


WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"


def dicom(path, image, kind="VOLUME", slide="1.2.3", number=1, mpp=0.25, **changes):
    """Write one file of a DICOM slide: uncompressed RGB, in tiles if it is a level.

    `kind` is VOLUME, LABEL or OVERVIEW. Files with the same `slide` belong together, and `number`
    tells them apart. With `sop_class` it is another DICOM object, with `planes` a stack.
    """
    height, width = image.shape[:2]
    rows, columns = (256, 256) if kind == "VOLUME" else (height, width)
    padded = np.pad(image, ((0, -height % rows), (0, -width % columns), (0, 0)))
    corners = [(y, x) for y in range(0, height, rows) for x in range(0, width, columns)]
    frames = [padded[y : y + rows, x : x + columns].tobytes() for y, x in corners]
    sop_class = changes.get("sop_class", WHOLE_SLIDE)
    meta = b"".join(
        [
            _element(0x2, 0x1, "OB", b"\0\1"),
            _element(0x2, 0x2, "UI", sop_class),
            _element(0x2, 0x3, "UI", f"{slide}.{number}"),
            _element(0x2, 0x10, "UI", "1.2.840.10008.1.2.1"),
        ]
    )
    resampled = kind == "VOLUME" and number > 1
    types = "DERIVED" if resampled else "ORIGINAL", "PRIMARY", kind
    spacing = _element(0x28, 0x30, "DS", f"{mpp / 1000}\\{mpp / 1000}")
    measures = _element(0x28, 0x9110, "SQ", _item(spacing))
    nested = _item(_element(0x8, 0x100, "SH", "a") + _element(0x40, 0xA043, "SQ", b"", True), True)
    data = [
        _element(0x8, 0x8, "CS", "\\".join((*types, "RESAMPLED" if resampled else "NONE"))),
        _element(0x8, 0x16, "UI", sop_class),
        _element(0x8, 0x18, "UI", f"{slide}.{number}"),
        _element(0x8, 0x1111, "SQ", nested, True),
        _element(0x20, 0xD, "UI", "1.2"),
        _element(0x20, 0xE, "UI", slide),
        _element(0x28, 0x2, "US", 3),
        _element(0x28, 0x4, "CS", "RGB"),
        _element(0x28, 0x6, "US", 0),
        _element(0x28, 0x8, "IS", str(len(frames))),
        _element(0x28, 0x10, "US", rows),
        _element(0x28, 0x11, "US", columns),
        _element(0x28, 0x100, "US", 8),
        _element(0x28, 0x101, "US", 8),
        _element(0x28, 0x102, "US", 7),
        _element(0x28, 0x103, "US", 0),
        _element(0x48, 0x6, "UL", width),
        _element(0x48, 0x7, "UL", height),
        *([_element(0x48, 0x303, "UL", changes["planes"])] if "planes" in changes else []),
        _element(0x5200, 0x9229, "SQ", _item(measures)),
        _element(0x7FE0, 0x10, "OB", b"".join(frames)),
    ]
    start = bytes(128) + b"DICM" + _element(0x2, 0x0, "UL", len(meta))
    path.write_bytes(start + meta + b"".join(data))
    return path


def dicom_slide(folder, image, suffix=".dcm", slide="1.2.3"):
    """Write a DICOM slide as a folder: two levels, the label and the overview.

    Their names are sorted otherwise than their sizes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    label = np.ascontiguousarray(image[:64, :96])
    dicom(folder / f"c_level{suffix}", image, slide=slide)
    dicom(folder / f"b_half{suffix}", image[::2, ::2], slide=slide, number=2, mpp=0.5)
    dicom(folder / f"a_label{suffix}", label, "LABEL", slide, number=3)
    dicom(folder / f"d_macro{suffix}", label, "OVERVIEW", slide, number=4)
    return folder


def _element(group, number, kind, value, open_end=False):
    """A DICOM element; `open_end` marks the end of a sequence instead of its length."""
    if isinstance(value, int):
        value = struct.pack("<H" if kind == "US" else "<I", value)
    elif isinstance(value, str):
        value = value.encode() + (b"" if len(value) % 2 == 0 else b"\0" if kind == "UI" else b" ")
    start = struct.pack("<HH2s", group, number, kind.encode())
    if kind not in ("OB", "SQ"):
        return start + struct.pack("<H", len(value)) + value
    if not open_end:
        return start + struct.pack("<HI", 0, len(value)) + value
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return start + struct.pack("<HI", 0, 0xFFFFFFFF) + value + end


def _item(content, open_end=False):
    if not open_end:
        return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content
    end = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    return struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + content + end


def replaced(slide):
    """The bytes of another slide of the same size; its header stays."""
    start, stop = len(slide) // 4, len(slide) * 3 // 5
    return slide[:start] + slide[start:stop][::-1] + slide[stop:]


def tissue(shape=(1300, 2300), seed=3):
    """Synthetic tissue on the left, crossing borders of tiles, and glass on the right and below.

    Returns
    -------
    image : ndarray of uint8, shape (H, W, 3)
    labels : ndarray of int32, shape (H, W)
    """
    image = np.full((*shape, 3), GLASS, np.uint8)
    labels = np.zeros(shape, np.int32)
    piece = tuple(min(length, limit) for length, limit in zip(shape, (1200, 1200), strict=True))
    image[: piece[0], : piece[1]], labels[: piece[0], : piece[1]] = synthetic.tissue(seed, piece)
    return image, labels


def painted(labels):
    """A picture whose red is 255 in nuclei and 60 in the tissue around them; glass is grey."""
    image = np.full((*labels.shape, 3), 120, np.uint8)
    rows, columns = (np.flatnonzero(labels.any(axis=axis)) for axis in (1, 0))
    here = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    image[here] = (60, 60, 120)
    image[labels > 0] = (255, 60, 120)
    return image
