"""The two tasks for each tile of a slide. They run in any process on any machine.

`find` needs only the slide. The network predicts the tile and a halo around it, touching nuclei are
separated in both, and the nuclei whose centre lies in the tile are kept. They are kept whole, even
if they extend into the next tile. `paint` runs when the nuclei of the neighbouring tiles are also
numbered. It writes the labels of the tile, including nuclei that extend into it from neighbours.
"""

import cv2
import numpy as np

from ..atomic import explain_write_errors
from ..errors import SlideError
from ..prediction import artefacts, stain_strength
from ..prediction.test_time_augmentation import test_time_augmentation
from . import ome_zarr, rle, tile_nuclei
from .job import load_engine, open_slide


def find(job, tile):
    """Find the nuclei of a tile, unless an earlier run has done so.

    Parameters
    ----------
    job : Job
    tile : tuple of int
        Row and column.

    Returns
    -------
    count : int
        Number of nuclei whose centre lies in the tile or up to `tile_nuclei.TOLERANCE` pixels
        outside it.
    problem : str or None
        Why this part of the slide could not be read, or None.

    Raises
    ------
    InputError
        If the model cannot be read or the result cannot be written.
    """
    file = job.nuclei_file(tile)
    if file.exists():
        return len(tile_nuclei.load(file, "points")[0]), None
    slide = open_slide(job)
    try:
        image = slide.read(*job.grid.view(tile))
    except SlideError as error:
        return 0, str(error)
    image, ink = artefacts.cover_ink(image, slide.mpp)
    maps = _predict(job, stain_strength.multiplied(image, job.stain))
    core, window = job.grid.core(tile), job.grid.window(tile)
    # Remove the mirrored pixels beyond the border of the slide.
    view = job.grid.view(tile)
    maps, image, ink = (_part(pixels, view, window) for pixels in (maps, image, ink))
    labels, scores, _ = artefacts.nuclei_in_tissue(
        maps, image, ink, slide.mpp, job.threshold, job.min_score, _cut(window, slide.shape)
    )
    _write_maps(job, core, _part(maps, window, core))
    nuclei = tile_nuclei.describe(labels, scores, image, slide.mpp, window, core, job.measures)
    tile_nuclei.save(file, nuclei)
    return len(nuclei.points), None


def paint(job, tile, numbers):
    """Write the labels of a tile.

    Parameters
    ----------
    job : Job
    tile : tuple of int
        Row and column.
    numbers : dict of tuple of int to ndarray of uint32, shape (N + 1,)
        For the tile and its neighbours the number of each nucleus on the slide, or 0 if the
        nucleus is left out.

    Raises
    ------
    InputError
        If the labels cannot be written.
    """
    top, left, height, width = job.grid.core(tile)
    pieces = []
    for other, names in numbers.items():
        (piece,) = tile_nuclei.load(job.nuclei_file(other), "runs")
        piece = rle.clip(piece, top, left, height, width)
        piece[:, 0] = names[piece[:, 0]]
        pieces.append(piece[piece[:, 0] > 0])
    with explain_write_errors(job.zarr):
        labels = rle.paint(np.concatenate(pieces), height, width)
        ome_zarr.write(job.zarr, "labels/nuclei", top, left, labels)


def _predict(job, image):
    """Predict a tile and its halo as one window; several threads do this and share the cores."""
    engine = load_engine(job)

    def predicted(view, _):
        return engine.forward(view[None])[0]

    return test_time_augmentation(predicted, image, job.augment)


def _cut(window, shape):
    """First or last row or column of a window, on each side where the slide goes on."""
    top, left, height, width = window
    sides = (
        (np.s_[0], top > 0),
        (np.s_[-1], top + height < shape[0]),
        (np.s_[:, 0], left > 0),
        (np.s_[:, -1], left + width < shape[1]),
    )
    return [side for side, goes_on in sides if goes_on]


def _part(pixels, place, wanted):
    """Cut an area out of the pixels of another; both are top, left, height and width."""
    y, x, height, width = wanted
    top, left = y - place[0], x - place[1]
    return pixels[top : top + height, left : left + width]


def _write_maps(job, core, maps):
    """Write the maps of a tile as uint8, 0..255."""
    channels = [cv2.convertScaleAbs(channel, alpha=255) for channel in np.moveaxis(maps, -1, 0)]
    with explain_write_errors(job.zarr):
        ome_zarr.write(job.zarr, "", *core[:2], np.stack(channels))
