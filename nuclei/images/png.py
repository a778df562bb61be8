"""PNG files whose metadata is longer than Pillow allows."""

import io
import zlib
from pathlib import Path

from ..errors import InputError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_METADATA = (b"iCCP", b"tEXt", b"zTXt", b"iTXt")
_ORIENTED = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")
"""How texts begin that can say how viewers turn the image."""

LONGEST = 1 << 20
"""Bytes of a text with the orientation, once decompressed; those that Pillow allows."""


def is_plausible(data, longest):
    """Return whether the sizes that a PNG says can be true, for readers that trust them.

    Parameters
    ----------
    data : bytes
        The file.
    longest : int
        Pixels that a side of the image may have.

    Returns
    -------
    bool
        False if the parts are not as long as the file together, or the image is larger.
    """
    start, sides = len(_SIGNATURE), (data[16:20], data[20:24])
    while start < len(data):
        start += 12 + int.from_bytes(data[start : start + 4], "big")
    large = any(int.from_bytes(side, "big") > longest for side in sides)
    return data.startswith(_SIGNATURE) and start == len(data) and not large


def without_metadata(path):
    """Copy a PNG without its colour profile and texts, which are not even decompressed.

    Parameters
    ----------
    path : str, Path or binary file object

    Returns
    -------
    BytesIO or None
        The PNG. Texts that can say how viewers turn the image are still in it, and so is all that
        is damaged, so that its reader notices. None if the file is not a PNG.

    Raises
    ------
    InputError
        If a text that can say how viewers turn the image is longer than `LONGEST`.
    """
    if hasattr(path, "seek"):
        path.seek(0)
        data = path.read()
    else:
        data = Path(path).read_bytes()
    if not data.startswith(_SIGNATURE):
        return None
    copy, start, data = io.BytesIO(), len(_SIGNATURE), memoryview(data)
    copy.write(_SIGNATURE)
    while start < len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        kind, content = bytes(data[start + 4 : start + 8]), data[start + 8 : end - 4]
        whole = zlib.crc32(data[start + 4 : end - 4]).to_bytes(4, "big") == data[end - 4 : end]
        oriented = bytes(content[:22]).startswith(_ORIENTED)
        if oriented and _is_long(kind, content):
            raise InputError(
                f"{path} has a description of more than 1 MB: save it anew without metadata."
            )
        if kind not in _METADATA or oriented or not whole:
            copy.write(data[start:end])
        start = end
    copy.seek(0)
    return copy


def _is_long(kind, content):
    """Whether a text is too long, decompressing no more of it than is allowed."""
    content = bytes(content)
    start = content.index(b"\0") + 2  # after the keyword and the method
    if kind == b"iTXt" and content[start - 1] == 1:  # after the language and the keyword in it
        start = content.index(b"\0", content.index(b"\0", start + 1) + 1) + 1
    elif kind != b"zTXt":
        return len(content) > LONGEST
    try:
        stream = zlib.decompressobj()
        stream.decompress(content[start:], LONGEST)
    except zlib.error:
        return False
    return bool(stream.unconsumed_tail)
