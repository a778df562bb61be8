"""Pack a model for BioImage.IO: its ONNX file, with what a program must know to run it."""

import re

import numpy as np

from .. import ROOT
from ..errors import InputError
from ..images import write_png
from ..images.resolution import MPP
from ..modelfiles import read_metrics
from ..outputs import MONUSEG
from ..prediction.windows import GRID

LICENCE = "CC-BY-NC-SA-4.0"
"""Of MoNuSeg, and so of the weights that were trained on it."""

PAPERS = {
    "unet": ("Ronneberger et al., U-Net, MICCAI 2015", "10.1007/978-3-319-24574-4_28"),
    "segnet": ("Badrinarayanan et al., SegNet, TPAMI 2017", "10.1109/TPAMI.2016.2644615"),
    "deeplabv3": ("Chen et al., DeepLabv3, 2017", "10.48550/arXiv.1706.05587"),
}
"""Of the networks, with their DOI."""

CHANNELS = ("nucleus", "distance")
"""Of the output: the probability of nucleus, and the relative distance to its border."""

HALO = GRID
"""Pixels that BioImage.IO adds on each side of an image and discards: at least `windows.MARGIN`,
and such that the sides stay multiples of `GRID`."""


def facts(folder, licence=None):
    """Collect what the package says of a model.

    Parameters
    ----------
    folder : Path
        As from `modelfiles.find`.
    licence : str, optional
        SPDX name of the licence of the weights.

    Returns
    -------
    dict
        Fields of `bioimageio.spec.model.v0_5.ModelDescr`; the documentation as bytes.

    Raises
    ------
    InputError
        If the licence is not known or no SPDX name, or a file of the model is damaged.
    """
    import yaml
    from bioimageio.spec.model import v0_5
    from pydantic import TypeAdapter, ValidationError

    from ..modelzoo import read_config

    network = read_config(folder)["network"]
    metrics = read_metrics(folder)
    data = metrics.get("data")
    of_monuseg = MONUSEG in (data, *metrics.get("start_data", ()))
    if of_monuseg and licence not in (None, LICENCE):
        raise InputError(
            f"{folder.name} was trained on {MONUSEG}, or began so, so its licence is {LICENCE}: "
            "leave --license out."
        )
    if not (of_monuseg or licence):
        raise InputError(
            f"The licence of {folder.name} is not known, because it was not trained on {MONUSEG}: "
            "name it, as in --license CC-BY-4.0."
        )
    try:
        TypeAdapter(v0_5.LicenseId | v0_5.DeprecatedLicenseId).validate_python(licence or LICENCE)
    except ValidationError:
        raise InputError(
            f"{licence} is no SPDX name of a licence: write it as in --license CC-BY-4.0."
        ) from None
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    papers = [PAPERS[network]] if network in PAPERS else []
    if of_monuseg:
        papers += [(one["title"], one["doi"]) for one in citation["references"]]
    history = dict.fromkeys([*metrics.get("start_data", ()), data] if data else ())
    trained = f"trained on {', then on '.join(history) or 'data of their own'}"
    return {
        "name": f"Nuclei in HE tissue ({re.sub('[^A-Za-z0-9_-]', '_', folder.name)})",
        "description": "Probability of cell nucleus at every pixel of an H&E-stained tissue image "
        f"at {MPP} um per pixel; {network}, {trained}.",
        "authors": [v0_5.Author(name=one["name"]) for one in citation["authors"]],
        "cite": [v0_5.CiteEntry(text=text, doi=v0_5.Doi(doi)) for text, doi in papers],
        "license": licence or LICENCE,
        "tags": [
            "nuclei",
            "segmentation",
            "semantic-segmentation",
            "histopathology",
            "2d",
            "brightfield",
            "h&e",
            network,
        ],
        "documentation": _read_card(folder),
        "version": v0_5.Version(citation["version"]),
    }


def _read_card(folder):
    """The card of a model, or its name where there is none."""
    try:
        return (folder / "README.md").read_bytes()
    except FileNotFoundError:
        return f"# {folder.name}\n".encode()


