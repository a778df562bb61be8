"""Compare the engines, and plain PyTorch where it is installed, in one interleaved run.

    python benchmarks/engines.py [--model unet] [--repeats 7] [--side 1056] [--image FILE]

Each round times every engine once, so that whatever else runs on the machine slows all of them
alike. Ratios are medians of the ratios within each round. The second part times
`nuclei predict unet_instances IMAGE --instances` from the start of Python to its end, with memory.
"""

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import plain_pytorch

from nuclei import ROOT, modelzoo
from nuclei.commands.predict import whole
from nuclei.data import monuseg
from nuclei.errors import InputError, run_script
from nuclei.images import write_png
from nuclei.prediction import engines

COMMAND = """
import sys
from nuclei.__main__ import main

code = main(sys.argv[1:])
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        print("peak", int(line.split()[1]) // 1000)
sys.exit(code)
"""
"""The command line, which then says its peak memory in MB, as Linux knows it."""


def pytorch(width, depth):
    """Build the UNet in plain PyTorch, with random weights; return what predicts a batch."""
    torch = importlib.import_module("torch")
    network = plain_pytorch.unet(width, depth).eval()

    def forward(batch):
        x = torch.from_numpy(np.float32(batch)).permute(0, 3, 1, 2)  # channels last in memory
        with torch.inference_mode():
            return torch.sigmoid(network(x)).permute(0, 2, 3, 1).numpy()

    return forward


def time_networks(name, side, repeats):
    """Print the seconds of one window for each engine, and the ratios."""
    ways = {engine: engines.load(name, engine).forward for engine in engines.ENGINES}
    config = modelzoo.read_config(modelzoo.find(name))
    if config["network"] != "unet":
        print("plain PyTorch: only compared for a UNet")
    elif find_spec("torch"):
        arguments = {key: config["arguments"][key] for key in ("width", "depth")}
        ways["plain PyTorch"] = pytorch(**arguments)
    else:
        print("plain PyTorch: not installed, so not compared")
    batch = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
    wall, work = ({way: [] for way in ways} for _ in range(2))
    for repeat in range(repeats + 1):
        for way, forward in ways.items():
            began, cpu = time.perf_counter(), time.process_time()
            forward(batch)
            if repeat:  # the first round compiles
                wall[way].append(time.perf_counter() - began)
                work[way].append(time.process_time() - cpu)
    print(f"{name}, one window of {side} x {side}, median of {repeats}:")
    for way in ways:
        ratios = [np.median(np.divide(x[way], x["openvino-int8"])) for x in (wall, work)]
        print(
            f"  {way:14} {np.median(wall[way]):6.3f} s, {np.median(work[way]):6.3f} CPU s; "
            f"int8 is {ratios[0]:.2f} times as fast, with {ratios[1]:.2f} times less CPU time"
        )


def time_commands(repeats, path):
    """Print the seconds and memory of the command for one image, engine by engine."""
    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            path = Path(folder) / "image.png"
            write_png(path, monuseg.load("val")[0].image)
        words = ["predict", "unet_instances", str(path), "--instances", "--out", folder]
        command = [sys.executable, "-c", COMMAND, *words, "--engine"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
        wall, work, memory = ({engine: [] for engine in engines.ENGINES} for _ in range(3))
        for _ in range(repeats):
            for engine in engines.ENGINES:
                began, cpu = time.perf_counter(), os.times()
                done = subprocess.run(
                    [*command, engine], env=environment, capture_output=True, text=True
                )
                if done.returncode:
                    raise InputError(done.stderr.strip().rpartition("\n")[2])
                wall[engine].append(time.perf_counter() - began)
                spent = os.times()
                work[engine].append(sum(spent[2:4]) - sum(cpu[2:4]))
                memory[engine].append(int(done.stdout.split()[-1]))
    print(f"nuclei {' '.join(words[:2])} {path.name} --instances, median of {repeats}:")
    for engine in engines.ENGINES:
        print(
            f"  {engine:14} {np.median(wall[engine]):6.2f} s, {np.median(work[engine]):6.2f} CPU s,"
            f" {np.median(memory[engine]):5.0f} MB"
        )


def main():
    """Time the networks, then the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="unet", help="default: %(default)s")
    parser.add_argument("--side", type=whole, default=1056, help="pixels (default: %(default)s)")
    parser.add_argument("--repeats", type=whole, default=7, help="rounds (default: %(default)s)")
    parser.add_argument("--image", type=Path, help="for the command (default: one of MoNuSeg)")
    options = parser.parse_args()
    time_networks(options.model, options.side, options.repeats)
    time_commands(options.repeats, options.image)


if __name__ == "__main__":
    run_script(main)
