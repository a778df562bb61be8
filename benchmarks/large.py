"""Large plain images: the memory that `predict` takes for each, or its refusal.

    python benchmarks/large.py [--side 12000] [--model unet_instances]

The images are glass with 1500 x 1500 pixels of synthetic tissue in a corner, as PNG, JPEG and TIFF
in strips. Writing them takes four bytes for each pixel.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from load import run
from PIL import Image

from nuclei import modelfiles
from nuclei.commands.predict import whole
from nuclei.data import synthetic
from nuclei.errors import run_script


def main():
    """Write the images, and predict each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=whole, default=12_000, help="pixels (default: %(default)s)")
    parser.add_argument("--model", default="unet_instances", help="default: %(default)s")
    options = parser.parse_args()
    modelfiles.find(options.model)  # before minutes of work
    image = np.full((options.side, options.side, 3), 243, np.uint8)
    tissue = np.tile(synthetic.tissue(1, (500, 500))[0], (3, 3, 1))
    image[:1500, :1500] = tissue[: options.side, : options.side]
    with tempfile.TemporaryDirectory() as folder:
        folder, compressed = Path(folder), {"compression": "zlib", "photometric": "rgb"}
        Image.fromarray(image).save(folder / "png.png", compress_level=1)
        Image.fromarray(image).save(folder / "jpeg.jpg", quality=85)
        Image.fromarray(image).save(folder / "progressive.jpg", quality=85, progressive=True)
        tifffile.imwrite(folder / "strips.tif", image, rowsperstrip=16, **compressed)
        del image
        for path in sorted(folder.glob("*.*")):
            words = (options.model, str(path), "--out", str(folder / "out"), "--mpp", "0.25")
            code, (outcome,), samples = run(words, folder / "report.json")
            most = max(used for _, used in samples) / 1e9
            said = outcome["reason"] or outcome["state"]
            print(f"{path.name}: exit code {code}, at most {most:.2f} GB: {said}")


if __name__ == "__main__":
    run_script(main)
