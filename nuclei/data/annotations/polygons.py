"""Draw polygons as a label image. All annotations of this project are rasterised here."""

import numpy as np
from skimage.draw import polygon
from skimage.segmentation import relabel_sequential

from ...errors import InputError


def draw(polygons, shape):
    """Fill polygons with one label each; later polygons overwrite earlier ones.

    The coordinates are passed to `skimage.draw.polygon` unchanged, neither rounded nor shifted.
    `cv2.fillPoly` would include the border pixels and give masks that are up to 11% larger.

    Parameters
    ----------
    polygons : iterable of array_like, shape (V, 2)
        Vertices x, y in pixels. Polygons with fewer than three vertices are skipped, and so are
        polygons outside the image.
    shape : tuple of int
        Height and width of the image.

    Returns
    -------
    ndarray of int32, shape (H, W)
        0 = background, 1..N = one polygon each, in the given order and without gaps.

    Examples
    --------
    >>> draw([[(0, 0), (2, 0), (2, 2), (0, 2)]], (3, 4))
    array([[1, 1, 1, 0],
           [1, 1, 1, 0],
           [1, 1, 1, 0]], dtype=int32)
    """
    return draw_areas(([[outline]] for outline in polygons), shape)


def draw_areas(areas, shape):
    """Fill areas, which may have holes and several parts, with one label each; as `draw`.

    Parameters
    ----------
    areas : iterable of list of list of array_like, shape (V, 2)
        For each area its parts, and for each part its outline and then its holes, in x, y: the
        nesting of MultiPolygon in GeoJSON. Nothing is drawn in a hole: earlier areas show there.
    shape : tuple of int
        Height and width of the image.

    Returns
    -------
    ndarray of int32, shape (H, W)
        0 = background, 1..N = one area each, in the given order and without gaps.
    """
    labels = np.zeros(shape, np.int32)
    flat = labels.reshape(-1)
    for number, parts in enumerate(areas, start=1):
        for outline, *holes in parts:
            inside = _pixels(outline, shape)
            for hole in holes:
                inside = np.setdiff1d(inside, _pixels(hole, shape), assume_unique=True)
            flat[inside] = number
    # An area outside the image, or covered by later ones, leaves a gap in the numbers.
    return relabel_sequential(labels)[0]


def check_any(labels, outlines, path):
    """Return a label image, or say why it is empty.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
    outlines : iterable of array_like, shape (V, 2)
        What was drawn.
    path : str, Path or binary file object
        The annotation file, for the message.

    Returns
    -------
    ndarray of int, shape (H, W)

    Raises
    ------
    InputError
        If nothing was outlined, or nothing in the image.
    """
    if labels.any():
        return labels
    first = next((outline[0] for outline in outlines if len(outline) > 2), None)
    if first is None:
        raise InputError(
            f"{path} outlines no nucleus: outline those of the image, or if it has none, put a "
            "black mask in place of this file."
        )
    raise InputError(
        f"{path} outlines no nucleus in the {labels.shape[1]} x {labels.shape[0]} pixels of the "
        f"image, but at x {first[0]:.7g}, y {first[1]:.7g}: use the outlines of this image, not of "
        "another or of the slide that it was cut from."
    )


def ellipse(corners):
    """Points on the ellipse in a box, about a pixel from each other.

    Parameters
    ----------
    corners : array_like, shape (V, 2)
        The x, y of two opposite corners, or of any points whose bounding box is the box.

    Returns
    -------
    ndarray of float, shape (W, 2)
    """
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    radii = (high - low) / 2
    number = int(np.clip(np.pi * radii.sum(), 36, 3600))
    angles = np.linspace(0, 2 * np.pi, number, endpoint=False)
    return low + radii + radii * np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def _pixels(outline, shape):
    """Positions in the flat image of the pixels in an outline."""
    if len(outline) < 3:
        return np.zeros(0, int)
    x, y = np.asarray(outline, float).T
    return np.ravel_multi_index(polygon(y, x, shape), shape)
