"""Command line: `python -m nuclei download | predict | evaluate`.

Exit codes: 0 all is done, 1 something is not and a sentence says what, 2 the command is wrong
(argparse), 130 interrupted. Results go to standard output, progress and errors to standard error.
"""

import argparse
import json
import os
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from . import files
from .files import InputError

# Keras is imported within the commands, after all that can be checked without it: it takes
# seconds, which neither --help nor a mistake in the command should cost.


def main(arguments=None):
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the terminal by default.

    Returns
    -------
    int
        The exit code.
    """
    options = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings(action="ignore"):  # of libraries, to their programmers
            return options.command(options)
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted: the files that are there are whole.", file=sys.stderr)
        return 130


def _download(options):
    from .download import download

    download()
    return 0


def _predict(options):
    images = files.find_images(options.image)
    _check_outputs(images, options.out)
    import tifffile

    from . import inference, instances
    from .overlay import outline

    model, failures = _load(options.model), 0
    windows = sys.stderr.isatty()  # a bar in a bar needs a terminal
    for path in tqdm(images, desc="Predicting", unit="image"):
        try:
            image = files.read_rgb(path)
            maps = inference.predict_maps(model, image, augment=options.augment, progress=windows)
        except InputError as error:
            tqdm.write(str(error), file=sys.stderr)
            failures += 1
            continue
        # Unlike an image that cannot be read, a file that cannot be written ends the run: the next
        # one would fare no better. The mask is written last: where it is, the others are too.
        probability = maps[..., 0]
        mask = probability >= options.threshold
        if options.probability:
            with files.whole(options.out / f"{path.stem}_probability.tif") as temporary:
                tifffile.imwrite(temporary, probability, compression="zlib")
        nuclei = mask
        if options.instances:
            nuclei = instances.separate(maps, options.threshold)
            _write_nuclei(options.out, path.stem, nuclei, image)
        if options.overlay:
            files.write_png(options.out / f"{path.stem}_overlay.png", outline(image, nuclei))
        files.write_png(options.out / f"{path.stem}_mask.png", mask.astype("uint8") * 255)
    print(f"{len(images) - failures} of {len(images)} masks written to {options.out}.")
    return 1 if failures else 0


def _write_nuclei(out, stem, labels, image):
    """Write one label, one outline and one row of measures for each nucleus."""
    import tifffile

    from . import shapes

    rows = shapes.measure(labels, image)
    kind = "uint16" if labels.max() < 2**16 else "uint32"
    with files.whole(out / f"{stem}_labels.tif") as temporary:
        tifffile.imwrite(temporary, labels.astype(kind), compression="zlib")
    with files.whole(out / f"{stem}.geojson") as temporary:
        temporary.write_text(shapes.geojson(labels, rows), encoding="utf-8")
    with files.whole(out / f"{stem}.csv") as temporary:
        shapes.write_table(temporary, rows)


def _check_outputs(images, out):
    """Refuse what would overwrite an image or another result, or could not be written at all."""
    stems, inputs = {}, {path.resolve() for path in images}
    for path in images:
        other = stems.setdefault(path.stem.lower(), path)  # to some file systems x is X
        if other is not path:
            raise InputError(
                f"{other} and {path} would both be written to {out / path.stem}_mask.png: "
                "rename one, or predict them into two folders."
            )
        for ending in ("mask.png", "overlay.png", "probability.tif", "labels.tif"):
            if (result := out / f"{path.stem}_{ending}").resolve() in inputs:
                raise InputError(
                    f"{result} is one of the images and would be overwritten with a result of "
                    f"{path}: choose another folder for --out."
                )
    nearest = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        raise InputError(f"{nearest} is a file or may not be written to: choose another --out.")


def _evaluate(options):
    if options.json and options.json.is_dir():  # before minutes of work, not after
        raise InputError(f"{options.json} is a folder: name a file in it for the report.")
    from . import dataset, evaluation

    samples = dataset.load(options.split, options.data)
    report = evaluation.evaluate(_load(options.model), samples)
    data = "synthetic tissue" if samples[0].organ == "synthetic" else "MoNuSeg"
    report = {"data": data, "split": options.split, **report, "model": options.model}
    print(
        f"{options.model} on {data}, {options.split}, {len(samples)} images: "
        f"whole, threshold {report['threshold']}, no test-time augmentation"
    )
    print(evaluation.table(report))
    if options.json:
        with files.whole(options.json) as temporary:
            temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


def _load(name):
    with _without_greetings():
        from . import modelzoo
    return modelzoo.load(name)


@contextmanager
def _without_greetings():
    """Import TensorFlow without what it logs to the terminal, unless TF_CPP_MIN_LOG_LEVEL is set.

    Setting that alone does not help: https://github.com/tensorflow/tensorflow/issues/100442.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    terminal = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


def _parser():
    parser = argparse.ArgumentParser("python -m nuclei", description="Segment nuclei in tissue.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    model = {"metavar": "MODEL", "help": "a folder of models/, such as unet, or the path of one"}

    text = "Fetch MoNuSeg (CC BY-NC-SA 4.0), verify it and unpack it to data/MoNuSeg."
    command = commands.add_parser("download", help=text, description=text)
    command.set_defaults(command=_download)

    text = "Find the nuclei in H&E images of any size, at 40x (about 0.25 um per pixel)."
    more = " Writes <stem>_mask.png for each image <stem>.*: 255 in nuclei, 0 elsewhere."
    command = commands.add_parser("predict", help=text, description=text + more)
    command.set_defaults(command=_predict)
    command.add_argument("model", **model)
    text = "8-bit colour PNG, TIFF or JPEG, or a folder, for all of these directly in it"
    command.add_argument("image", metavar="IMAGE", type=Path, nargs="+", help=text)
    command.add_argument("--out", metavar="DIR", type=Path, required=True, help="for the results")
    text = "also write <stem>_probability.tif: float32, 0 to 1"
    command.add_argument("--probability", action="store_true", help=text)
    text = "also write <stem>_overlay.png: the image with nuclei outlined"
    command.add_argument("--overlay", action="store_true", help=text)
    text = "also tell touching nuclei apart and write <stem>_labels.tif (0, 1..N), "
    text += "<stem>.geojson (outlines, for QuPath) and <stem>.csv (area, shape, stain)"
    command.add_argument("--instances", action="store_true", help=text)
    text = "average over the 8 flips and quarter turns, which takes 8 times as long"
    command.add_argument("--augment", action="store_true", help=text)
    text = "nuclei begin at this probability (default: %(default)s)"
    command.add_argument("--threshold", metavar="P", type=probability, default=0.5, help=text)

    text = "Score a model on whole images of MoNuSeg."
    command = commands.add_parser("evaluate", help=text, description=text)
    command.set_defaults(command=_evaluate)
    command.add_argument("model", **model)
    text = "MoNuSeg (default: $MONUSEG_DIR, else data/MoNuSeg, else synthetic tissue)"
    command.add_argument("--data", metavar="DIR", type=Path, help=text)
    text = "which images (default: %(default)s)"
    command.add_argument("--split", choices=("Test", "Validation"), default="Test", help=text)
    command.add_argument("--json", metavar="FILE", type=Path, help="also write the scores there")
    return parser


def probability(text):
    """Parse a number from 0 to 1; argparse names this function in its errors."""
    if 0 <= float(text) <= 1:
        return float(text)
    raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")


if __name__ == "__main__":
    sys.exit(main())
