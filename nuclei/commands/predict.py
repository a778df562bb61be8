"""The command `predict`: the nuclei of images and slides."""

import argparse
import sys
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from ..errors import InputError, SlideError, counted
from ..images import name_of, read_mpp
from ..images.resolution import MPP, PLAUSIBLE, is_plausible
from ..prediction.confidence import MIN_SCORE
from ..prediction.engines import AUTO, ENGINES
from . import destination, parse_path
from .batch import DONE, INCOMPLETE, REFUSED, SKIPPED, Batch


def add(commands, model):
    """Add the command to those of argparse; `model` describes the argument of a model."""
    text = "Find the nuclei in H&E images and in whole slides."
    more = (
        " For each image <stem>.* it writes <stem>_mask.png: 255 in nuclei, 0 elsewhere. For a "
        "slide it writes <stem>.zarr (probabilities and labels, OME-NGFF), <stem>.geojson, "
        "<stem>.parquet and, at the end, <stem>.json; after an interruption the same command "
        "continues."
    )
    command = commands.add_parser("predict", help=text, description=text + more)
    command.set_defaults(command=run)
    command.add_argument("model", **model)
    text = "8-bit colour PNG, TIFF or JPEG, a slide that OpenSlide opens or a pyramidal TIFF, or a "
    text += "folder with such files directly in it"
    command.add_argument("image", metavar="IMAGE", type=parse_path, nargs="+", help=text)
    command.add_argument(
        "--out", metavar="DIR", type=parse_path, required=True, help="results folder"
    )
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
    text = "separate nuclei with a lower score are left out; 0 keeps all (default: %(default)s)"
    command.add_argument("--min-score", metavar="P", type=probability, default=MIN_SCORE, help=text)
    text = "what runs the network: Keras, or OpenVINO in float32 or int8, which is faster on CPUs "
    text += "(default: %(default)s: Keras on a GPU, else int8 if the model has it, else openvino)"
    command.add_argument("--engine", choices=(AUTO, *ENGINES), default=AUTO, help=text)
    text = "micrometres per pixel, if the file lacks them or is wrong; an image that does not say "
    text += "them is taken to have 0.25"
    command.add_argument("--mpp", metavar="UM", type=micrometres, help=text)
    text = "number of processes for a slide, which share the cores (default: %(default)s)"
    command.add_argument("--workers", metavar="N", type=whole, default=1, help=text)
    text = "address of a Dask scheduler whose workers predict slides, e.g. tcp://10.0.0.1:8786"
    command.add_argument("--scheduler", metavar="ADDRESS", help=text)
    text = "skip images whose results of an earlier run are there, unless the image, the model or "
    text += "an option has changed since; finished slides are skipped anyway"
    command.add_argument("--resume", action="store_true", help=text)
    text = "also write here what became of each file, for scripts"
    command.add_argument("--json", metavar="FILE", type=parse_path, help=text)


def run(options):
    """Predict images and slides; return the exit code."""
    from ..prediction.h5ad import check_installed
    from ..slides.files import find, left_out
    from ..slides.readers import is_slide

    unseen = left_out(options.image, options.out)
    try:
        paths = find(options.image)
    except InputError as error:  # that it is there, but left out, may be why nothing is found
        raise InputError(" ".join([str(error), *unseen])) from None
    destination.check(paths, options)
    slides = [path for path in paths if is_slide(path, options.mpp)]
    if options.anndata:
        check_installed()
        if len(slides) < len(paths) and not options.instances:
            raise InputError("--anndata holds separate nuclei: add --instances.")
    asked = [f"--{name}" for name in ("overlay", "probability") if getattr(options, name)]
    if slides and asked:
        print(
            f"{' and '.join(asked)} ignored for slides: {options.out / name_of(slides[0])}.zarr "
            "holds the probability and the nuclei of the slide.",
            file=sys.stderr,
        )
    shares = ["--workers"] * (options.workers > 1) + ["--scheduler"] * bool(options.scheduler)
    if shares and not slides:
        print(
            f"{' and '.join(shares)} ignored for images: only slides are shared among processes.",
            file=sys.stderr,
        )
    batch = Batch(paths)
    try:
        for path in slides:
            with batch.timed(path) as outcome:
                _predict_slide(options, path, outcome)
        if images := [path for path in paths if path not in slides]:
            _predict_images(options, images, batch)
    except BaseException:
        with suppress(InputError):  # what ended the run is said, and not this
            _report(options, batch)
        raise
    _report(options, batch)
    if len(paths) > 1:
        print(batch.summary())
    for sentence in unseen:
        print(sentence, file=sys.stderr)
    return 1 if batch.count(REFUSED) or batch.count(INCOMPLETE) else 0


def _report(options, batch):
    if options.json:
        batch.write(options.json)


