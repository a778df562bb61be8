"""What the tests of the command line share."""

import numpy as np
from PIL import Image

from nuclei.__main__ import main

NUCLEUS, TISSUE = (200, 90, 160), (100, 90, 160)


def save(path, pixels, **options):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def read(path):
    return np.asarray(Image.open(path))


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def run(capsys, *arguments):
    """Exit code, standard output and standard error of a command."""
    capsys.readouterr()
    code = main(arguments)
    return code, *capsys.readouterr()


def predict(capsys, *arguments, out="out"):
    return run(capsys, "predict", "unet", *arguments, "--out", str(out))
