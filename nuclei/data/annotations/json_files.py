"""Parse the JSON of annotation programs, compressed or not, within limits."""

import gzip
import io
import json
import zipfile
import zlib
from pathlib import Path

from ...errors import InputError, reason

GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
"""How compressed files begin; QuPath writes both."""

MOST = 2**28
"""Bytes that a compressed file may unpack to."""

PARSED = 700_000_000
"""Bytes that parsed JSON may take: 64 for each list or object and 32 for each number in them. These
are five million points of outlines, or an image with hundreds of thousands of nuclei."""


def parse(path):
    """Parse a JSON file, or all those in a zip file.

    Parameters
    ----------
    path : str, Path or binary file object
        As it is, or compressed as gzip or zip.

    Returns
    -------
    list
        The content of each file.

    Raises
    ------
    InputError
        If the file is missing or damaged, has no JSON in a zip file, or its content is too large to
        be parsed.
    ValueError, RecursionError
        If it is no JSON; the caller says what it should have been.
    """
    try:
        data = path.read() if hasattr(path, "read") else Path(path).read_bytes()
        contents = [_loads(text) for text in _unpacked(data)]
    except RecursionError:  # also a RuntimeError
        raise
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: check the path.") from None
    except PermissionError:
        raise InputError(f"{path} cannot be read: change its permissions.") from None
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise InputError(f"{path} cannot be read ({reason(error)}): get a fresh copy.") from None
    if not contents:
        raise InputError(f"{path} is a zip file without GeoJSON: export it from QuPath again.")
    return contents


def _loads(text):
    """Parse JSON, unless it would take the memory that `PARSED` says."""
    lists, entries = text.count(b"[") + text.count(b"{"), text.count(b",")
    if 64 * lists + 32 * entries > PARSED:
        raise OSError(f"it has {entries:,} numbers, far more than the outlines of an image")
    return json.loads(text)  # in UTF-8, UTF-16 or UTF-32


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