def _predict_slide(options, path, outcome):
    """Find the nuclei of a whole slide."""
    from ..slides import h5ad, predict

    results = options.out / name_of(path)
    kinds = ("zarr", "geojson", "parquet", "json", *["h5ad"] * options.anndata)
    outputs = [Path(f"{results}.{kind}") for kind in kinds]
    finished = Path(f"{results}.json")
    before = _modified(finished)
    try:
        report = predict.predict(
            options.model,
            path,
            options.out,
            mpp=options.mpp,
            threshold=options.threshold,
            min_score=options.min_score,
            augment=options.augment,
            measures=options.measures,
            engine=options.engine,
            workers=options.workers,
            scheduler=options.scheduler,
        )
    except SlideError as error:  # continue with the next slide
        print(error, file=sys.stderr)
        outcome.end(REFUSED, reason=str(error))
        return
    for place, problem in report.problems.items():
        print(f"Left out: {place}: {problem}", file=sys.stderr)
    print(
        f"{counted(report.nuclei, 'nucleus', 'nuclei')} in {counted(report.tiles, 'tile')} written "
        f"to {results}.zarr, {results}.geojson and {results}.parquet."
    )
    there = before is not None and before == _modified(finished)
    # Analyses are saved into this file: it is replaced only with the nuclei that it is made of.
    if options.anndata and not (there and outputs[-1].exists()):
        h5ad.write(results)
    if report.problems:
        reason = f"{path} has {counted(len(report.problems), 'part')} that could not be read."
        outcome.end(INCOMPLETE, outputs, reason)
    else:
        outcome.end(SKIPPED if there else DONE, outputs)


def _modified(path):
    """When a file was last written, in nanoseconds; None if there is none."""
    return path.stat().st_mtime_ns if path.exists() else None


def _predict_images(options, images, batch):
    """Find the nuclei of images that fit into memory."""
    from ..prediction import engines, h5ad, results
    from ..prediction.image import predict_image

    name = engines.choose(options.model, options.engine)
    kinds = {kind: getattr(options, kind) for kind in ("probability", "overlay", "instances")}
    todo = _todo(options, images, batch, name, kinds)
    engine = engines.load(options.model, name) if todo else None
    nuclei = unstated = 0
    bar = tqdm(todo.items(), desc="Predicting", unit="image", disable=not todo)
    for path, (outputs, made_from) in bar:
        with batch.timed(path) as outcome:
            try:
                mpp = options.mpp or read_mpp(path)
                found = predict_image(
                    engine,
                    path,
                    mpp,
                    threshold=options.threshold,
                    min_score=options.min_score,
                    augment=options.augment,
                    progress=sys.stderr.isatty(),  # nested bars need a terminal
                )
                if reason := results.in_the_way(path, outputs):  # since the run began
                    raise InputError(reason)
            except InputError as error:
                tqdm.write(str(error), file=sys.stderr)
                outcome.end(REFUSED, reason=str(error))
                continue
            if mpp and not options.mpp:
                tqdm.write(f"{path} has {mpp:.4g} um per pixel, as its file says.")
            for notice in found.notices(path):
                tqdm.write(notice, file=sys.stderr)
            # A file that cannot be written ends the run, because the next file would fail too.
            results.write(
                found,
                options.out,
                name_of(path),
                choice=options.measures,
                settings=h5ad.summary(path, vars(options)) if options.anndata else None,
                record=made_from,
                **kinds,
            )
            outcome.end(DONE, outputs)
            nuclei += len(found.scores)
            unstated += mpp is None
    done, there = batch.count(DONE, images), batch.count(SKIPPED, images)
    more = f", with {counted(nuclei, 'nucleus', 'nuclei')}" * options.instances
    more += f"; {there} were there" if there else ""
    print(f"{done} of {len(images)} masks written to {options.out}{more}.")
    if unstated:
        print(
            f"Files that do not say their micrometres per pixel: {unstated}, taken to have {MPP} "
            "(40x). If they have others, give them with --mpp.",
            file=sys.stderr,
        )


def _todo(options, images, batch, engine, kinds):
    """For each image that is neither done nor refused: its results, and what they are made from."""
    from ..prediction import engines, results

    record = {"engine": engine, "weights": engines.fingerprint(options.model, engine)}
    chosen = "mpp", "threshold", "min_score", "augment", "measures"
    record |= {option: getattr(options, option) for option in chosen}
    todo = {}
    for path in images:
        outputs = results.paths(options.out, name_of(path), anndata=options.anndata, **kinds)
        made_from = {**record, "image": results.digest(path)}
        if options.resume and results.are_written(outputs, made_from):
            batch.outcomes[path].end(SKIPPED, outputs)
        elif reason := results.in_the_way(path, outputs):
            print(reason, file=sys.stderr)
            batch.outcomes[path].end(REFUSED, reason=reason)
        else:
            todo[path] = outputs, made_from
    return todo


def probability(text):
    """Parse a number from 0 to 1."""
    if 0 <= _number(text) <= 1:
        return float(text)
    raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")


def micrometres(text):
    """Parse a plausible number of micrometres per pixel."""
    if is_plausible(_number(text)):
        return float(text)
    low, high = PLAUSIBLE
    raise argparse.ArgumentTypeError(
        f"{text} um per pixel is not between {low:g} and {high:g}: a scan at 40x has 0.25"
    )


def _number(text):
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no number: write it as in 0.25") from None


def whole(text):
    """Parse a whole number above 0; argparse shows the name of this function in its errors."""
    if int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text} is not above 0")
