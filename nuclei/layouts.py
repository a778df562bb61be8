"""The files of MoNuSeg by name, in whichever of its layouts, unpacked or still zipped."""

import io
import re
import zipfile
import zlib
from pathlib import Path

from .files import InputError

_TCGA_NAME = re.compile(r"TCGA-\w{2}-\w{4}-\w{3}-\w{2}-\w{3}")
_KINDS = {
    "_bin_mask.png": "mask",
    "_labels.png": "labels",
    ".xml": "annotation",
    ".tif": "image",
    ".tiff": "image",
}


def index(source):
    """List the files of MoNuSeg in a folder or a zip, whichever way it was unpacked.

    Files are known by their names, so all of these are read: the folders `Training` and `Test` with
    `TissueImages/*.tif`, `GroundTruth/*_bin_mask.png`, `Labels/*_labels.png`, `Annotations/*.xml`;
    the archives of the challenge unpacked (`MoNuSeg 2018 Training Data`, `MoNuSegTestData`); either
    archive itself, or a folder that holds them. A file beside an archive is preferred to its copy
    inside.

    Parameters
    ----------
    source : str or Path

    Returns
    -------
    dict of (str, str) to Path
        Keys are a kind ("image", "mask", "labels" or "annotation") and a TCGA name. The path of a
        file in an archive goes on inside it, `.../MoNuSegTestData.zip/MoNuSegTestData/<name>.tif`:
        open it with `contents`.

    Raises
    ------
    InputError
        If the source is missing or no archive, or holds a file twice.
    """
    source = Path(source)
    if not source.exists():
        raise InputError(
            f"{source} does not exist: check the path or run `python -m nuclei download`."
        )
    files = [source] if source.is_file() else sorted(source.rglob("*"))
    archives = [path for path in files if path.suffix == ".zip" or path == source]
    members = [path for archive in archives if archive.is_file() for path in _members(archive)]
    return _by_name(members) | _by_name(files)


def contents(path):
    """Open what `index` lists.

    Parameters
    ----------
    path : Path
        A file, or a file inside an archive.

    Returns
    -------
    Path or binary file object
        The path itself, or the bytes out of the archive, which print as their path.

    Raises
    ------
    InputError
        If the archive is damaged there.
    """
    archive = next((folder for folder in path.parents if folder.is_file()), None)
    if archive is None:
        return path
    try:
        with zipfile.ZipFile(archive) as opened:
            return _Member(path, opened.read(path.relative_to(archive).as_posix()))
    except (zipfile.BadZipFile, zlib.error, OSError, LookupError, RuntimeError, EOFError) as error:
        raise InputError(f"{path} is damaged in its archive ({error}): fetch it again.") from None


class _Member(io.BytesIO):
    """A file out of an archive that names itself in error messages."""

    def __init__(self, path, data):
        super().__init__(data)
        self.path = path

    def __str__(self):
        return str(self.path)


def _members(archive):
    try:
        with zipfile.ZipFile(archive) as opened:
            return [archive / name for name in opened.namelist()]
    except (zipfile.BadZipFile, OSError):
        raise InputError(
            f"{archive} is not a complete zip archive: name a folder, or download it again."
        ) from None


def _by_name(paths):
    found = {}
    for path in paths:
        for ending, kind in _KINDS.items():
            name = path.name.removesuffix(ending)
            if name == path.name or not _TCGA_NAME.fullmatch(name):
                continue
            if other := found.get((kind, name)):
                raise InputError(f"{path} and {other} are the same file of MoNuSeg: keep only one.")
            found[kind, name] = path
    return found
