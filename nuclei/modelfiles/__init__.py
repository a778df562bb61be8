"""Find the files of a trained model in its folder `models/<name>/`, without importing Keras."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from .. import ROOT
from ..atomic import expand
from ..errors import InputError
from .safe import check, inside, read_json

MODELS = ROOT / "models"


def names(root=MODELS):
    """List the models in a folder: its subfolders with a `config.json`.

    Parameters
    ----------
    root : Path

    Returns
    -------
    list of str
        Sorted.
    """
    return sorted(path.parent.name for path in root.glob("*/config.json"))


def find(name):
    """Find the folder of a model.

    Parameters
    ----------
    name : str or Path
        A folder of `models/`, e.g. "unet", or the path of such a folder elsewhere, see
        `atomic.expand`.

    Returns
    -------
    Path
        An absolute path, whose last part is the name of the model, also for ".".

    Raises
    ------
    InputError
        If there is no such folder, or it cannot be read.
    """
    # No name, as after the "+" of "unet+", would be that of the folder in which the command runs.
    for folder in (MODELS / name, expand(name)) if name else ():
        try:
            if (folder / "config.json").is_file():
                return Path(os.path.abspath(folder))
        except PermissionError:
            raise InputError(f"{folder} cannot be read: change its permissions.") from None
        except OSError:  # a name that is too long
            continue
    known = ", ".join(names(MODELS)) or "(none here)"
    raise InputError(f"There is no model {name or 'without a name'}: choose one of {known}.")


def members(name):
    """Split a name into those of the models that predict together.

    Parameters
    ----------
    name : str or Path
        As for `find`; or several names, joined by "+".

    Returns
    -------
    list of str or Path
        The name alone if it is that of a model, or nothing in it is: a path may have a "+", too.
    """
    parts = [] if _is_found(name) else str(name).split("+")
    for cut in range(1, len(parts)):
        sides = "+".join(parts[:cut]), "+".join(parts[cut:])
        if any(map(_is_found, sides)):
            return [member for side in sides for member in members(side)]
    return [name]


def _is_found(name):
    with suppress(InputError):
        return bool(find(name))
    return False


def identity(name):
    """Return one name of a model, by whichever name or path it is given.

    Parameters
    ----------
    name : str or Path
        As for `members`.

    Returns
    -------
    str
        The name of a model in `models/`, as "unet" for "models/unet"; else the path of its folder,
        absolute and without links. `load` takes both. Those of several are joined by "+", sorted,
        because the order does not matter for a mean.

    Raises
    ------
    InputError
        As in `find`.
    """
    folders = [find(member).resolve() for member in members(name)]
    shipped = MODELS.resolve()
    return "+".join(sorted(one.name if one.parent == shipped else str(one) for one in folders))


def weights_file(folder):
    """The file with the weights; that of a folder that was renamed is the only one in it."""
    named, others = _files(folder, ".weights.h5")
    if named in others or not others:
        return named
    if len(others) > 1:
        raise InputError(
            f"{folder} has the weights {' and '.join(path.name for path in others)}: keep those "
            f"that belong to its config.json, as {named.name}."
        )
    return others[0]


def int8_file(folder):
    """The file with the int8 form of a model, named after the folder or the only one in it."""
    named, others = _files(folder, ".int8.zip")
    return others[0] if named not in others and len(others) == 1 else named


def _files(folder, suffix):
    """The file with a suffix that is named after its folder, and all with this suffix."""
    found = sorted(path for path in folder.glob(f"*{suffix}") if not path.name.startswith("."))
    return inside(folder / f"{folder.name}{suffix}"), [*map(inside, found)]


def fingerprint(folder):
    """Hash what a model's predictions depend on: its weights and its configuration.

    Parameters
    ----------
    folder : Path
        As from `find`.

    Returns
    -------
    str
        64 hexadecimal digits. Equal weights in another `.h5` file have another hash.

    Raises
    ------
    InputError
        If a file cannot be read, or it is not clear which weights belong to the model.
    """
    digest = hashlib.sha256()
    path = folder / "config.json"
    try:
        digest.update(_canonical(path))
        path = weights_file(folder)
        with suppress(FileNotFoundError):  # `modelzoo.load` says that
            check(path)
            with open(path, "rb") as file:
                while part := file.read(2**20):
                    digest.update(part)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the file.") from None
    return digest.hexdigest()


def _canonical(path):
    """The content of a JSON file, however it is spaced and ordered."""
    try:
        return json.dumps(read_json(path), sort_keys=True).encode()
    except InputError:
        raise
    except (ValueError, RecursionError):  # `modelzoo.read_config` says what is wrong with it
        return b""


def read_metrics(folder):
    """Read `metrics.json`, the record of training and evaluation; an InputError if that fails."""
    path = expand(folder) / "metrics.json"
    try:
        return read_json(path)
    except (OSError, ValueError):
        raise InputError(f"{path} is missing or damaged: restore it or train again.") from None
