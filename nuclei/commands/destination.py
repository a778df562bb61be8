"""Where the commands `predict` and `evaluate` write: nothing may be lost there."""

import os
from contextlib import suppress

from ..atomic import explain_write_errors
from ..errors import InputError
from ..images import name_of


def check_file(path, others, option):
    """Check the name of a result before minutes of work.

    Parameters
    ----------
    path : Path
    others : iterable of Path
        The other files that the command reads or writes.
    option : str
        The option that gave `path`, for the sentence.

    Raises
    ------
    InputError
        If it is a folder, or one of the other files.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder: choose a file in it for --{option}.")
    if path.resolve() in {other.resolve() for other in others}:
        raise InputError(
            f"{path} is an image or another result, too: choose another name for --{option}."
        )


def check(images, options):
    """Check where `predict` is to write, before minutes of work.

    Parameters
    ----------
    images : sequence of Path
        Images and slides.
    options : Namespace
        Those of `predict`.

    Raises
    ------
    InputError
        If a result or the report would overwrite an image, if two images have the same results, or
        if they cannot be written.
    """
    from ..data.samples_csv import key
    from ..prediction import results

    out, report = options.out, options.json
    stems, inputs = {}, {path.resolve() for path in images}
    every = dict.fromkeys(("probability", "overlay", "instances"), True)
    if report:
        written = (
            result
            for path in images
            for result in (
                out / f"{name_of(path)}.json",  # the report of a slide
                *results.paths(out, name_of(path), anndata=True, **every),
            )
        )
        check_file(report, [*images, *written], "json")
    for path in images:
        other = stems.setdefault(key(name_of(path)), path)
        if other is not path:
            raise InputError(
                f"{other} and {path} would both be written to {out / name_of(path)}_mask.png: "
                "rename one, or predict them into two folders."
            )
        for result in results.paths(out, name_of(path), **every):
            if result.resolve() in inputs:
                raise InputError(
                    f"{result} is one of the images and would be overwritten by a result of "
                    f"{path}: choose another folder for --out."
                )
    with explain_write_errors(out):
        nearest = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        raise InputError(f"{nearest} is a file or cannot be written to: choose another --out.")
    asked = {kind: getattr(options, kind) for kind in every}
    for path in images:
        for result in results.paths(out, name_of(path), **asked):
            with explain_write_errors(result), suppress(FileNotFoundError):
                (nearest / result.name).lstat()  # fails if the name is too long
