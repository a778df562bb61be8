"""The nuclei of a whole slide as GeoJSON and GeoParquet, written block by block."""

import json
import struct
from contextlib import contextmanager

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from . import blocks, shapes

MEASURES = shapes.COLUMNS[1:]

ROW_GROUP = 20_000
"""Nuclei that are compressed together in GeoParquet; those of one block would be too few."""


@contextmanager
def writer(job, geojson, parquet):
    """Begin two files of the nuclei of a slide, and end them.

    Parameters
    ----------
    job : blocks.Job
    geojson : Path
        Gets a FeatureCollection as from `shapes.geojson`, in pixels of the slide's finest level,
        as QuPath counts.
    parquet : Path
        Gets GeoParquet 1.1: one row a nucleus, its outline in the same pixels as WKB.

    Yields
    ------
    callable
        Writes the nuclei of a block, given by row and column, of which the second argument is an
        ndarray of uint32: the number of each on the slide, 0 where it is dropped.
    """
    columns = [("label", pa.uint32()), *((name, pa.float64()) for name in MEASURES)]
    # Pixels are in no coordinate system of the Earth, which crs null says.
    geometry = {"encoding": "WKB", "geometry_types": ["Polygon"], "crs": None}
    described = {"version": "1.1.0", "primary_column": "geometry"}
    described["columns"] = {"geometry": geometry}
    schema = pa.schema([*columns, ("geometry", pa.binary())], {"geo": json.dumps(described)})
    separator, pending = b"\n", []

    def write(block, numbers):
        nonlocal separator
        rows, rings = _nuclei(job, block, numbers)
        if not rows:
            return
        text.write(separator + b",\n".join(map(orjson.dumps, map(shapes.feature, rings, rows))))
        separator = b",\n"
        content = {name: [row[name] for row in rows] for name in shapes.COLUMNS}
        content["geometry"] = [_well_known_binary(ring) for ring in rings]
        pending.append(pa.table(content, schema))
        if sum(map(len, pending)) > ROW_GROUP:
            flush()

    def flush():
        if pending:
            table.write_table(pa.concat_tables(pending).combine_chunks())
            pending.clear()

    with (
        open(geojson, "wb") as text,
        pq.ParquetWriter(parquet, schema, compression="zstd") as table,
    ):
        text.write(b'{"type": "FeatureCollection", "features": [')
        yield write
        flush()
        text.write(b"\n]}\n")


def _nuclei(job, block, numbers):
    """The rows and outlines of the nuclei of a block that stay."""
    rows, rings, points = blocks.load(job, block, "rows", "rings", "points")
    rings = np.split(np.round(rings * job.source.scale, 2), np.cumsum(points)[:-1])
    found = zip(numbers[1:].tolist(), rows.tolist(), rings, strict=False)
    kept = [(number, row, ring) for number, row, ring in found if number]
    rows = [dict(zip(shapes.COLUMNS, (number, *row), strict=True)) for number, row, _ in kept]
    return rows, [ring for *_, ring in kept]


def _well_known_binary(ring):
    """A polygon with one ring: byte order, type 3, one ring, its number of points, the points."""
    return struct.pack("<BIII", 1, 3, 1, len(ring)) + ring.astype("<f8").tobytes()
