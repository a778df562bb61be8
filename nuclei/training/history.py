"""Read and write the history of a training, one row per epoch."""

import csv
from pathlib import Path

from ..atomic import atomic_write


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
    with atomic_write(Path(folder) / "history.csv") as path, open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=history[0])
        writer.writeheader()
        writer.writerows(history)


def read_history(folder):
    """Read `history.csv`.

    Returns
    -------
    list of dict of str to float or int
        One row per epoch.
    """
    with open(Path(folder) / "history.csv", newline="") as file:
        return [
            {name: int(x) if x.isdigit() else float(x) for name, x in row.items()}
            for row in csv.DictReader(file)
        ]
