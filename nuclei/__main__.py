"""Command line: `python -m nuclei download | predict | check | evaluate`.

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
from .commands import check, evaluate
from .errors import InputError, SlideError
from .images import read_rgb, write_png
from .quiet import check_output, silence_native_stderr, steady_streams

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
    from .prediction.h5ad import check_installed
    from .slides.files import find
    from .slides.readers import is_slide

    paths = find(options.image)
    _check_outputs(paths, options.out)
    slides = [path for path in paths if is_slide(path)]
    if options.anndata:
        check_installed()
        if len(slides) < len(paths) and not options.instances:
            raise InputError("--anndata holds separate nuclei: add --instances.")
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
    from .slides import annotated, predict

    try:
        report = predict.predict(
            options.model,
            path,
            options.out,
            mpp=options.mpp,
            threshold=options.threshold,
            augment=options.augment,
            measures=options.measures,
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
    if options.anndata:
        annotated.write(results)
    return bool(report.problems)


def _predict_images(options, images):
    """Find the nuclei of images that fit into memory; return how many could not be read."""
    import tifffile

    from .prediction import instances, results, windows
    from .prediction.overlay import outline

    model, failures = _load(options.model), 0
    nested = sys.stderr.isatty()  # nested bars need a terminal
    for path in tqdm(images, desc="Predicting", unit="image"):
        try:
            image = read_rgb(path)
            maps = windows.predict_maps(model, image, augment=options.augment, progress=nested)
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
            settings = _settings(options, path) if options.anndata else None
            stem = os.path.join(options.out, path.stem)
            results.write(stem, nuclei, image, options.measures, settings)
        if options.overlay:
            write_png(options.out / f"{path.stem}_overlay.png", outline(image, nuclei))
        write_png(options.out / f"{path.stem}_mask.png", mask.astype("uint8") * 255)
    print(f"{len(images) - failures} of {len(images)} masks written to {options.out}.")
    return failures


def _settings(options, path):
    """How the nuclei of an image are found, for its AnnData file."""
    names = "model", "threshold", "augment", "measures"
    return {"image": path.name, **{name: getattr(options, name) for name in names}}


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


def _load(name):
    with silence_native_stderr():
        from . import modelzoo
    return modelzoo.load(name)


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
    text = "measures of each nucleus in these files, and in those of slides (default: %(default)s)"
    command.add_argument("--measures", choices=("basic", "all"), default="basic", help=text)
    text = "also write <stem>.h5ad with the measures, for scverse; needs the package anndata"
    command.add_argument("--anndata", action="store_true", help=text)
    text = "test-time augmentation: average over 8 flips and quarter turns, 8 times as slow"
    command.add_argument("--augment", action="store_true", help=text)
    text = "a pixel is in a nucleus from this probability up (default: %(default)s)"
    command.add_argument("--threshold", metavar="P", type=probability, default=0.5, help=text)
    text = "micrometres per pixel of a slide, if the file lacks them or is wrong"
    command.add_argument("--mpp", metavar="UM", type=positive(float), help=text)
    text = "number of processes for a slide, which share the cores (default: %(default)s)"
    command.add_argument("--workers", metavar="N", type=positive(int), default=1, help=text)
    text = "address of a Dask scheduler whose workers predict slides, e.g. tcp://10.0.0.1:8786"
    command.add_argument("--scheduler", metavar="ADDRESS", help=text)

    check.add(commands)
    evaluate.add(commands, model)
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
