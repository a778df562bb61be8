"""The nuclei of a finished slide as an AnnData file."""

import json
from pathlib import Path

import pyarrow.parquet as pq

from ..prediction import h5ad


def write(stem):
    """Write `<stem>.h5ad` from the GeoParquet and the report of a slide.

    See `prediction.h5ad.write`.

    Parameters
    ----------
    stem : str
        Results of `predict` without their endings.
    """
    with open(f"{stem}.parquet", "rb") as file:
        table = pq.read_table(file)
    columns = {name: table[name].to_numpy() for name in table.column_names if name != "geometry"}
    settings = json.loads(Path(f"{stem}.json").read_text(encoding="utf-8"))["settings"]
    h5ad.write(f"{stem}.h5ad", columns, h5ad.summary(settings["slide"], settings))
