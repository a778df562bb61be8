"""What the resolution of an image is worth: MoNuSeg at half its resolution, with and without it.

    python experiments/resolution.py [--models unet unet_instances]

The validation images are reduced to 0.5 um per pixel and predicted twice: as if they had 0.25 um,
as images that say nothing are, and with `mpp=0.5`. Prints the mean Dice with the reduced mask, and
the median area of nuclei in um2 beside that of the annotated ones. The test images are not read.
"""

import argparse

import numpy as np
from PIL import Image

from nuclei import modelzoo
from nuclei.data import monuseg
from nuclei.errors import run_script
from nuclei.images.resolution import MPP
from nuclei.prediction.image import predict_image
from nuclei.scores import pixels


def halve(sample):
    """Return image and mask at half the resolution."""
    size = [length // 2 for length in sample.mask.shape[::-1]]
    image = np.asarray(Image.fromarray(sample.image).resize(size, Image.Resampling.BOX))
    share = Image.fromarray(sample.mask.astype(np.float32)).resize(size, Image.Resampling.BOX)
    return image, np.asarray(share) >= 0.5


def median_area(labels, mpp):
    """Median area of the nuclei in um2."""
    areas = np.bincount(labels.ravel())[1:]
    return np.median(areas[areas > 0]) * mpp**2


def main():
    """Print a line for each model and way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=["unet", "unet_instances"])
    options = parser.parse_args()
    samples = monuseg.load("val")
    halves = [halve(sample) for sample in samples]
    annotated = np.mean([median_area(sample.labels, MPP) for sample in samples])
    print(f"annotated: median area {annotated:.1f} um2")
    for name in options.models:
        model = modelzoo.load(name)
        ways = {
            "at 0.25 um": [(one.image, one.mask, None) for one in samples],
            "at 0.5 um, not said": [(image, mask, None) for image, mask in halves],
            "at 0.5 um, mpp=0.5": [(image, mask, 0.5) for image, mask in halves],
        }
        for way, images in ways.items():
            scores, areas = [], []
            for image, mask, mpp in images:
                found = predict_image(model, image, mpp)
                scores.append(pixels.confusion(found.mask, mask).scores().dice)
                areas.append(median_area(found.labels, found.mpp))
            print(f"{name} {way}: Dice {np.mean(scores):.3f}, median area {np.mean(areas):.1f} um2")


if __name__ == "__main__":
    run_script(main)
