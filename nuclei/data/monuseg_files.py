"""Find the files of MoNuSeg by name, in any of its layouts, unpacked or in zip archives."""

import re
import zipfile
from pathlib import Path

from ..errors import InputError, reason
from ..images import walk
from ..memory import NamedBytes

_STEM = re.compile(r"(TCGA-\w{2}-\w{4}-\w{3}-\w{2}-\w{3})(|_bin_mask|_labels)")
_KINDS = {
    ("", ".tif"): ("image", 1),
    ("", ".tiff"): ("image", 1),
    ("", ".png"): ("image", 2),
    ("", ".jpg"): ("image", 3),
    ("", ".jpeg"): ("image", 3),
    ("_bin_mask", ".png"): ("mask", 1),
    ("_bin_mask", ".tif"): ("mask", 2),
    ("_bin_mask", ".tiff"): ("mask", 2),
    ("_bin_mask", ".jpg"): ("mask", 3),
    ("_bin_mask", ".jpeg"): ("mask", 3),
    ("_labels", ".png"): ("labels", 1),
    ("_labels", ".tif"): ("labels", 2),
    ("_labels", ".tiff"): ("labels", 2),
    ("", ".xml"): ("annotation", 1),
}
"""The kind of a file by the end of its name and its suffix, and which suffix is preferred: 1."""

LARGEST = 100_000_000
"""Bytes of a file in an archive, once decompressed; an image of MoNuSeg has 3 million."""


def index(source):
    """List the files of MoNuSeg in a folder or a zip archive.

    Files are recognised by name, so all of these layouts are read:

    - the folders `Training` and `Test` with `TissueImages/*.tif`, `GroundTruth/*_bin_mask.png`,
      `Labels/*_labels.png` and `Annotations/*.xml`
    - the unpacked archives of the challenge (`MoNuSeg 2018 Training Data`, `MoNuSegTestData`)
    - either archive itself, or a folder with one or both of them

    Images are also read as PNG or JPEG, masks as TIFF or JPEG, labels as TIFF, and suffixes may be
    in capitals. If a file is there in several formats, the format of MoNuSeg takes precedence, and
    PNG over JPEG. An unpacked file takes precedence over its copy in an archive.

    Parameters
    ----------
    source : str or Path
        A folder or an archive.

    Returns
    -------
    dict of (str, str) to Path
        Each key is a kind ("image", "mask", "labels" or "annotation") and a TCGA name. The path of
        a file in an archive starts with that of the archive, as in
        `.../MoNuSegTestData.zip/MoNuSegTestData/<name>.tif`: open it with `contents`.

    Raises
    ------
    InputError
        If the source does not exist, an archive is not a complete zip file, or a file occurs twice.
    """
    source = Path(source)
    if not source.exists():
        raise InputError(
            f"{source} does not exist: check the path or run `python -m nuclei download`."
        )
    inside = (Path(place, name) for place, _, names in walk(source) for name in names)
    files = [source] if source.is_file() else sorted(inside)
    archives = [path for path in files if path.suffix.lower() == ".zip" or path == source]
    members = [path for archive in archives if archive.is_file() for path in _members(archive)]
    return _by_name(members) | _by_name(files)


def contents(path):
    """Open a file from `index`.

    Parameters
    ----------
    path : Path
        A file, or a file inside an archive.

    Returns
    -------
    Path or NamedBytes
        The path itself, or for a file in an archive its bytes, whose `str()` is the path.

    Raises
    ------
    InputError
        If the file is damaged in its archive.
    """
    archive = next((folder for folder in path.parents if folder.is_file()), None)
    if archive is None:
        return path
    try:
        with zipfile.ZipFile(archive) as opened:
            member = opened.getinfo(path.relative_to(archive).as_posix())
            if member.file_size > LARGEST:
                raise ValueError(f"it says that it has {member.file_size:,} bytes")
            with opened.open(member) as file:  # read() alone may unpack more than is said
                return NamedBytes(path, file.read(member.file_size))
    except Exception as error:  # each compression raises other kinds
        raise InputError(
            f"{path} is damaged in its archive ({reason(error)}): fetch it again."
        ) from None


def _members(archive):
    try:
        with zipfile.ZipFile(archive) as opened:
            return [archive / name for name in opened.namelist()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise InputError(
            f"{archive} is not a complete zip archive: download it again, or use a folder."
        ) from None


def _by_name(paths):
    candidates = []
    for path in paths:
        stem = _STEM.fullmatch(path.stem)
        if stem and (found_as := _KINDS.get((stem[2], path.suffix.lower()))):
            kind, rank = found_as
            candidates.append((rank, (kind, stem[1]), path))
    found, ranks = {}, {}
    for rank, key, path in sorted(candidates, key=lambda candidate: candidate[0]):
        if ranks.setdefault(key, rank) < rank:
            continue
        if key in found:
            if path.exists() and path.samefile(found[key]):
                continue  # a link to it
            raise InputError(
                f"{path} and {found[key]} are the same file of MoNuSeg: keep only one."
            )
        found[key] = path
    return found
