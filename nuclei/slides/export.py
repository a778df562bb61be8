"""Write the nuclei of a whole slide as GeoJSON and GeoParquet, tile by tile."""

import json
import os
import struct
from contextlib import contextmanager

import cv2
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from ..prediction import artefacts, measures, neighbours, outlines
from . import tile_nuclei

HEAD, TAIL = b'{"type": "FeatureCollection", "features": [', b"\n]}\n"
"""How the GeoJSON begins and ends."""

ROW_GROUP = 20_000
"""Nuclei per row group of GeoParquet, at least; those of one tile would be too few."""


@contextmanager
def writer(job, slide, geojson, parquet):
    """Open both files, and complete them at the end of the `with` block.

    Parameters
    ----------
    job : Job
    slide : Slide
    geojson : Path
        File for a FeatureCollection, as from `outlines.geojson`, in pixels of the slide's finest
        level, as in QuPath.
    parquet : Path
        File for GeoParquet 1.1: one row per nucleus, with its outline in the same pixels as WKB
        (well-known binary).

    Yields
    ------
    callable
        Function that writes the nuclei of a tile. Its arguments are the tile (row and column) and
        an ndarray of uint32, shape (N + 1,): the number of each nucleus on the slide, or 0 to leave
        it out. With all measures, tiles are only written at the end of the block, because the
        neighbours of a nucleus may lie in any tile.
    """
    names = measures.COLUMNS[job.measures]
    columns = [("label", pa.uint32()), *((name, pa.float64()) for name in names[1:])]
    # crs null: pixels are not in a coordinate system of the Earth.
    geometry = {"encoding": "WKB", "geometry_types": ["Polygon"], "crs": None}
    described = {"version": "1.1.0", "primary_column": "geometry"}
    described["columns"] = {"geometry": geometry}
    schema = pa.schema([*columns, ("geometry", pa.binary())], {"geo": json.dumps(described)})
    separator, pending, waiting = b"\n", [], []

    def write(tile, numbers, around=None):
        nonlocal separator
        rows, rings = _nuclei(job, tile, slide.scale, numbers)
        if not rows:
            return
        if around is not None:
            measures.add_neighbours(rows, around)
        text.write(separator + b",\n".join(map(orjson.dumps, map(outlines.feature, rings, rows))))
        separator = b",\n"
        content = {name: [row[name] for row in rows] for name in names}
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
        # Opened here, because Arrow refuses names that are not UTF-8.
        open(parquet, "wb") as rows_file,
        pq.ParquetWriter(rows_file, schema, compression="zstd") as table,
    ):
        text.write(HEAD)
        yield write if job.measures == "basic" else lambda *nuclei: waiting.append(nuclei)
        for nuclei, around in _with_neighbours(job, slide, waiting):
            write(*nuclei, around)
        flush()
        text.write(TAIL)


def is_whole_geojson(path):
    """Return whether a file begins and ends like the GeoJSON of `writer`."""
    try:
        with open(path, "rb") as file:
            head = file.read(len(HEAD))
            file.seek(-len(TAIL), os.SEEK_END)
            return (head, file.read()) == (HEAD, TAIL)
    except OSError:
        return False


def is_whole_parquet(path, nuclei):
    """Return whether a file is Parquet with as many rows as there are nuclei."""
    try:
        with open(path, "rb") as file:
            return pq.ParquetFile(file).metadata.num_rows == nuclei
    except (OSError, pa.ArrowException):
        return False


def _with_neighbours(job, slide, waiting):
    """Yield each tile and its numbers with the neighbourhoods of its nuclei on the whole slide."""
    if not waiting:
        return
    centres, columns = [], len(measures.OWN[job.measures]) - 1
    for tile, numbers in waiting:
        (rows,) = tile_nuclei.load(job.nuclei_file(tile), "rows")
        centres.append(rows.reshape(-1, columns)[numbers[1:] > 0, :2])
    ends = np.cumsum(list(map(len, centres)))
    extent = (slide.mpp * size for size in slide.shape)
    image, readable = slide.overview()
    ink = artefacts.ink(artefacts.smooth_density(image)) >= 1
    # A pixel around it, 8 um, is ink mixed with tissue, or left out because it is beside ink.
    excluded = cv2.dilate((ink | ~readable).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    found = neighbours.measure(*np.concatenate(centres).T, *extent, excluded)
    around = np.split(np.stack(found), ends[:-1], axis=1)
    yield from zip(tqdm(waiting, desc="Outlines", unit="tile"), around, strict=True)


def _nuclei(job, tile, scale, numbers):
    """Rows and outlines of the nuclei of a tile whose number is not 0."""
    rows, rings, points = tile_nuclei.load(job.nuclei_file(tile), "rows", "rings", "points")
    rings = np.split(np.round(rings * scale, 2), np.cumsum(points)[:-1])
    found = zip(numbers[1:].tolist(), rows.tolist(), rings, strict=False)
    kept = [(number, row, ring) for number, row, ring in found if number]
    names = measures.OWN[job.measures]
    rows = [dict(zip(names, (number, *row), strict=True)) for number, row, _ in kept]
    return rows, [ring for *_, ring in kept]


def _well_known_binary(ring):
    """Encode a polygon as WKB: byte order, type 3, one ring, its number of points, its points."""
    return struct.pack("<BIII", 1, 3, 1, len(ring)) + ring.astype("<f8").tobytes()
