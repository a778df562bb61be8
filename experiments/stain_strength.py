"""How strong the stain of MoNuSeg's images is, and what paler and darker images cost a network.

    python experiments/stain_strength.py [--models unet_instances ...]

Prints the strength of each image of train and val, from which the range in
`nuclei.prediction.stain_strength` comes. Then, for each model, the mean Dice and AJI of the 6
validation images at several optical densities: as they are, and brought into that range. The test
images are not read. The models are all that were trained on MoNuSeg, by OpenVINO in float32.
"""

import argparse

import numpy as np
from tqdm import tqdm

from nuclei import modelzoo, outputs
from nuclei.data import monuseg
from nuclei.errors import run_script
from nuclei.images.resolution import MPP
from nuclei.prediction import artefacts, engines, instances, stain_strength, windows
from nuclei.scores import pixels
from nuclei.scores.objects import object_scores

DENSITIES = 0.25, 0.35, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0


def strengths(samples):
    """The strength of each image, sorted."""
    small = [artefacts.shrunk(sample.image, MPP, artefacts.GLASS_MPP) for sample in samples]
    return np.sort([stain_strength.strength(image) for image in small])


def score(engine, sample, image, as_it_is):
    """Dice and AJI of a sample, predicted from another image of it."""
    maps = windows.predict_maps(engine, image, as_it_is=as_it_is)
    dice = pixels.confusion(maps[..., 0] >= 0.5, sample.mask).scores().dice
    return dice, object_scores(instances.separate(maps)[0], sample.labels).aji


def main():
    """Print the strengths, and the scores of the models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=outputs.models_of())
    options = parser.parse_args()
    samples = {split: monuseg.load(split) for split in ("train", "val")}
    for split, images in samples.items():
        print(f"{split}: {' '.join(f'{value:.2f}' for value in strengths(images))}")
    for model in options.models:
        engine = engines.load(modelzoo.find(model), "openvino")
        print(f"{model}: Dice, AJI as they are, and within the range")
        for density in tqdm(DENSITIES, desc=model, leave=False):
            found = [
                [score(engine, sample, image, as_it_is) for as_it_is in (True, False)]
                for sample in samples["val"]
                for image in [stain_strength.multiplied(sample.image, density)]
            ]
            before, after = np.mean(found, axis=0)
            row = "   ".join("{:.3f}, {:.3f}".format(*scores) for scores in (before, after))
            tqdm.write(f"  {density:4} times the density: {row}")


if __name__ == "__main__":
    run_script(main)
