"""The command `export`: a trained model in a format that other programs open."""

from ..export.formats import SUFFIXES
from . import parse_path


def add(commands, model):
    """Add the command to those of argparse; `model` describes the argument of a model."""
    text = "Write a model in a format that other programs open, and check it against Keras."
    command = commands.add_parser("export", help=text, description=text)
    command.set_defaults(command=run)
    command.add_argument("model", **model)
    text = "see docs/export.md"
    command.add_argument("--format", choices=tuple(SUFFIXES), required=True, help=text)
    text = "file to write, a folder for openvino (default: the model's name and the format's "
    text += "suffix, here)"
    command.add_argument("--out", metavar="PATH", type=parse_path, help=text)
    text = "SPDX name of the licence of the weights, for bioimageio; only for weights that were "
    text += "not trained on MoNuSeg and did not begin with weights that were"
    command.add_argument("--license", metavar="SPDX", help=text)


def run(options):
    """Export a model; return the exit code."""
    from ..export.write import export

    path, difference = export(options.model, options.format, options.out, options.license)
    print(f"{path}: differs from Keras by at most {difference:.1e} on a test image.")
    return 0
