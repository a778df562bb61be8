"""Files that hold an OpenVINO model: a zip archive of its structure, its weights and facts.

The facts say which weights the model was made from, so that it is not used with others.
"""

import json
import lzma
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ...atomic import atomic_write
from ...errors import InputError
from ...modelfiles.safe import check

STRUCTURE, WEIGHTS, FACTS = "model.xml", "model.bin", "engine.json"
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of all members of an archive, so that equal models make equal files."""

LARGEST = {STRUCTURE: 2**24, WEIGHTS: 2**29, FACTS: 2**20}
"""Bytes of a member once unpacked: a small archive of a stranger may grow to fill the memory. Those
of the largest model here have 2**20, 2**27 and 2**10."""

DAMAGE = (
    *(zipfile.BadZipFile, zipfile.zlib.error, lzma.LZMAError, EOFError),
    *(KeyError, ValueError, TypeError, RuntimeError),  # RuntimeError: a password; nested too deeply
)


@dataclass(frozen=True)
class EngineContent:
    """An OpenVINO model.

    Attributes
    ----------
    structure, weights : bytes
        The `.xml` and `.bin` of OpenVINO.
    facts : dict
        JSON-serialisable: `fingerprint` of the model that it was made from, see
        `modelfiles.fingerprint`; `network`, such as "unet"; the version of `openvino`; more for
        int8, see `tools/quantize.py`.
    path : Path or None
        The file that it was read from.
    """

    structure: bytes
    weights: bytes
    facts: dict
    path: Path | None = None


def write(path, content):
    """Write an OpenVINO model, completely or not at all.

    Parameters
    ----------
    path : Path
    content : EngineContent

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    members = {
        STRUCTURE: content.structure,
        WEIGHTS: content.weights,
        FACTS: json.dumps(content.facts, indent=1).encode() + b"\n",
    }
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, data in members.items():
            member = zipfile.ZipInfo(name, EPOCH)
            archive.writestr(member, data, zipfile.ZIP_DEFLATED)


def read(path):
    """Read an OpenVINO model.

    Parameters
    ----------
    path : Path

    Returns
    -------
    EngineContent

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InputError
        If it is damaged or cannot be read.
    """
    try:
        check(path, sum(LARGEST.values()))
        with zipfile.ZipFile(path) as archive:
            structure, weights, facts = (_member(archive, name) for name in LARGEST)
        facts = json.loads(facts)
        if not {"fingerprint", "network", "openvino"} <= set(facts):
            raise ValueError
        return EngineContent(structure, weights, facts, path)
    except FileNotFoundError:
        raise
    except DAMAGE:
        raise InputError(f"{path} is damaged: restore the file or run `make quantize`.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the file.") from None


def _member(archive, name):
    """Read a member, without unpacking more of it than it says that it has."""
    member = archive.getinfo(name)
    if member.file_size > LARGEST[name]:
        raise ValueError
    with archive.open(member) as file:
        return file.read(member.file_size)


def cached_file(fingerprint):
    """The file of the user's cache for the float32 form of the model with a fingerprint."""
    folder = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(folder) / "nuclei" / f"{fingerprint[:32]}.openvino.zip"
