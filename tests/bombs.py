"""Small files that would take gigabytes, and what reading them took: `test_bombs` runs this."""

import io
import json
import struct
import sys
import time
import warnings
import zlib
from pathlib import Path

import h5py
import numpy as np
import tifffile
from PIL import Image

from nuclei.data import annotations, monuseg_files
from nuclei.errors import InputError
from nuclei.images import read_mask, read_mpp, read_rgb
from nuclei.modelfiles import hdf5
from nuclei.prediction.engines import files
from nuclei.slides.readers import is_slide
from nuclei.slides.slide import Slide

NAME = "TCGA-18-5592-01Z-00-DX1"


def zeros(count, begin=b""):
    """Many zeros in the form of zlib, of which `count` blocks of 16 MB are written as one."""
    packer = zlib.compressobj()
    head = packer.compress(begin) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + count * block + packer.flush()


def chunk(kind, data):
    """A part of a PNG."""
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def png(width, height, data, *more, kind=2):
    """A PNG with 8 bits; `kind` 0 is grey, 2 RGB."""
    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", head), *more, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def jpeg(width, height, **options):
    """A JPEG that says it is larger than it is."""
    data = io.BytesIO()
    Image.new("RGB", (64, 64), "pink").save(data, "JPEG", **options)
    data = bytearray(data.getvalue())
    place = next(data.index(mark) for mark in (b"\xff\xc0", b"\xff\xc2") if mark in data)
    data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def tiff(path, width, height, tile=None, compression=1, data=b"", **tags):
    """A TIFF of one tile or strip, with any content."""
    numbers = {256: width, 257: height, 259: compression, 262: 2, 277: 3, 273: 1000, 278: height}
    numbers[279] = len(data)
    if tile:
        numbers |= {322: tile, 323: tile, 324: 1000, 325: len(data)}
        for tag in (273, 278, 279):
            del numbers[tag]
    numbers |= {int(tag.removeprefix("tag")): value for tag, value in tags.items()}
    entries = [(tag, 4, 1, value) for tag, value in sorted([*numbers.items(), (258, 8)])]
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *e) for e in entries)
    path.write_bytes((b"II*\0" + struct.pack("<I", 8) + body).ljust(1000, b"\0") + data)


def zip_file(path, name, data, size):
    """A zip archive of one member that says it has `size` bytes."""
    raw, name = data[2:-4], name.encode()  # without the frame of zlib
    sizes = struct.pack("<III", 0, len(raw), size)
    common = struct.pack("<HHHHH", 20, 0, 8, 0, 33) + sizes + struct.pack("<HH", len(name), 0)
    local = b"PK\3\4" + common + name + raw
    entry = b"PK\1\2" + struct.pack("<H", 20) + common + bytes(14) + name
    end = struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entry), len(local), 0)
    path.write_bytes(local + entry + b"PK\5\6" + end)


LAUGHS = "".join(f'<!ENTITY e{i + 1} "{10 * f"&e{i};"}">' for i in range(12))
LAUGHS = f'<!DOCTYPE a [<!ENTITY e0 "ha">{LAUGHS}]><Annotations>&e12;</Annotations>'


