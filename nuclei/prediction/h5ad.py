"""A table of nuclei as an AnnData file, for squidpy, scanpy and the other tools of scverse."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..atomic import atomic_write
from ..errors import InputError
from ..modelfiles import members

PLACE = ("label", "x_um", "y_um")
"""Columns that are no measures: the name of a nucleus and its position."""

SETTINGS = "threshold", "min_score", "augment", "measures"
"""Settings that a file tells, besides the names of the image and of the model."""


def check_installed():
    """Raise an InputError unless the optional package anndata is there."""
    if find_spec("anndata") is None:
        raise InputError("--anndata needs a package that is not installed: pip install anndata.")


def summary(image, chosen):
    """What a file tells of how its nuclei were found: no paths, because files are shared.

    Parameters
    ----------
    image : str or Path
        The image or slide.
    chosen : dict
        `model`, as for `modelfiles.members`, the `SETTINGS`, and others that are left out.

    Returns
    -------
    dict
        The `settings` of `write`.
    """
    models = [Path(member).absolute().name for member in members(chosen["model"])]
    names = {"image": Path(image).name, "model": "+".join(models)}
    return names | {name: chosen[name] for name in SETTINGS}


def write(path, columns, settings):
    """Write nuclei as an AnnData file, completely or not at all.

    `X` holds the measures, float32, with their names in `var`. The names in `obs` are the labels of
    the nuclei. `obsm["spatial"]` holds the centres, x and y, in micrometres from the top left
    corner. `uns["nuclei"]` holds the settings.

    Parameters
    ----------
    path : Path
        Ends with `.h5ad`.
    columns : dict of str to array_like, shape (N,)
        As in `measures.COLUMNS`; None or NaN where there is no value.
    settings : dict
        How the nuclei were found, as from `summary`. What is None is left out.

    Raises
    ------
    InputError
        If anndata is not installed.
    """
    check_installed()
    # Only here: the package is optional, and its import takes seconds.
    from anndata import AnnData

    names = [name for name in columns if name not in PLACE]
    count = len(columns["label"])
    values = np.array([columns[name] for name in names], np.float32).reshape(len(names), count)
    table = AnnData(values.T)
    table.obs_names = [str(label) for label in np.asarray(columns["label"], int)]
    table.var_names = names
    table.obsm["spatial"] = np.array([columns["x_um"], columns["y_um"]], float).T
    known = {name: value for name, value in settings.items() if value is not None}
    table.uns["nuclei"] = {**known, "unit_of_spatial": "um"}
    with atomic_write(path) as temporary:
        table.write_h5ad(temporary, compression="gzip")
