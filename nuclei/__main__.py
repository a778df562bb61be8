"""Command line: `python -m nuclei download | predict | evaluate`.

Exit codes: 0 all is done, 1 something is not and a sentence says what, 2 the command is wrong
(argparse), 130 interrupted. Results go to standard output, progress and errors to standard error.
"""

import argparse
import json
import os
import sys
import warnings
from pathlib import Path

from tqdm import tqdm

from . import files
from .files import InputError, SlideError
from .quiet import without_greetings

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
        text = "the files that are there are whole, and a slide goes on where it was."
        print(f"Interrupted: {text}", file=sys.stderr)
        return 130


def _download(options):
    from .download import download

    download()
    return 0


def _predict(options):
    from .slide_formats import is_slide

    paths = files.find_images(options.image)
    _check_outputs(paths, options.out)
    slides = [path for path in paths if is_slide(path)]
    failures = sum(_predict_slide(options, path) for path in slides)
    if images := [path for path in paths if path not in slides]:
        failures += _predict_images(options, images)
    return 1 if failures else 0


def _predict_slide(options, path):
    """Find the nuclei of a whole slide; give back whether anything is wrong with it."""
    with without_greetings():
        from . import wholeslide
    try:
        report = wholeslide.predict(
            options.model,
            path,
            options.out,
            micrometres_per_pixel=options.mpp,
            threshold=options.threshold,
            augment=options.augment,
            workers=options.workers,
            scheduler=options.scheduler,
        )
    except SlideError as error:  # the next slide may be better
        print(error, file=sys.stderr)
        return True
    for place, problem in report.problems.items():
        print(f"Left out: {place}: {problem}", file=sys.stderr)
    results = options.out / path.stem
    print(
        f"{report.nuclei:,} nuclei in {report.blocks:,} blocks written to {results}.zarr, "
        f"{results}.geojson and {results}.parquet."
    )
    return bool(report.problems)


def _predict_images(options, images):
    """Find the nuclei of images that fit into memory; give back how many could not be read."""
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
    return failures


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
    with without_greetings():
        from . import modelzoo
    return modelzoo.load(name)


def _parser():
    parser = argparse.ArgumentParser("python -m nuclei", description="Segment nuclei in tissue.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    model = {"metavar": "MODEL", "help": "a folder of models/, such as unet, or the path of one"}

    text = "Fetch MoNuSeg (CC BY-NC-SA 4.0), verify it and unpack it to data/MoNuSeg."
    command = commands.add_parser("download", help=text, description=text)
    command.set_defaults(command=_download)

    text = "Find the nuclei in H&E images, at 40x (about 0.25 um per pixel), and in whole slides."
    more = (
        " Writes <stem>_mask.png for each image <stem>.*: 255 in nuclei, 0 elsewhere. For a slide "
        "writes <stem>.zarr (probabilities and labels, OME-NGFF), <stem>.geojson, <stem>.parquet "
        "and, last, <stem>.json; interrupted, the same command goes on where it was."
    )
    command = commands.add_parser("predict", help=text, description=text + more)
    command.set_defaults(command=_predict)
    command.add_argument("model", **model)
    text = "8-bit colour PNG, TIFF or JPEG, a slide that OpenSlide opens or a pyramidal TIFF, or a "
    text += "folder, for all of these directly in it"
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
    text = "micrometres per pixel of a slide, where the file does not say or is wrong"
    command.add_argument("--mpp", metavar="UM", type=positive(float), help=text)
    text = "processes that share the cores for a slide (default: this one)"
    command.add_argument("--workers", metavar="N", type=positive(int), default=1, help=text)
    text = "address of a Dask scheduler whose workers predict slides, as in tcp://10.0.0.1:8786"
    command.add_argument("--scheduler", metavar="ADDRESS", help=text)

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


def positive(kind):
    """Make a parser of positive numbers of a kind."""

    def number(text):
        if 0 < kind(text) < float("inf"):
            return kind(text)
        raise argparse.ArgumentTypeError(f"{text} is not above 0")

    return number


if __name__ == "__main__":
    sys.exit(main())