def cases(folder):
    """Write the files; yield a name and the function that reads each."""

    def written(name, data):
        (folder / name).write_bytes(data)
        return folder / name

    short, much = zlib.compress(bytes(9000)), zeros(128)  # 2 GB
    path = written("size.png", png(60_000, 60_000, short))
    yield "PNG of 60,000 x 60,000", lambda path=path: read_rgb(path)
    path = written("all.png", png(12_000, 12_000, zeros(26)))
    yield "PNG of 12,000 x 12,000 in one colour", lambda path=path: read_rgb(path)
    yield (
        "PNG of 12,000 x 12,000 in one colour, as a slide",
        lambda path=path: Slide(path, 0.25).read(0, 0, 1152, 1152),
    )
    path = written("mask.png", png(11_000, 11_000, zeros(8), kind=0))
    yield "PNG of 11,000 x 11,000 as a mask", lambda path=path: read_mask(path)
    path = written("more.png", png(64, 64, much))
    yield "PNG with 2 GB behind its pixels", lambda path=path: read_rgb(path)
    path = written("text.png", png(64, 64, short, chunk(b"zTXt", b"a\0\0" + much)))
    yield "PNG with 2 GB of text", lambda path=path: read_rgb(path)
    path = written("icc.png", png(64, 64, short, chunk(b"iCCP", b"a\0\0" + much)))
    yield "PNG with 2 GB of colour profile", lambda path=path: read_mpp(path)
    path = written("size.jpg", jpeg(65_500, 65_500))
    yield "JPEG of 65,500 x 65,500", lambda path=path: read_rgb(path)
    path = written("cut.jpg", jpeg(11_000, 11_000))
    yield "JPEG of 11,000 x 11,000 of 64 x 64 pixels", lambda path=path: read_rgb(path)
    path = written("several.jpg", jpeg(13_000, 13_000, progressive=True))
    assert is_slide(path)
    yield "progressive JPEG of 13,000 x 13,000", lambda path=path: Slide(path, 0.25)
    tiff(path := folder / "strip.tif", 1_000_000, 1_000_000)
    yield "TIFF of a million pixels a side", lambda path=path: read_rgb(path)
    yield "TIFF of a million pixels a side, as a slide", lambda path=path: Slide(path, 0.25)
    tiff(path := folder / "tile.tif", 512, 512, tile=512, compression=8, data=much)
    yield "TIFF with a tile of 2 GB", lambda path=path: read_rgb(path)
    tiff(path := folder / "slide.tif", 9000, 9000, tile=9008, compression=8, data=much)
    yield "TIFF with one tile of 9008 pixels", lambda path=path: Slide(path, 0.25)
    tiff(path := folder / "jpeg.tif", 512, 512, tile=512, compression=7, data=jpeg(65500, 65500))
    yield "TIFF with a tile of 65,500 pixels", lambda path=path: Slide(path, 0.25).read(0, 0, 9, 9)
    path = folder / "laughs.ome.tif"
    tifffile.imwrite(path, np.zeros((8, 8, 3), np.uint8), description=f"<OME>{LAUGHS}</OME>")
    yield "TIFF with XML that declares entities", lambda path=path: read_mpp(path)
    path = written("laughs.xml", LAUGHS.encode())
    yield "XML that declares entities", lambda path=path: annotations.read(path, (9, 9))
    zip_file(path := folder / "honest.zip", f"{NAME}.xml", much, 2**31)
    member = path / f"{NAME}.xml"
    yield "zip of 2 GB", lambda member=member: monuseg_files.contents(member)
    zip_file(path := folder / "liar.zip", f"{NAME}.xml", much, 1000)
    member = path / f"{NAME}.xml"
    yield "zip of 2 GB that says 1000", lambda member=member: monuseg_files.contents(member)
    zip_file(path := folder / "out.geojson", "a.json", much, 2**31)
    yield "zipped GeoJSON of 2 GB", lambda path=path: annotations.read(path, (9, 9))
    path = written("lists.geojson", b"[" + 30_000_000 * b"[]," + b"[]]")
    yield "GeoJSON of 30 million lists", lambda path=path: annotations.read(path, (9, 9))
    zip_file(path := folder / "a.int8.zip", files.STRUCTURE, much, 2**31)
    yield "engine file of 2 GB", lambda path=path: files.read(path)
    path = folder / "a.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("w", (2**40,), "f4", chunks=(2**20,), compression="gzip")
    file = io.BytesIO(path.read_bytes())
    yield "HDF5 of 4 TB", lambda file=file, path=path: hdf5.check(file, path, 10**8)


def memory(name):
    """A line of what Linux says of the memory of this process, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name))) / 1000


def main():
    """Read all files; print a JSON list of what, sentence, MB and processor seconds."""
    warnings.simplefilter("ignore")
    found = []
    for what, read in cases(Path(sys.argv[1])):
        Path("/proc/self/clear_refs").write_text("5")  # the highest value is the current one again
        before, started, said = memory("VmRSS"), time.process_time(), ""
        try:
            read()
        except InputError as error:
            said = str(error)
        spent = time.process_time() - started
        found.append((what, said, round(memory("VmHWM") - before), round(spent, 1)))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
