"""Commands of `python -m nuclei` that are longer than a page: their arguments and their output."""

import argparse

from ..atomic import expand


def parse_path(text):
    """Parse a path, see `atomic.expand`; an empty one would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty: set the variable that it comes from")
    return expand(text)
