"""The command `evaluate`: scores of one or two models on annotated images."""

import re
import sys

from ..atomic import explain_write_errors
from ..errors import InputError, counted
from ..prediction.engines import AUTO, ENGINES
from . import destination, parse_path

OURS = {
    "json": rb'{\n "(data|reports)": ',
    "csv": rb"model,name,",
    "figure": rb"(?s)\x89PNG.*Software\0nuclei",
}
"""How results begin, by the option that names them; figures as `save_figure` writes them."""

FEW = 6
"""With fewer images, the Wilcoxon test of `paired_test` gives no p below 0.05."""


def add(commands, model):
    """Add the command to those of argparse; `model` describes the argument of a model."""
    text = "Score a model, or two on the same images, on whole annotated images."
    more = " With two models, the second is compared with the first, image by image."
    command = commands.add_parser("evaluate", help=text, description=text + more)
    command.set_defaults(command=run)
    command.add_argument("model", **model)
    text = "another model, to be compared with the first"
    command.add_argument("second", metavar="MODEL2", nargs="?", help=text)
    text = "folder of annotated images, see docs/own_data.md, or of MoNuSeg (default: MoNuSeg in "
    text += "$MONUSEG_DIR, else in data/MoNuSeg, else synthetic tissue)"
    command.add_argument("--data", metavar="FOLDER", type=parse_path, help=text)
    text = "images to score; all: all images of a folder other than MoNuSeg (default: %(default)s)"
    command.add_argument("--split", choices=("test", "val", "all"), default="test", help=text)
    text = "imitate tissue of another laboratory: alter the images before they are predicted"
    # The keys of `alterations.ALTERATIONS`, which is not imported here because it loads OpenCV.
    command.add_argument("--alter", choices=("pale", "dark", "blurred", "jpeg"), help=text)
    text = "test-time augmentation of whole images, as for predict: 8 times as slow"
    command.add_argument("--augment", action="store_true", help=text)
    text = "what runs the network, as for predict (default: %(default)s, the reference)"
    command.add_argument("--engine", choices=(AUTO, *ENGINES), default="keras", help=text)
    text = "also write the scores here, for each image and as a whole"
    command.add_argument("--json", metavar="FILE", type=parse_path, help=text)
    text = "also write a table here, with a row for each image and model"
    command.add_argument("--csv", metavar="FILE", type=parse_path, help=text)
    text = "also draw the three images with the lowest Dice of the first model here, as PNG"
    command.add_argument("--figure", metavar="FILE", type=parse_path, help=text)


def run(options):
    """Score models; return the exit code."""
    _check_results(options)  # before minutes of work
    from .. import evaluation
    from ..data import alterations, loading, seen
    from ..prediction import engines

    names = [name for name in (options.model, options.second) if name]
    chosen = [engines.choose(name, options.engine) for name in names]
    data = loading.source(options.data)
    if options.split == "all" and loading.is_monuseg(options.data):
        raise InputError(f"--split all is for a folder of your own, not {data}: use test or val.")
    samples = loading.load(options.data, options.split)
    count = counted(len(samples), "image")
    for name in names:
        if known := [*seen.among(seen.read(name), samples)]:
            print(
                f"{name} was trained on {len(known)} of these images, such as {known[0]}: its "
                "scores on them say nothing about new tissue.",
                file=sys.stderr,
            )
    if options.alter:
        samples = alterations.altered(samples, options.alter)
        count += f", {options.alter}"
    models = [engines.load(*one) for one in zip(names, chosen, strict=True)]
    reports = []
    asked = {"data": data, "split": options.split}
    asked |= {"altered": options.alter, "augment": options.augment}
    for name, model in zip(names, models, strict=True):
        report = evaluation.evaluate(model, samples, augment=options.augment)
        reports.append({**asked, **report, "model": name})
        print(
            f"{name} on {data}, {options.split}, {count}: "
            f"whole, threshold {report['threshold']}, "
            f"{'with' if options.augment else 'no'} test-time augmentation, "
            f"engine {report['engine']}"
        )
        print(evaluation.table(report))
    results = reports[0]
    if len(reports) == 2:
        differences = evaluation.compare(*reports)
        results = {"reports": reports, "differences": differences}
        print(f"\n{names[1]} against {names[0]}, paired by image: mean difference in each score")
        print(evaluation.comparison_table(differences, len(samples)))
    if len(samples) < FEW:
        what = "intervals are too narrow" if len(samples) > 1 else "there is no interval"
        print(
            f"Of {counted(len(samples), 'image')}, {what}, and no difference can have a p below "
            f"0.05: score at least {FEW} images."
        )
    if data == "synthetic tissue":
        print(
            "These images are synthetic: no score here can be compared with those of real tissue, "
            "such as the README's."
        )
    if options.json:
        evaluation.save_report(options.json, results)
    if options.csv:
        evaluation.save_csv(options.csv, reports)
    if options.figure:
        from ..figures.style import save_figure
        from ..figures.tissue import worst

        title = f"{names[0]} on {data}"
        figure = worst(models[0], samples, reports[0], title, augment=options.augment)
        save_figure(figure, options.figure)
    return 0


def _check_results(options):
    """Raise an InputError if results cannot be written, or would replace other files."""
    files = {option: path for option in OURS if (path := getattr(options, option))}
    for option, path in files.items():
        destination.check_file(path, [files[other] for other in files if other != option], option)
        if option == "figure" and path.suffix.lower() != ".png":
            raise InputError(f"{path} should end in .png, as figures do: correct --figure.")
        if path.is_file() and not _is_ours(path, option):
            raise InputError(
                f"{path} is no earlier result of evaluate and would be replaced: choose another "
                f"name for --{option}."
            )


def _is_ours(path, option):
    """Whether a file begins as a result does, or is empty."""
    with explain_write_errors(path), open(path, "rb") as file:
        begin = file.read(100)
    return not begin or re.match(OURS[option], begin)
