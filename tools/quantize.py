"""Make the int8 form of trained models: `make quantize [MODEL=unet]`.

The ranges of the numbers in each layer are measured on crops of the training images. A model is
written only if it loses little on the validation images. It needs requirements-quantize.txt.
"""

import argparse
import logging
import sys

import numpy as np

from nuclei import evaluation, modelfiles, modelzoo, outputs
from nuclei.data import monuseg
from nuclei.errors import InputError, run_script
from nuclei.prediction.engines import convert, files
from nuclei.prediction.engines.openvino_engine import OpenVINOEngine

CROPS, SIDE, SEED = 96, 256, 0
"""Number of crops, their side in pixels, and the seed of their places."""

LOSS = 0.002
"""How much Dice and AJI on the validation images int8 may lose, against float32."""

FLOAT_CONVOLUTIONS = {"unet_efficientnet_lite0_instances": (0, 1, 2, 3)}
"""For each model the convolutions that stay in float32, because the scores need them: see
`to_int8`."""


def quantize(name, samples, validation):
    """Write `models/<name>/<name>.int8.zip`.

    Parameters
    ----------
    name : str or Path
        As for `modelfiles.find`.
    samples, validation : sequence of Sample
        Training images for the ranges, validation images for the scores.

    Returns
    -------
    str
        A sentence with the size and the scores.

    Raises
    ------
    InputError
        If the model cannot be read, or loses more than `LOSS`.
    """
    folder = modelfiles.find(name)
    model, config = modelzoo.load(folder), modelzoo.read_config(folder)
    fingerprint = modelfiles.fingerprint(folder)
    kept = FLOAT_CONVOLUTIONS.get(folder.name, ())
    int8, facts = to_int8(model, crops(samples), kept)
    network = config["network"]
    facts |= {"crops": CROPS, "side": SIDE, "seed": SEED, "images": [s.name for s in samples]}
    content = convert.to_content(int8, fingerprint, network, **facts)
    reports = [
        evaluation.evaluate(engine, validation, whole_only=True)
        for engine in (model, OpenVINOEngine("openvino-int8", content))
    ]
    scores = {
        score: [report["mean"][score]["mean"] for report in reports] for score in ("dice", "aji")
    }
    said = ", ".join(f"{score} {old:.4f} to {new:.4f}" for score, (old, new) in scores.items())
    if any(old - new > LOSS for old, new in scores.values()):
        raise InputError(
            f"{folder.name} would lose more than {LOSS} on the validation images ({said}): add "
            "some to FLOAT_CONVOLUTIONS in tools/quantize.py."
        )
    path = folder / f"{folder.name}.int8.zip"
    files.write(path, content)
    return f"{path} written, {path.stat().st_size / 1e6:.1f} MB; validation {said}"


def crops(samples):
    """Cut crops at random places out of images, from each image in turn.

    Parameters
    ----------
    samples : sequence of Sample

    Returns
    -------
    list of ndarray of float32, shape (1, SIDE, SIDE, 3)
    """
    generator, batches = np.random.default_rng(SEED), []
    for number in range(CROPS):
        image = samples[number % len(samples)].image
        top, left = (generator.integers(0, length - SIDE + 1) for length in image.shape[:2])
        batches.append(np.float32(image[None, top : top + SIDE, left : left + SIDE]))
    return batches


def to_int8(model, batches, kept=()):
    """Quantise a Keras model to int8, by post-training quantisation (arXiv:1806.08342).

    The layers of this project, which enlarge maps and pool with indices, stay in float32: they
    reshape maps, so their channels depend on the size of the image.

    Parameters
    ----------
    model : keras.Model
    batches : list of ndarray of float32, shape (B, H, W, 3)
        What the ranges are measured on.
    kept : sequence of int
        Convolutions that also stay in float32, counted from 0 in the order of the network, or from
        -1 at its end.

    Returns
    -------
    openvino.Model
    dict
        Facts: the version of `nncf`; the layers in `float_layers` and the convolutions in
        `float_convolutions` stay in float32.
    """
    network = convert.convert(model)
    import nncf  # after OpenVINO, so that it sends no telemetry either
    from nncf.quantization.advanced_parameters import QuantizationParameters

    nncf.set_log_level(logging.ERROR)
    # The layers lose their names in the conversion where they touch the order of the axes.
    convolutions = [
        node.get_friendly_name()
        for node in network.get_ordered_ops()
        if "Convolution" in node.get_type_name()
    ]
    own = [layer.name for layer in model.layers if type(layer).__module__.startswith("nuclei.")]
    int8 = nncf.quantize(
        network,
        nncf.Dataset(batches),
        subset_size=len(batches),
        preset=nncf.QuantizationPreset.MIXED,
        ignored_scope=nncf.IgnoredScope(
            names=[convolutions[number] for number in kept],
            patterns=[rf".*/{name}(_\d+)?/.*" for name in own],
            # In the dilated pooling of Xception, which loses its name. It pads with minus infinity,
            # of which NNCF makes a range from 0 to 0, so that no feature would stay below 0.
            types=sorted({"Maximum"} & {op.get_type_name() for op in network.get_ops()}),
        ),
        # One range for all channels of a map: NNCF takes the wrong axis for the channels of maps
        # that a layer of this project has reshaped.
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            activations_quantization_params=QuantizationParameters(per_channel=False)
        ),
    )
    facts = {"nncf": nncf.__version__, "float_layers": own, "float_convolutions": list(kept)}
    return int8, facts


def main(arguments=None):
    """Quantise the models that the command line names; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help="default: all that were trained on MoNuSeg")
    names = parser.parse_args(arguments).models
    monuseg.require()
    samples, validation = monuseg.load("train"), monuseg.load("val")
    failures = 0
    for name in names or outputs.models_of():
        try:
            outputs.check_monuseg(modelfiles.find(name))
            print(quantize(name, samples, validation))
        except InputError as error:  # the other models go on
            print(error, file=sys.stderr)
            failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    run_script(main)
