"""Write the nuclei of an image to files."""

import numpy as np
import tifffile

from ..atomic import atomic_write, expand
from ..images import write_png
from . import h5ad, measures, outlines


def write(
    found,
    out,
    stem,
    *,
    probability=False,
    overlay=False,
    instances=False,
    choice="basic",
    settings=None,
):
    """Write the nuclei of an image, each file completely or not at all.

    Parameters
    ----------
    found : image.Prediction
    out : str or Path
        Folder of the results, see `atomic.expand`.
    stem : str
        How the names of the files begin.
    probability : bool
        Also write `<stem>_probability.tif`.
    overlay : bool
        Also write `<stem>_overlay.png`, with single nuclei if they are asked for.
    instances : bool
        Also write `<stem>_labels.tif`, `<stem>.geojson` and `<stem>.csv`.
    choice : {"basic", "all"}
        Which measures of each nucleus.
    settings : dict, optional
        If given, `<stem>.h5ad` is written too, see `h5ad.write`; it needs `instances`.

    Raises
    ------
    InputError
        If a file cannot be written.
    """
    stem = expand(out) / stem
    if probability:
        with atomic_write(f"{stem}_probability.tif") as temporary:
            tifffile.imwrite(temporary, found.probability, compression="zlib")
    if instances:
        _write_nuclei(found, stem, choice, settings)
    if overlay:
        from .overlay import outline  # not at the top: it loads scikit-image

        nuclei = found.labels if instances else found.mask
        write_png(f"{stem}_overlay.png", outline(found.image, nuclei))
    # The mask is written last: if it exists, the other files of the image do too.
    write_png(f"{stem}_mask.png", found.mask.astype(np.uint8) * 255)


def _write_nuclei(found, stem, choice, settings):
    """Write the labels, outlines and measures."""
    rows = measures.measure(found.labels, found.image, found.mpp, choice, found.scores)
    kind = "uint16" if found.labels.max() < 2**16 else "uint32"
    with atomic_write(f"{stem}_labels.tif") as temporary:
        tifffile.imwrite(temporary, found.labels.astype(kind), compression="zlib")
    with atomic_write(f"{stem}.geojson") as temporary:
        temporary.write_text(outlines.geojson(found.labels, rows), encoding="utf-8")
    with atomic_write(f"{stem}.csv") as temporary:
        measures.write_table(temporary, rows, choice)
    if settings is not None:
        columns = {name: [row[name] for row in rows] for name in measures.COLUMNS[choice]}
        h5ad.write(f"{stem}.h5ad", columns, {**settings, "mpp": found.mpp})
