"""What looks wrong in one annotated image."""

import cv2
import numpy as np

from ..errors import InputError, counted
from ..images import resolution
from ..images.masks import count_colours
from . import annotations, loading
from .alignment import FIT, align, better_view
from .overlap import Reduced
from .sizes import LARGEST

COARSE = 0.6
"""From this resolution on, in um per pixel, nuclei are too small to be outlined well: a scan at
20x has 0.5."""

SHIFT = 3
"""From this shift on, in pixels, an annotation is called shifted; it is 1.9 at most in MoNuSeg."""


def examine_entry(row, entry, look=None):
    """Read an image of a folder with its annotation, and fill in its row.

    Parameters
    ----------
    row : check.Row
        With what its files are. If it has a problem, it stays as it is.
    entry : folder.Entry
    look : callable, optional
        As for `examine_sample`; not called if the image cannot be read.
    """
    if row.problem:
        return
    try:
        sample = loading.read_entry(entry, row.warnings.append)
        if entry.classes and entry.outlines:
            row.left_out = annotations.left_out(entry.outlines, entry.classes)
    except InputError as error:
        row.problem = str(error)
        return
    if row.kind == "mask" and sample.labels is not None:
        row.kind = "labels"
    row.warnings += _of_greys(entry.mask, sample.mask) if row.kind == "mask" else []
    examine_sample(row, sample, look, (entry.annotation, entry.image))


def examine_sample(row, sample, look=None, files=None):
    """Fill in the row of an image that was read.

    Parameters
    ----------
    row : check.Row
    sample : Sample
    look : callable, optional
        Called with the Sample.
    files : pair of Path, optional
        What sentences call the annotation and the image; by default the name of the image.
    """
    annotation, image = files or (row.name, row.name)
    mask = sample.mask
    row.size, row.share = mask.shape, float(mask.mean())
    areas = _areas(sample)
    row.nuclei, row.area = len(areas), float(np.median(areas)) if len(areas) else 0.0
    row.reduced, row.alignment = Reduced(sample.image), align(sample.image, mask)
    row.warnings += _of_mask(row, mask)
    row.warnings += _of_alignment(row, annotation, image, sample)
    row.warnings += _of_areas(row, annotation, sample.labels, areas)
    row.warnings += _of_resolution(row, image)
    if look:
        look(sample)


def _areas(sample):
    """Pixels of each nucleus, or of each piece of a mask."""
    labels = sample.labels
    if labels is None:
        labels = cv2.connectedComponents(sample.mask.astype(np.uint8))[1]
    return np.bincount(labels.ravel())[1:]


def _of_areas(row, annotation, labels, areas):
    """What is too large for a nucleus, such as a region; in a mask, nuclei may touch."""
    mpp = resolution.predicted_at(row.mpp or resolution.MPP)
    large = areas[areas > LARGEST / mpp**2]
    if labels is None or not large.size:
        return []
    place = np.nonzero(labels == 1 + areas.argmax())
    y, x = (int(np.median(axis) / row.enlarged) for axis in place)
    objects = f"{counted(large.size, 'object')} of more than {LARGEST} um2"
    return [
        f"{annotation} has {objects} at {mpp:g} um per pixel, the largest of "
        f"{large.max() * mpp**2:,.0f} um2 at x {x}, y {y}, and no nucleus is that large: remove "
        "regions, or choose the classes of nuclei in samples.csv."
    ]


def _of_mask(row, mask):
    """What looks wrong with how much of an image is nucleus."""
    if not mask.any():
        return [
            f"{row.name} has no nucleus: annotate those that it has; if it has none, it may stay."
        ]
    return [f"{row.name} is all nucleus: check its annotation."] if mask.all() else []


def _of_greys(path, mask):
    """What looks wrong with the greys or colours of a mask that has nuclei and a rest."""
    values = count_colours(path)
    if values <= 2 or not mask.any() or mask.all():
        return []
    return [
        f"{path} has {values} greys or colours and not two, so nuclei were told from the rest by "
        "a rule (docs/formats.md): look at the overlay, or save it as a PNG of 0 and 255."
    ]


def _of_alignment(row, annotation, image, sample):
    """What looks wrong with where an annotation lies."""
    found = row.alignment
    if found is None or row.warnings:  # an inverted mask fits nowhere
        return []
    if found.fit < FIT:
        view = better_view(sample.image, sample.mask)
        cure = f"It fits when {view}." if view else "Check that it belongs to this image."
        return [
            f"{annotation} does not fit {image}: nuclei are not where the image is dark with "
            f"haematoxylin (correlation {found.fit:.2f}). {cure}"
        ]
    if np.hypot(found.down, found.right) < SHIFT:
        return []
    return [
        f"{annotation} lies {_place(found)} the nuclei of {image}: move it back, or export it "
        "again from the same image."
    ]


def _place(found):
    """A shift in words, as in "3.0 pixels below and 1.2 pixels left of"."""
    words = [
        f"{abs(size):.1f} pixels {word}"
        for size, word in (
            (found.down, "below" if found.down > 0 else "above"),
            (found.right, "right of" if found.right > 0 else "left of"),
        )
        if abs(size) >= 0.5
    ]
    return " and ".join(words)


def _of_resolution(row, image):
    """What looks wrong with a resolution that is known."""
    if row.mpp is None or row.mpp <= COARSE:
        return []
    return [
        f"{image} has {row.mpp:g} um per pixel, where a nucleus is a few pixels wide: use a scan "
        f"of {COARSE} um or less, best {resolution.MPP}."
    ]
