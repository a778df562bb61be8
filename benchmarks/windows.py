"""Compare the time to predict a whole image with a bare forward pass over the same pixels.

    python benchmarks/windows.py [--width 32] [--repeats 5]

The network is a UNet with random weights, which take as long as trained ones.
"""

import argparse
from time import perf_counter

import numpy as np

from nuclei.commands.predict import whole
from nuclei.errors import run_script
from nuclei.networks import unet
from nuclei.prediction import windows

SIDE = 1000


def main():
    """Time both alternately, so that a busy machine slows both, and compare the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    text = "channels of the UNet's first stage (default: %(default)s)"
    parser.add_argument("--width", type=whole, default=32, help=text)
    parser.add_argument("--repeats", type=whole, default=5, help="default: %(default)s")
    arguments = parser.parse_args()

    model = unet(width=arguments.width)
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    # The UNet needs multiples of 16, so the 1000 x 1000 pixels are padded to 1008 x 1008.
    pixels = np.pad(image, ((0, -SIDE % 16), (0, -SIDE % 16), (0, 0)), mode="reflect")[None]
    ways = {
        "bare forward pass": lambda: model.predict_on_batch(pixels),
        "windows.predict": lambda: windows.predict(model, image),
    }
    seconds = {name: [] for name in ways}
    for run in ways.values():
        run()  # compile
    for _ in range(arguments.repeats):
        for name, run in ways.items():
            start = perf_counter()
            run()
            seconds[name].append(perf_counter() - start)

    bare, windowed = (np.median(times) for times in seconds.values())
    print(f"{SIDE} x {SIDE} pixels, {model.count_params():,} parameters:")
    for name, times in seconds.items():
        print(f"  {name}: {np.median(times):.3f} s")
    print(f"  overhead: {100 * (windowed / bare - 1):+.0f}%  (at most +25%)")


if __name__ == "__main__":
    run_script(main)
