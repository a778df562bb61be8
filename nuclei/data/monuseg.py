"""Find and load MoNuSeg, and list its patients, organs and splits.

MoNuSeg: H&E images of 1000 x 1000 pixels at 40x from TCGA, one per patient, with the outline of
every nucleus.
Kumar et al., IEEE TMI 36(7), 2017 (training) and IEEE TMI 39(5), 2020 (challenge and test).
"""

import os
import re
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from .. import ROOT
from ..atomic import expand
from ..errors import InputError
from . import monuseg_files, signatures, synthetic
from .dataset import Sample, read_sample
from .overlap import Reduced

FOLDER = ROOT / "data" / "MoNuSeg"
"""Where `python -m nuclei download` puts the data set."""

TRAINVAL_PATIENTS = {
    "breast": "A7-A13E A7-A13F AR-A1AK AR-A1AS E2-A14V E2-A1B5",
    "kidney": "B0-5698 B0-5710 B0-5711 HE-7128 HE-7129 HE-7130",
    # The 2017 paper calls these six liver, but their TCGA projects are lung.
    "lung": "18-5592 21-5784 21-5786 38-6178 49-4488 50-5931",
    "prostate": "CH-5767 G9-6336 G9-6348 G9-6356 G9-6362 G9-6363",
    "bladder": "DK-A2I6 G2-A2EK",
    "colon": "AY-A8YK NH-A8F7",
    "stomach": "KB-A93J RD-A8N9",
}

# In today's training archive, but not in the data set of the papers. Organs are from the TCGA
# projects.
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

VAL_PATIENTS = (
    "TCGA-E2-A14V",  # breast
    "TCGA-HE-7130",  # kidney
    "TCGA-50-5931",  # lung
    "TCGA-G9-6363",  # prostate
    "TCGA-G2-A2EK",  # bladder
    "TCGA-NH-A8F7",  # colon
)
"""Held out from the 30 training patients, to choose epochs and settings on."""

SPLITS = {
    "train": "24 patients to train on",
    "val": "6 patients to choose epochs and settings on",
    "trainval": "train and val together: the 30 patients of the training archive",
    "test": "14 patients for the final scores only",
}


def patients(split, extra=False):
    """List the patients of a split.

    Parameters
    ----------
    split : {"train", "val", "trainval", "test"}
        See `SPLITS`.
    extra : bool
        Add to train and trainval the 7 patients of the training archive beyond the canonical 30.

    Returns
    -------
    dict of str to str
        The organ of each patient.

    Raises
    ------
    InputError
        If there is no such split.
    """
    if split not in SPLITS:
        raise InputError(f"There is no split {split!r}: choose one of {', '.join(SPLITS)}.")
    table = _by_patient(TEST_PATIENTS if split == "test" else TRAINVAL_PATIENTS)
    if split == "val":
        return {patient: table[patient] for patient in VAL_PATIENTS}
    if split == "train":
        table = {key: organ for key, organ in table.items() if key not in VAL_PATIENTS}
    return table | _by_patient(EXTRA_PATIENTS) if extra and split != "test" else table


def patient_in(name):
    """The patient that a name of TCGA begins with or holds, or None.

    Examples
    --------
    >>> patient_in("test_TCGA-18-5592-01Z-00-DX1-PCH3"), patient_in("1")
    ('TCGA-18-5592', None)
    """
    found = re.search(r"TCGA-\w{2}-\w{4}", name.upper())
    return found and found[0]


def split_of(patient):
    """The split of a patient of MoNuSeg: "train", "val" or "test"; None for all others."""
    for split in ("val", "test"):
        if patient in patients(split):
            return split
    return "train" if patient in patients("train", extra=True) else None


def find():
    """Find MoNuSeg on this machine.

    Returns
    -------
    Path or None
        The folder in `$MONUSEG_DIR` if it is set, else `data/MoNuSeg` if it exists, else None.
    """
    if named := os.environ.get("MONUSEG_DIR"):
        return expand(named)
    return FOLDER if FOLDER.exists() else None


def require():
    """Raise an InputError where MoNuSeg is not found and synthetic tissue is no substitute."""
    if find() is None:
        raise InputError("MoNuSeg was not found: run `.venv/bin/python -m nuclei download` first.")


def load(split, folder=None, extra=False):
    """Load the images of a split with their masks and labels.

    Parameters
    ----------
    split : {"train", "val", "trainval", "test"}
        See `SPLITS`. Train on "train" and validate on "val": "trainval" holds both.
    folder : str or Path, optional
        The data set, in any layout that `monuseg_files.index` reads; see `atomic.expand`. By
        default the folder from `find`; if that is None, synthetic tissue is returned and a sentence
        printed.
    extra : bool
        Add to train and trainval the 7 images of the training archive beyond the canonical 30.

    Returns
    -------
    list of Sample
        Sorted by name.

    Raises
    ------
    InputError
        If the folder does not exist or contains no image of the split, if an image has no mask or
        a mask of another size, if an image is another one of MoNuSeg than its name says, or if a
        file cannot be read.
    """
    wanted = patients(split, extra)
    source = find() if folder is None else expand(folder)
    if source is None:
        print(
            f"MoNuSeg was not found, so the {split} images are synthetic tissue: "
            "run `python -m nuclei download` to get the real ones."
        )
        return _synthetic(split)
    found = monuseg_files.index(source)
    names = sorted(name for kind, name in found if kind == "image" and name[:12] in wanted)
    if not names:
        raise InputError(
            f"{source} contains none of the {len(wanted)} {split} images of MoNuSeg: "
            "use another folder or run `python -m nuclei download`."
        )
    if len(names) < len(wanted):
        print(
            f"{source} contains only {len(names)} of the {len(wanted)} {split} images of MoNuSeg, "
            "so scores cannot be compared with those of the whole split."
        )
    with ThreadPoolExecutor() as pool:
        samples = pool.map(lambda name: _read(name, wanted[name[:12]], found), names)
        # The bar appears after 5 seconds; only XML takes that long.
        return list(tqdm(samples, f"Loading {split}", len(names), unit="image", delay=5))


def _read(name, organ, found):
    """Read one image of MoNuSeg with its mask, labels or annotation."""
    kinds = ("image", "mask", "labels", "annotation")
    files = {
        kind: monuseg_files.contents(found[kind, name]) for kind in kinds if (kind, name) in found
    }
    sample = read_sample(name, name[:12], organ, **files)
    shown = signatures.identify(Reduced(sample.image))
    if shown not in (None, name):
        raise InputError(f"{files['image']} shows {shown} of MoNuSeg: fetch the data set again.")
    return sample


def _by_patient(table):
    return {f"TCGA-{code}": organ for organ, codes in table.items() for code in codes.split()}


def _synthetic(split):
    numbers = {"trainval": (1, 2, 3, 4), "train": (1, 2, 3), "val": (4,), "test": (5, 6)}
    samples = []
    for number in numbers[split]:
        image, labels = synthetic.tissue(seed=number)
        name = f"SYNTHETIC-{number:02}"
        samples.append(Sample(name, name, "synthetic", image, labels > 0, labels))
    return samples
