"""Time what the page of `make app` does from an upload to the outlines, and when a slider moves.

    python benchmarks/page.py [--sides 1000 2000 4000]

Both CPU seconds, which other programs on the machine change little, and seconds are printed.
"""

import argparse
import io
import time

import numpy as np
import tifffile

from nuclei.app import picture
from nuclei.app.work import Work, read
from nuclei.commands.predict import whole
from nuclei.data import synthetic
from nuclei.errors import run_script
from nuclei.prediction import engines
from nuclei.prediction.image import predict_maps


def main():
    """Time images of each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=whole, nargs="+", default=[1000, 2000, 4000])
    sides = parser.parse_args().sides
    tissue = synthetic.tissue(3)[0]
    engine = engines.load("unet_instances")
    predict_maps(engine, tissue[:64, :64])  # the first call prepares the network
    print(f"{'pixels':>12} {'MB':>4} {'step':12} {'CPU s':>6} {'s':>6}")
    for side in sides:
        time_image(engine, np.resize(tissue, (side, *tissue.shape[1:])), side)


def time_image(engine, rows, side):
    """Print the seconds of each step for an image of `side` x `side` pixels."""
    file = io.BytesIO()
    tifffile.imwrite(file, np.tile(rows, (1, -(-side // rows.shape[1]), 1))[:, :side])
    content, before = file.getvalue(), (time.process_time(), time.monotonic())

    def clock(step, since=None):
        cpu, wall = since or before
        print(
            f"{side:5} x {side:4} {len(content) / 1e6:4.0f} {step:12} "
            f"{time.process_time() - cpu:6.2f} {time.monotonic() - wall:6.2f}"
        )
        return time.process_time(), time.monotonic()

    image, mpp = read("image.tif", content)
    now = clock("read")
    maps = predict_maps(engine, image, mpp)
    now = clock("network", now)
    work = Work("image.tif", maps)
    now = clock("nuclei", now)
    picture.photograph(image)
    picture.layer(work)
    clock("pictures", now)
    now = clock("in all")
    picture.layer(work.at(0.6, work.min_score))
    clock("slider", now)


if __name__ == "__main__":
    run_script(main)
