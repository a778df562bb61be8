"""Find, check and load MoNuSeg; patients, organs and the validation split.

MoNuSeg: 1000 x 1000 H&E images at 40x from TCGA, one patient each, every nucleus outlined.
Kumar et al., IEEE TMI 36(7), 2017 (training) and IEEE TMI 39(5), 2020 (challenge and test).
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import ROOT, annotations, layouts, synthetic
from .files import InputError, read_grey, read_rgb

FOLDER = ROOT / "data" / "MoNuSeg"
"""Where `python -m nuclei download` puts the data set."""

TRAINING_PATIENTS = {
    "breast": "A7-A13E A7-A13F AR-A1AK AR-A1AS E2-A14V E2-A1B5",
    "kidney": "B0-5698 B0-5710 B0-5711 HE-7128 HE-7129 HE-7130",
    # The paper of 2017 calls these six liver; by their TCGA projects they are lung.
    "lung": "18-5592 21-5784 21-5786 38-6178 49-4488 50-5931",
    "prostate": "CH-5767 G9-6336 G9-6348 G9-6356 G9-6362 G9-6363",
    "bladder": "DK-A2I6 G2-A2EK",
    "colon": "AY-A8YK NH-A8F7",
    "stomach": "KB-A93J RD-A8N9",
}
# In the training archive of today, but not in the data set of the papers; organs by TCGA project.
EXTRA_PATIENTS = {
    "brain": "FG-A87N",
    "cervix": "XS-A8TJ",
    "kidney": "F9-A8NY MH-A561 UZ-A9PJ UZ-A9PN",
    "liver": "BC-A217",
}
TEST_PATIENTS = {
    "breast": "AC-A2FO AO-A0J2",
    "kidney": "2Z-A9J9 GL-6846 IZ-8196",
    "lung": "44-2665 69-7764",
    "prostate": "EJ-A46H HC-7209",
    "bladder": "CU-A0YN ZF-A9R5",
    "colon": "A6-6782",
    "brain": "FG-A4MU HT-8564",
}
VALIDATION_PATIENTS = (
    "TCGA-E2-A14V",  # breast
    "TCGA-HE-7130",  # kidney
    "TCGA-50-5931",  # lung
    "TCGA-G9-6363",  # prostate
    "TCGA-G2-A2EK",  # bladder
    "TCGA-NH-A8F7",  # colon
)
"""Training patients that no network is fitted to: epochs and settings are chosen on them."""

SPLITS = ("Training", "Fitting", "Validation", "Test")


@dataclass(frozen=True)
class Sample:
    """One annotated tissue image.

    Attributes
    ----------
    name : str
        The TCGA name of the region, e.g. "TCGA-18-5592-01Z-00-DX1".
    patient : str
        The TCGA participant, e.g. "TCGA-18-5592".
    organ : str
    image : ndarray of uint8, shape (H, W, 3)
        RGB at 40x, about 0.25 um per pixel.
    mask : ndarray of bool, shape (H, W)
        True inside nuclei.
    labels : ndarray of int32, shape (H, W), or None
        0 = background, 1..N = one nucleus each; None where only a binary mask is known.
    """

    name: str
    patient: str
    organ: str
    image: np.ndarray
    mask: np.ndarray
    labels: np.ndarray | None


def patients(split="Training", extra=False):
    """Name the patients of a split.

    Parameters
    ----------
    split : {"Training", "Fitting", "Validation", "Test"}
        Training (30) is Fitting (24) and Validation (6) together.
    extra : bool
        Add the 7 patients that the training archive holds beyond the canonical 30 to Training
        and Fitting.

    Returns
    -------
    dict of str to str
        Organ of each patient.

    Raises
    ------
    InputError
        If there is no such split.
    """
    if split not in SPLITS:
        raise InputError(f"There is no split {split!r}: choose one of {', '.join(SPLITS)}.")
    table = _by_patient(TEST_PATIENTS if split == "Test" else TRAINING_PATIENTS)
    if split == "Validation":
        return {patient: table[patient] for patient in VALIDATION_PATIENTS}
    if split == "Fitting":
        table = {key: organ for key, organ in table.items() if key not in VALIDATION_PATIENTS}
    return table | _by_patient(EXTRA_PATIENTS) if extra and split != "Test" else table


def find():
    """Find MoNuSeg on this machine.

    Returns
    -------
    Path or None
        What `$MONUSEG_DIR` names, else `data/MoNuSeg` where it exists, else None.
    """
    if named := os.environ.get("MONUSEG_DIR"):
        return Path(named).expanduser()
    return FOLDER if FOLDER.exists() else None


def load(split="Training", folder=None, extra=False):
    """Load the images of a split with their masks and labels.

    Parameters
    ----------
    split : {"Training", "Fitting", "Validation", "Test"}
    folder : str or Path, optional
        The data set in any of the layouts that `layouts.index` reads. By default what `find` finds,
        else synthetic tissue, which a printed sentence says.
    extra : bool
        Also the 7 images of the training archive beyond the canonical 30.

    Returns
    -------
    list of Sample
        Sorted by name.

    Raises
    ------
    InputError
        If the folder does not exist or holds no image of the split, an image has no mask or one of
        another size, or a file cannot be read.
    """
    wanted = patients(split, extra)
    source = find() if folder is None else Path(folder)
    if source is None:
        print(
            f"MoNuSeg is not here, so the {split} images are synthetic tissue; "
            "`python -m nuclei download` fetches the real ones."
        )
        return _synthetic(split)
    found = layouts.index(source)
    names = sorted(name for kind, name in found if kind == "image" and name[:12] in wanted)
    if not names:
        raise InputError(
            f"{source} holds none of the {len(wanted)} {split} images of MoNuSeg: "
            "name another folder or run `python -m nuclei download`."
        )
    if len(names) < len(wanted):
        print(
            f"{source} holds {len(names)} of the {len(wanted)} {split} images of MoNuSeg, "
            "so scores will not compare with those of the whole split."
        )
    with ThreadPoolExecutor() as pool:
        samples = pool.map(lambda name: _sample(name, wanted[name[:12]], found), names)
        # Only XML takes long enough for the bar to appear.
        return list(tqdm(samples, f"Loading {split}", len(names), unit="image", delay=5))


def _by_patient(table):
    return {f"TCGA-{code}": organ for organ, codes in table.items() for code in codes.split()}


def _sample(name, organ, found):
    image = read_rgb(layouts.contents(found["image", name]))
    shape = image.shape[:2]
    mask = labels = None
    if path := found.get(("labels", name)):
        labels = _fitting(read_grey(layouts.contents(path)), path, shape).astype(np.int32)
    elif path := found.get(("annotation", name)):
        labels = annotations.read(layouts.contents(path), shape)
    if path := found.get(("mask", name)):
        mask = _fitting(read_grey(layouts.contents(path)), path, shape) > 0
    elif labels is not None:
        mask = labels > 0
    else:
        raise InputError(
            f"{found['image', name]} has no mask: "
            f"add {name}_bin_mask.png, {name}_labels.png or {name}.xml."
        )
    return Sample(name, name[:12], organ, image, mask, labels)


def _fitting(pixels, path, shape):
    if pixels.shape != shape:
        raise InputError(
            f"{path} is {pixels.shape[0]} x {pixels.shape[1]} pixels, but its image is "
            f"{shape[0]} x {shape[1]}: use the mask of this image."
        )
    return pixels


def _synthetic(split):
    numbers = {"Training": (1, 2, 3, 4), "Fitting": (1, 2, 3), "Validation": (4,), "Test": (5, 6)}
    samples = []
    for number in numbers[split]:
        image, labels = synthetic.tissue(seed=number)
        name = f"SYNTHETIC-{number:02}"
        samples.append(Sample(name, name, "synthetic", image, labels > 0, labels))
    return samples
