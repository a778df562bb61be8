"""Command line: `python -m nuclei download | predict | evaluate`.

Exit codes: 0 success, 1 something failed and a sentence says what, 2 wrong command line (argparse),
130 interrupted. Results go to standard output, progress and errors to standard error. If a reader
leaves, as in `| head`, the run goes on and the exit code stays that of the work.
"""

import argparse
import os
import sys
import warnings

from tqdm import tqdm

from .atomic import atomic_write, expand, explain_write_errors
from .errors import InputError, SlideError
from .images import read_rgb, write_png
from .quiet import check_output, steady_streams

ENGINES = ("auto", "keras", "openvino", "openvino-int8")
"""As in `prediction.engines`, which not every command imports."""

# Keras is imported within the commands, after all checks that do not need it: the import takes
# seconds, and --help or a mistake in the command should not have to wait for it.


def main(arguments=None):
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command-line arguments; by default those of the process, whose streams are then made steady.

    Returns
    -------
    int
        The exit code.
    """
    if arguments is None:
        steady_streams()
        os.environ.setdefault("PYTHONSAFEPATH", "1")  # of workers: see nuclei/__init__.py
    options = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings(action="ignore"):  # meant for developers
            code = options.command(options)
        check_output()
        return code
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        text = "all files written so far are complete; run the same command again to continue."
        print(f"Interrupted: {text}", file=sys.stderr)
        return 130


def _download(options):
    from .data.download import download

    download()
    return 0


def _predict(options):
    from .slides.files import find
    from .slides.readers import is_slide

    paths = find(options.image)
    _check_outputs(paths, options.out)
    slides = [path for path in paths if is_slide(path)]
    asked = [f"--{name}" for name in ("overlay", "probability") if getattr(options, name)]
    if slides and asked:
        print(
            f"{' and '.join(asked)} ignored for slides: {options.out / slides[0].stem}.zarr holds "
            "the probability and the nuclei of the slide.",
            file=sys.stderr,
        )
    failures = sum(_predict_slide(options, path) for path in slides)
    if images := [path for path in paths if path not in slides]:
        failures += _predict_images(options, images)
    return 1 if failures else 0


def _predict_slide(options, path):
    """Find the nuclei of a whole slide; return True if the slide, or a part of it, failed."""
    from .slides import predict

    try:
        report = predict.predict(
            options.model,
            path,
            options.out,
            mpp=options.mpp,
            threshold=options.threshold,
            augment=options.augment,
            engine=options.engine,
            workers=options.workers,
            scheduler=options.scheduler,
        )
    except SlideError as error:  # continue with the next slide
        print(error, file=sys.stderr)
        return True
    for place, problem in report.problems.items():
        print(f"Left out: {place}: {problem}", file=sys.stderr)
    results = options.out / path.stem
    print(
        f"{report.nuclei:,} nuclei in {report.tiles:,} tiles written to {results}.zarr, "
        f"{results}.geojson and {results}.parquet."
    )
    return bool(report.problems)


def _predict_images(options, images):
    """Find the nuclei of images that fit into memory; return how many could not be read."""
    import tifffile

    from .prediction import engines, instances, windows

    engine, failures = engines.load(options.model, options.engine), 0
    nested = sys.stderr.isatty()  # nested bars need a terminal
    for path in tqdm(images, desc="Predicting", unit="image"):
        try:
            image = read_rgb(path)
            maps = windows.predict_maps(engine, image, augment=options.augment, progress=nested)
        except InputError as error:
            tqdm.write(str(error), file=sys.stderr)
            failures += 1
            continue
        # A file that cannot be written ends the run, because the next file would fail too. The mask
        # is written last: if it exists, the other files of the image do too.
        probability = maps[..., 0]
        mask = probability >= options.threshold
        if options.probability:
            with atomic_write(options.out / f"{path.stem}_probability.tif") as temporary:
                tifffile.imwrite(temporary, probability, compression="zlib")
        nuclei = mask
        if options.instances:
            nuclei = instances.separate(maps, options.threshold)
            _write_nuclei(options.out, path.stem, nuclei, image)
        if options.overlay:
            from .prediction.overlay import outline

            write_png(options.out / f"{path.stem}_overlay.png", outline(image, nuclei))
        write_png(options.out / f"{path.stem}_mask.png", mask.astype("uint8") * 255)
    print(f"{len(images) - failures} of {len(images)} masks written to {options.out}.")
    return failures


def _write_nuclei(out, stem, labels, image):
    """Write the labels, outlines and measures of the nuclei of an image."""
    import tifffile

    from .prediction import measures, outlines

    rows = measures.measure(labels, image)
    kind = "uint16" if labels.max() < 2**16 else "uint32"
    with atomic_write(out / f"{stem}_labels.tif") as temporary:
        tifffile.imwrite(temporary, labels.astype(kind), compression="zlib")
    with atomic_write(out / f"{stem}.geojson") as temporary:
        temporary.write_text(outlines.geojson(labels, rows), encoding="utf-8")
    with atomic_write(out / f"{stem}.csv") as temporary:
        measures.write_table(temporary, rows)


def _check_outputs(images, out):
    """Raise an InputError if a result would overwrite a file, or `out` cannot be written to."""
    stems, inputs = {}, {path.resolve() for path in images}
    for path in images:
        other = stems.setdefault(path.stem.lower(), path)  # some file systems ignore case
        if other is not path:
            raise InputError(
                f"{other} and {path} would both be written to {out / path.stem}_mask.png: "
                "rename one, or predict them into two folders."
            )
        for ending in ("mask.png", "overlay.png", "probability.tif", "labels.tif"):
            if (result := out / f"{path.stem}_{ending}").resolve() in inputs:
                raise InputError(
                    f"{result} is one of the images and would be overwritten by a result of "
                    f"{path}: choose another folder for --out."
                )
    with explain_write_errors(out):
        nearest = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        raise InputError(f"{nearest} is a file or cannot be written to: choose another --out.")


def _evaluate(options):
    if options.json and options.json.is_dir():  # check before minutes of work
        raise InputError(f"{options.json} is a folder: choose a file in it for the report.")
    from . import evaluation
    from .data import monuseg
    from .prediction import engines

    samples = monuseg.load(options.split, options.data)
    report = evaluation.evaluate(engines.load(options.model, options.engine), samples)
    data = monuseg.source(samples)
    report = {"data": data, "split": options.split, **report, "model": options.model}
    print(
        f"{options.model} on {data}, {options.split}, {len(samples)} images: "
        f"whole, threshold {report['threshold']}, no test-time augmentation, "
        f"engine {report['engine']}"
    )
    print(evaluation.table(report))
    if options.json:
        evaluation.save_report(options.json, report)
    return 0


def _parser():
    parser = argparse.ArgumentParser("python -m nuclei", description="Segment nuclei in tissue.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    model = {"metavar": "MODEL", "help": "a folder in models/, such as unet, or its path"}

    text = "Download MoNuSeg (CC BY-NC-SA 4.0), verify it and unpack it to data/MoNuSeg."
    command = commands.add_parser("download", help=text, description=text)
    command.set_defaults(command=_download)

    text = "Find the nuclei in H&E images, at 40x (about 0.25 um per pixel), and in whole slides."
    more = (
        " For each image <stem>.* it writes <stem>_mask.png: 255 in nuclei, 0 elsewhere. For a "
        "slide it writes <stem>.zarr (probabilities and labels, OME-NGFF), <stem>.geojson, "
        "<stem>.parquet and, at the end, <stem>.json; after an interruption the same command "
        "continues."
    )
    command = commands.add_parser("predict", help=text, description=text + more)
    command.set_defaults(command=_predict)
    command.add_argument("model", **model)
    text = "8-bit colour PNG, TIFF or JPEG, a slide that OpenSlide opens or a pyramidal TIFF, or a "
    text += "folder with such files directly in it"
    command.add_argument("image", metavar="IMAGE", type=expand, nargs="+", help=text)
    command.add_argument("--out", metavar="DIR", type=expand, required=True, help="results folder")
    text = "also write <stem>_probability.tif: float32, 0 to 1"
    command.add_argument("--probability", action="store_true", help=text)
    text = "also write <stem>_overlay.png: the image with nuclei outlined"
    command.add_argument("--overlay", action="store_true", help=text)
    text = "also separate touching nuclei and write <stem>_labels.tif (0, 1..N), "
    text += "<stem>.geojson (outlines, for QuPath) and <stem>.csv (area, shape, stain)"
    command.add_argument("--instances", action="store_true", help=text)
    text = "test-time augmentation: average over 8 flips and quarter turns, 8 times as slow"
    command.add_argument("--augment", action="store_true", help=text)
    text = "a pixel is in a nucleus from this probability up (default: %(default)s)"
    command.add_argument("--threshold", metavar="P", type=probability, default=0.5, help=text)
    text = "what runs the network: Keras, or OpenVINO in float32 or int8, which is faster on CPUs "
    text += "(default: %(default)s: Keras on a GPU, else int8 if the model has it, else openvino)"
    command.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help=text)
    text = "micrometres per pixel of a slide, if the file lacks them or is wrong"
    command.add_argument("--mpp", metavar="UM", type=positive(float), help=text)
    text = "number of processes for a slide, which share the cores (default: %(default)s)"
    command.add_argument("--workers", metavar="N", type=positive(int), default=1, help=text)
    text = "address of a Dask scheduler whose workers predict slides, e.g. tcp://10.0.0.1:8786"
    command.add_argument("--scheduler", metavar="ADDRESS", help=text)

    text = "Score a model on whole images of MoNuSeg."
    command = commands.add_parser("evaluate", help=text, description=text)
    command.set_defaults(command=_evaluate)
    command.add_argument("model", **model)
    text = "folder of MoNuSeg (default: $MONUSEG_DIR, else data/MoNuSeg, else synthetic tissue)"
    command.add_argument("--data", metavar="DIR", type=expand, help=text)
    text = "images to score (default: %(default)s)"
    command.add_argument("--split", choices=("test", "val"), default="test", help=text)
    text = "what runs the network, as for predict (default: %(default)s, the reference)"
    command.add_argument("--engine", choices=ENGINES, default="keras", help=text)
    command.add_argument("--json", metavar="FILE", type=expand, help="also write the scores here")
    return parser


def probability(text):
    """Parse a number from 0 to 1; argparse shows the name of this function in its errors."""
    if 0 <= float(text) <= 1:
        return float(text)
    raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")


def positive(kind):
    """Return a function that parses positive numbers; `kind` is int or float."""

    def number(text):
        if 0 < kind(text) < float("inf"):
            return kind(text)
        raise argparse.ArgumentTypeError(f"{text} is not above 0")

    return number


if __name__ == "__main__":
    sys.exit(main())
