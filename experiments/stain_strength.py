"""How strong the stain of MoNuSeg's images is, and what paler and darker images cost a network.

    python experiments/stain_strength.py [--models unet_instances ...] [--figure FILE]

Prints the strength of each image of train and val, from which the range in
`nuclei.prediction.stain_strength` comes. Then, for each model, the mean Dice and AJI of the 6
validation images at several optical densities: as they are, and brought into that range. The test
images are not read. The models are all that were trained on MoNuSeg, by OpenVINO in float32.
`--figure` also draws what the last model finds in the palest of them, at 0.35 of its density.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from nuclei import modelzoo, outputs
from nuclei.data import monuseg
from nuclei.errors import run_script
from nuclei.figures import matches
from nuclei.figures.style import figure_style, save_figure
from nuclei.images.resolution import MPP
from nuclei.prediction import artefacts, engines, instances, stain_strength, windows
from nuclei.prediction.image import predict_image
from nuclei.scores import pixels
from nuclei.scores.objects import object_scores

DENSITIES = 0.25, 0.35, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0


def strengths(samples):
    """The strength of each image, sorted."""
    small = [artefacts.shrunk(sample.image, MPP, artefacts.GLASS_MPP) for sample in samples]
    return np.sort([stain_strength.strength(image) for image in small])


def as_it_is(engine, image):
    """The mask and the labels of an image whose stain is not changed."""
    maps = windows.predict_maps(engine, image)
    return maps[..., 0] >= 0.5, instances.separate(maps)[0]


def within_range(engine, image):
    """The mask and the labels that users get."""
    found = predict_image(engine, image)
    return found.mask, found.labels


WAYS = {"as it is": as_it_is, "within the range": within_range}


def score(sample, mask, labels):
    """Dice and AJI of a sample."""
    dice = pixels.confusion(mask, sample.mask).scores().dice
    return dice, object_scores(labels, sample.labels).aji


@figure_style()
def draw(engine, model, samples):
    """Show the nuclei found in the palest image, made paler: as it is, and within the range."""
    sample = min(samples, key=lambda sample: strengths([sample])[0])
    image = stain_strength.multiplied(sample.image, 0.35)
    figure = Figure(figsize=(8, 4.9))
    figure.suptitle(f"{model}, {sample.organ} at 0.35 times its optical density")
    for axis, (title, found) in zip(figure.subplots(1, 2), WAYS.items(), strict=True):
        _, labels = found(engine, image)
        matches.show(axis, image, labels, sample.labels, title, crop=400)
    matches.explain(figure)
    return figure


def main():
    """Print the strengths, and the scores of the models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=outputs.models_of())
    parser.add_argument("--figure", metavar="FILE", type=Path)
    options = parser.parse_args()
    samples = {split: monuseg.load(split) for split in ("train", "val")}
    for split, images in samples.items():
        print(f"{split}: {' '.join(f'{value:.2f}' for value in strengths(images))}")
    for model in options.models:
        engine = engines.load(modelzoo.find(model), "openvino")
        print(f"{model}: Dice, AJI as they are, and within the range")
        for density in tqdm(DENSITIES, desc=model, leave=False):
            found = [
                [score(sample, *found(engine, image)) for found in WAYS.values()]
                for sample in samples["val"]
                for image in [stain_strength.multiplied(sample.image, density)]
            ]
            before, after = np.mean(found, axis=0)
            row = "   ".join("{:.3f}, {:.3f}".format(*scores) for scores in (before, after))
            tqdm.write(f"  {density:4} times the density: {row}")
    if options.figure:
        save_figure(draw(engine, model, samples["val"]), options.figure)


if __name__ == "__main__":
    run_script(main)
