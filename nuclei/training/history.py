"""Read and write the history of a training, one row per epoch."""

import csv
from pathlib import Path

from ..atomic import write_csv
from ..errors import InputError


def write_history(folder, history):
    """Write `history.csv`, one row per epoch.

    Parameters
    ----------
    folder : str or Path
    history : list of dict of str to float or int
        One row per epoch, all with the same keys.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    write_csv(Path(folder) / "history.csv", history)


def read_history(folder):
    """Read `history.csv`.

    Returns
    -------
    list of dict of str to float or int
        One row per epoch.

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    path = Path(folder) / "history.csv"
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, strict=True))
        return [{name: _number(text) for name, text in row.items()} for row in rows]
    except (OSError, ValueError, AttributeError, csv.Error):  # a row of another length
        raise InputError(f"{path} is missing or damaged: restore it or train again.") from None


def _number(text):
    return int(text) if text.isdecimal() else float(text)
