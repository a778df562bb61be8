"""The files that hold the separate nuclei of an image."""

import tifffile

from ..atomic import atomic_write
from . import h5ad, measures, outlines


def write(stem, labels, image, choice="basic", settings=None):
    """Write the labels, outlines and measures of the nuclei of an image.

    Parameters
    ----------
    stem : str
        Path without an ending: `_labels.tif`, `.geojson`, `.csv` and `.h5ad` are added.
    labels, image, choice
        As for `measures.measure`.
    settings : dict, optional
        If given, an AnnData file is written too, see `h5ad.write`.
    """
    rows = measures.measure(labels, image, choice=choice)
    kind = "uint16" if labels.max() < 2**16 else "uint32"
    with atomic_write(f"{stem}_labels.tif") as temporary:
        tifffile.imwrite(temporary, labels.astype(kind), compression="zlib")
    with atomic_write(f"{stem}.geojson") as temporary:
        temporary.write_text(outlines.geojson(labels, rows), encoding="utf-8")
    with atomic_write(f"{stem}.csv") as temporary:
        measures.write_table(temporary, rows, choice)
    if settings is not None:
        names = measures.COLUMNS[choice]
        columns = {name: [row[name] for row in rows] for name in names}
        h5ad.write(f"{stem}.h5ad", columns, {**settings, "mpp": measures.MPP})
