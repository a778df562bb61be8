"""Command line: `python -m nuclei download | predict | check | evaluate | export`.

Exit codes: 0 success, 1 something failed and a sentence says what, 2 wrong command line (argparse),
130 interrupted. Results go to standard output, progress and errors to standard error. If a reader
leaves, as in `| head`, the run goes on and the exit code stays that of the work.
"""

import argparse
import logging
import os
import sys
import warnings

from .allocator import share_memory
from .errors import InputError
from .streams import check_output, steady_streams

# The commands are imported within `main`, so that Ctrl+C meets no traceback meanwhile. They import
# Keras after all checks that do not need it: it takes seconds, and --help or a mistake in the
# command should not have to wait for it.


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
        share_memory()
        os.environ.setdefault("PYTHONSAFEPATH", "1")  # of workers: see nuclei/__init__.py
    try:
        options = _parser().parse_args(arguments)
        with warnings.catch_warnings(action="ignore"):  # meant for developers
            code = options.command(options)
        check_output()
        return code
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # of what Zarr leaves undone
        text = "all files written so far are complete; run the same command again to continue."
        print(f"Interrupted: {text}", file=sys.stderr)
        return 130


def _download(options):
    from .data.download import download

    download()
    return 0


def _parser():
    from .commands import check, evaluate, export, predict

    parser = argparse.ArgumentParser("python -m nuclei", description="Segment nuclei in tissue.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    model = {"metavar": "MODEL", "help": "a folder in models/, such as unet, or its path"}
    models = model | {"help": f"{model['help']}; or several, joined by +, which predict together"}

    text = "Download MoNuSeg (CC BY-NC-SA 4.0), verify it and unpack it to data/MoNuSeg."
    command = commands.add_parser("download", help=text, description=text)
    command.set_defaults(command=_download)

    predict.add(commands, models)
    check.add(commands)
    evaluate.add(commands, models)
    export.add(commands, model)
    return parser


if __name__ == "__main__":
    sys.exit(main())
