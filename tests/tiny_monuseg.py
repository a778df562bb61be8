"""A MoNuSeg of five small images."""

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 40, 48
FOLDERS = {
    "TCGA-18-5592-01Z-00-DX1": "Training",
    "TCGA-HE-7130-01Z-00-DX1": "Training",  # a validation patient
    "TCGA-A7-A13E-01Z-00-DX1": "Training",
    "TCGA-FG-A87N-01Z-00-DX1": "Training",  # one of the seven beyond the canonical 30
    "TCGA-HT-8564-01Z-00-DX1": "Test",
}


def tiny_images():
    """Five small images by TCGA name: folder, image, labels, and both as files of MoNuSeg."""
    return {name: tiny_image(seed, folder) for seed, (name, folder) in enumerate(FOLDERS.items())}


def published(tiny):
    """Path and bytes of each file, as in the archives of the challenge."""
    training, test = Path("MoNuSeg 2018 Training Data"), Path("MoNuSegTestData")
    files = {}
    for name, one in tiny.items():
        is_test = one.folder == "Test"
        files[(test if is_test else training / "Tissue Images") / f"{name}.tif"] = one.tiff
        files[(test if is_test else training / "Annotations") / f"{name}.xml"] = one.xml
    return files


def tiny_image(seed, folder):
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    labels = np.zeros((HEIGHT, WIDTH), np.int32)
    regions = ""
    for number, (top, left) in enumerate(generator.integers(2, 30, (3, 2)), start=1):
        labels[top : top + 6, left : left + 9] = number
        corners = [(left, top), (left + 8, top), (left + 8, top + 5), (left, top + 5)]
        vertices = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in corners)
        regions += f'<Region Id="{number}"><Vertices>{vertices}</Vertices></Region>'
    xml = f"<Annotations><Annotation><Regions>{regions}</Regions></Annotation></Annotations>"
    tiff = io.BytesIO()
    Image.fromarray(image).save(tiff, "TIFF", compression="tiff_lzw")
    return SimpleNamespace(
        folder=folder, image=image, labels=labels, tiff=tiff.getvalue(), xml=xml.encode()
    )