def write(path, facts, weights, batch, maps):
    """Write the package, after BioImage.IO's own test of it.

    Parameters
    ----------
    path : Path
        A file that ends in .zip.
    facts : dict
        As from `facts`.
    weights : Path
        The ONNX file, in a folder that takes the other parts.
    batch : ndarray of uint8, shape (1, H, W, 3)
        The test image, of which the cover shows the left half.
    maps : ndarray of float32, shape (1, H, W, C)
        What Keras predicts for it. The test compares the ONNX file with it.

    Raises
    ------
    InputError
        If the description is not valid, or the test fails.
    """
    from bioimageio.core import test_model
    from bioimageio.spec import save_bioimageio_package
    from pydantic import ValidationError

    parts = weights.parent
    np.save(parts / "test_input.npy", batch)
    np.save(parts / "test_output.npy", maps)
    write_png(parts / "cover.png", cover(batch[0], maps[0, ..., 0]))
    try:
        model = describe(facts, parts, weights, maps.shape[-1])
        save_bioimageio_package(model, output_path=path, allow_invalid=False)
    except ValidationError as error:
        fields = sorted({str(one["loc"][0]) for one in error.errors() if one["loc"]})
        raise InputError(
            f"BioImage.IO does not take this model's {' and '.join(fields)}: correct them."
        ) from error
    summary = test_model(path)
    if summary.status != "passed":
        errors = [one.msg for detail in summary.details for one in detail.errors]
        raise InputError(
            f"The test of BioImage.IO failed ({'; '.join(errors)}), so nothing was written: choose "
            "another format."
        )


def cover(image, probability):
    """Show an image beside its probability, (H, W, 3) in uint8, halves of (H, W / 2)."""
    half = image.shape[1] // 2
    grey = np.uint8(np.round(255 * probability[:, :half]))
    return np.concatenate([image[:, :half], np.repeat(grey[..., None], 3, axis=2)], axis=1)


def describe(facts, parts, weights, channels):
    """Describe the model as BioImage.IO does, in its format 0.5.

    Parameters
    ----------
    facts, weights
        As for `write`.
    parts : Path
        The folder with `test_input.npy`, `test_output.npy` and `cover.png`.
    channels : int
        Of the output.

    Returns
    -------
    bioimageio.spec.model.v0_5.ModelDescr
    """
    import onnx
    from bioimageio.spec.common import FileDescr
    from bioimageio.spec.model import v0_5

    documentation = parts / "README.md"
    documentation.write_bytes(facts["documentation"])
    sizes = v0_5.ParameterizedSize(min=2 * HALO + GRID, step=GRID)
    space = {"scale": MPP, "unit": "micrometer"}
    image = v0_5.InputTensorDescr(
        id=v0_5.TensorId("image"),
        description=f"Raw RGB, 0 to 255, at {MPP} um per pixel; the network scales it itself.",
        axes=[
            v0_5.BatchAxis(),
            *(v0_5.SpaceInputAxis(id=v0_5.AxisId(one), size=sizes, **space) for one in "yx"),
            v0_5.ChannelAxis(channel_names=[v0_5.Identifier(one) for one in "rgb"]),
        ],
        data=v0_5.IntervalOrRatioDataDescr(type="uint8", range=(0, 255)),
        preprocessing=[v0_5.EnsureDtypeDescr(kwargs=v0_5.EnsureDtypeKwargs(dtype="float32"))],
        test_tensor=FileDescr(source=parts / "test_input.npy"),
    )
    reference = [v0_5.SizeReference(tensor_id=image.id, axis_id=v0_5.AxisId(one)) for one in "yx"]
    maps = v0_5.OutputTensorDescr(
        id=v0_5.TensorId("maps"),
        description=f"Numbers from 0 to 1: {', '.join(CHANNELS[:channels])}.",
        axes=[
            v0_5.BatchAxis(),
            *(
                v0_5.SpaceOutputAxisWithHalo(id=size.axis_id, size=size, halo=HALO, **space)
                for size in reference
            ),
            v0_5.ChannelAxis(channel_names=[v0_5.Identifier(one) for one in CHANNELS[:channels]]),
        ],
        data=v0_5.IntervalOrRatioDataDescr(type="float32", range=(0, 1)),
        test_tensor=FileDescr(source=parts / "test_output.npy"),
    )
    opset = max(
        one.version for one in onnx.load(weights).opset_import if one.domain in ("", "ai.onnx")
    )
    return v0_5.ModelDescr(
        **{**facts, "documentation": FileDescr(source=documentation)},
        covers=[FileDescr(source=parts / "cover.png")],
        inputs=[image],
        outputs=[maps],
        weights=v0_5.WeightsDescr(onnx=v0_5.OnnxWeightsDescr(source=weights, opset_version=opset)),
    )
