"""Download the two official archives of MoNuSeg, verify them and unpack them to `data/MoNuSeg`."""

import hashlib
import shutil
from pathlib import Path

import gdown
import numpy as np
from tqdm import tqdm

from ..atomic import atomic_write, explain_write_errors, locked
from ..errors import InputError, counted
from ..images import read_rgb, write_png
from . import monuseg, monuseg_files
from .annotations import aperio

ARCHIVES = {
    "MoNuSeg 2018 Training Data.zip":
        "https://drive.google.com/uc?id=1ZgqFJomqQGNnsx7w7QBzQQMVA16lbVCA",
    "MoNuSegTestData.zip":
        "https://drive.google.com/uc?id=1NKkSQ5T0ZNQ8aUhh0a8Dt2YKYCQXIViw",
}  # fmt: skip
"""File name and URL of each archive, as linked from https://monuseg.grand-challenge.org/Data/."""

SUMS = Path(__file__).with_name("monuseg.sha256")
"""SHA-256 of the 30 + 14 images, in the format of `sha256sum`."""

NOTICE = """\
MoNuSeg is licensed under CC BY-NC-SA 4.0 (https://creativecommons.org/licenses/by-nc-sa/4.0/).
If you use it, cite both papers:
  N. Kumar et al., "A Dataset and a Technique for Generalized Nuclear Segmentation for Computational
  Pathology", IEEE Transactions on Medical Imaging 36(7), 1550-1560, 2017.
  N. Kumar et al., "A Multi-Organ Nucleus Segmentation Challenge",
  IEEE Transactions on Medical Imaging 39(5), 1380-1391, 2020."""


def download(folder=None, archives=ARCHIVES, sums=SUMS):
    """Download, verify and unpack MoNuSeg; print its licence and citation.

    Files are written to `<folder>.part`, which is renamed at the end, when every image is present
    and verified. After an interruption the next call keeps complete archives and downloads the
    others. An archive that fails verification is deleted, so that the next call downloads it again.

    Parameters
    ----------
    folder : str or Path, optional
        Where to put the data set; by default `data/MoNuSeg`, where `monuseg.find` looks for it.
    archives : dict of str to str
        File name and URL of each archive.
    sums : Path
        SHA-256 sums of the images; every image in this file must be in the archives.

    Returns
    -------
    Path
        The folder, with `Training|Test` / `TissueImages`, `Annotations`, `Labels`, `GroundTruth`.

    Raises
    ------
    InputError
        If an archive cannot be downloaded, is damaged or incomplete, or does not match the sums,
        or if the folder exists already but is not the verified data set.
    """
    folder = Path(folder or monuseg.FOLDER)
    partial = folder.with_name(f"{folder.name}.part")
    expected = _read_sums(sums)
    print(NOTICE)
    if folder.exists():
        _verify_folder(folder, expected)
        print(f"{folder} is complete already: {len(expected)} images verified.")
    else:
        with locked(partial / "lock", f"downloading into {partial}"):
            _download(folder, partial, archives, expected)
        print(f"{folder} is complete: {len(expected)} images verified.")
    shutil.rmtree(partial, ignore_errors=True)  # here too if a run was killed just before
    return folder


def _download(folder, partial, archives, expected):
    unpacked = partial / folder.name
    shutil.rmtree(unpacked, ignore_errors=True)
    missing = dict(expected)
    for name, url in archives.items():
        archive = partial / name
        _fetch(url, archive)
        try:
            _unpack(archive, unpacked, missing)
        except InputError:
            archive.unlink(missing_ok=True)
            raise
    if missing:
        shutil.rmtree(partial, ignore_errors=True)
        raise InputError(
            f"The archives lack {counted(len(missing), 'image')}, such as {next(iter(missing))}: "
            "run the download again."
        )
    with explain_write_errors(folder):
        unpacked.rename(folder)


def _read_sums(path):
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}


def _verify_folder(folder, expected):
    for name, digest in expected.items():
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise InputError(
                f"{folder} exists already, but {name} is missing or differs from the published "
                "file: move the folder away and run the download again."
            )


def _fetch(url, archive):
    """Download one archive; a partial download is deleted, because Drive may not resume it."""
    if archive.exists():
        return
    with atomic_write(archive) as temporary, temporary.open("wb") as file:
        try:
            gdown.download(url, file, log_messages={"output": f"To: {archive}\n"})
        # Google's quota pages, proxies and dropped connections each raise different exceptions.
        except Exception as error:
            raise InputError(
                f"{archive.name} could not be fetched ({type(error).__name__}): run the download "
                f"again, or first save {url} as {archive} with a browser."
            ) from error


def _unpack(archive, unpacked, missing):
    """Unpack an archive into the canonical layout, and remove its images from `missing`."""
    found = monuseg_files.index(archive)
    names = sorted(name for kind, name in found if kind == "image")
    for name in tqdm(names, f"Unpacking {archive.name}", unit="image"):
        if ("annotation", name) not in found:
            raise InputError(f"{found['image', name]} has no annotation: run the download again.")
        image = monuseg_files.contents(found["image", name])
        annotation = monuseg_files.contents(found["annotation", name])
        split = "Test" if name[:12] in monuseg.patients("test") else "Training"
        # Images beyond the canonical 30 have no SHA-256 here; the CRC-32 of the zip checks them.
        digest = missing.pop(f"{split}/TissueImages/{name}.tif", None)
        if digest and hashlib.sha256(image.getvalue()).hexdigest() != digest:
            raise InputError(
                f"{image} differs from the published image (SHA-256): run the download again."
            )
        # Draw the labels once here, because reading the XML at each load takes ten times as long.
        labels = aperio.read(annotation, read_rgb(image).shape[:2])
        mask = np.where(labels > 0, 255, 0)
        folder = unpacked / split
        _write(folder / "TissueImages" / f"{name}.tif", image.getvalue())
        _write(folder / "Annotations" / f"{name}.xml", annotation.getvalue())
        write_png(folder / "Labels" / f"{name}_labels.png", labels.astype(np.uint16))
        write_png(folder / "GroundTruth" / f"{name}_bin_mask.png", mask.astype(np.uint8))


def _write(path, data):
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)
