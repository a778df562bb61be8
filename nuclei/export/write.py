"""Export a trained model: name the output, write it, check it, and only then rename it."""

import tempfile
from pathlib import Path

from ..atomic import atomic_folder, atomic_write, expand
from ..data.synthetic import tissue
from ..errors import InputError
from ..keras_backend import silence_native_stderr
from ..modelfiles import find
from ..prediction.windows import forward
from . import formats

SIDE = 256
"""Side in pixels of the synthetic test image."""


def output(folder, form, out=None):
    """Name the output, and refuse what is there already.

    Parameters
    ----------
    folder : Path
        Of the model, as from `modelfiles.find`.
    form : str
        A key of `formats.SUFFIXES`.
    out : str or Path, optional
        The output; by default the name of the model with the suffix of the format, in the current
        folder.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If it exists, or is called as another format would be.
    """
    suffix = formats.SUFFIXES[form]
    path = expand(out or Path(f"{folder.name}{suffix}"))
    if path.is_dir() and form != "openvino":
        raise InputError(
            f"{path} is a folder: choose a file in it, such as {path / folder.name}{suffix}."
        )
    if path.exists():
        raise InputError(f"{path} exists: remove it, or choose another name with --out.")
    if form != "openvino" and not path.name.endswith(f".{suffix.rpartition('.')[2]}"):
        raise InputError(
            f"{path} should end in {suffix}, as files of the format {form} do: correct --out."
        )
    return path


def export(name, form, out=None, licence=None):
    """Export a trained model.

    Parameters
    ----------
    name : str or Path
        As for `modelfiles.find`.
    form : str
        A key of `formats.SUFFIXES`.
    out : str or Path, optional
        As for `output`.
    licence : str, optional
        SPDX name of the licence of the weights, for "bioimageio" only; known for those of MoNuSeg.

    Returns
    -------
    path : Path
        What was written, a file, or a folder for OpenVINO.
    difference : float
        Largest difference from Keras on the test image.

    Raises
    ------
    InputError
        If there is no such model or format, the format has no place for a licence, a package is
        missing, the output exists or cannot be written, or the exported model differs from Keras by
        more than `formats.MOST`.
    """
    if form not in formats.SUFFIXES:
        raise InputError(f"There is no format {form}: choose {', '.join(formats.SUFFIXES)}.")
    if licence is not None and form != "bioimageio":
        raise InputError(
            f"The format {form} has no place for a licence: leave --license out, or use --format "
            "bioimageio."
        )
    folder = find(name)
    path = output(folder, form, out)
    with silence_native_stderr():
        formats.require(form)
        from .. import modelzoo
    if form == "bioimageio":
        from . import bioimage

        facts = bioimage.facts(folder, licence)
    model = modelzoo.load(folder)
    image, _ = tissue(0, (SIDE, SIDE))
    # Two sizes, neither square, and two batch sizes.
    batches = [image[None, :64, :96], image[:192].reshape(2, 96, SIDE, 3)]
    references = [forward(model, batch) for batch in batches]
    if form == "openvino":
        with atomic_folder(path) as temporary:
            file = temporary / f"{folder.name}.xml"
            formats.write(model, form, file)
            difference = formats.check(form, file, batches, references)
    elif form == "bioimageio":
        with tempfile.TemporaryDirectory() as parts, atomic_write(path) as temporary:
            file = Path(parts) / f"{folder.name}.onnx"
            formats.write(model, "onnx", file)
            difference = formats.check("onnx", file, batches, references)
            maps = forward(model, image[None])
            bioimage.write(temporary, facts, file, image[None], maps)
    else:
        with atomic_write(path) as temporary:
            formats.write(model, form, temporary)
            difference = formats.check(form, temporary, batches, references)
    return path, difference
