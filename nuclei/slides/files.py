"""Find the images and slides that a command names."""

import os

from ..errors import InputError, counted
from ..images import IMAGE_SUFFIXES, OTHER_SUFFIXES, SLIDE_SUFFIXES, find_images
from ..prediction import results
from .dicom import one_per_slide
from .readers import is_slide


def find(paths):
    """Replace each folder by the images and slides directly in it, sorted by name.

    Parameters
    ----------
    paths : iterable of Path
        Files and folders, as for `find_images`. Of a folder, slides without a known suffix are
        taken too, and what `predict` wrote into it is not.

    Returns
    -------
    list of Path
        The images and slides, each once, in the order of `paths`. A DICOM slide is one of them.

    Raises
    ------
    InputError
        If a folder contains no image and no slide, or results only.
    """
    found = {}
    for path in paths:
        for one in _inside(path) if path.is_dir() else [path]:
            found.setdefault(os.path.abspath(one), one)
    return one_per_slide(found.values())


def left_out(paths, out):
    """Say what `find` passes over in folders, although it shows tissue.

    Parameters
    ----------
    paths : iterable of Path
        As for `find`.
    out : Path
        Folder of the results, which may lie in one of them.

    Returns
    -------
    list of str
        A sentence for images in other formats, one for lists of slides, and one for images in
        subfolders.
    """
    inside = sorted(one for path in paths if path.is_dir() for one in path.iterdir())
    shown = [one for one in inside if not one.name.startswith(".")]
    named = {path.resolve() for path in (*paths, out)}
    others = [one for one in shown if one.suffix.lower() in OTHER_SUFFIXES]
    lists = [one for one in shown if one.suffix.lower() == ".ndpis"]
    deeper = [one for one in shown if one.resolve() not in named and _holds_images(one)]
    sentences = []
    if others:
        sentences.append(
            f"Left out: {counted(len(others), 'file')} in other formats, such as {others[0]}. Save "
            "them as PNG, TIFF or JPEG."
        )
    if lists:
        sentences.append(
            f"Left out: {counted(len(lists), 'list')} of slides, such as {lists[0]}. The .ndpi "
            "files that it names are the slides: put them into this folder."
        )
    if deeper:
        sentences.append(
            f"Left out: the images in {counted(len(deeper), 'subfolder')}, such as {deeper[0]}. If "
            "they are to be predicted, name these folders too."
        )
    return sentences


def _holds_images(path):
    try:
        images = find_images([path]) if path.is_dir() else []
        return not {image.name for image in images} <= results.written_to(path)
    except (InputError, OSError):  # it has none, or cannot be read
        return False


def _inside(folder):
    slides = _without_suffix(folder)
    try:
        found = [*find_images([folder]), *slides]
    except InputError:
        if not slides:
            raise
        return slides
    ours = results.written_to(folder)
    found = sorted(path for path in found if path.name not in ours)
    if not found:
        raise InputError(f"{folder} contains only results of predict: name that of the images.")
    return found


def _without_suffix(folder):
    """Slides in a folder whose suffix does not tell what they are, sorted by name."""
    known = IMAGE_SUFFIXES + SLIDE_SUFFIXES
    names = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    others = (path for path in names if path.suffix.lower() not in known and path.is_file())
    return [path for path in others if is_slide(path)]
