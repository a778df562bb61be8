"""Patches of a whole split, cut in memory or kept as PNG files."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from ..atomic import atomic_folder
from ..errors import InputError, counted
from ..images import png
from .patches import SIZE, STRIDE, count, cut

# Run-length encoding of row differences: nine times as fast as zlib's default on H&E, 15% larger.
PNG_OPTIONS = (
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
)

FOLDERS = {"TissueImages": "images", "GroundTruth": "masks", "Labels": "labels"}
"""Subfolders for RGB, masks (0 and 255) and labels (16 bits, only if every image has them), and
what each of them is in `Patches`."""

MOST_LABELS = 65_535
"""Nuclei that a PNG of 16 bits can number."""

PATCHES = {
    "images": "cut anew from whole images in each epoch",
    "files": "cut once, as patch_generator.ipynb writes them",
}
"""What the parameter `PATCHES` of the notebooks can be, and what it means."""

LARGEST = 10_000
"""Longest side of a patch in pixels; a file that says more is damaged."""


@dataclass(frozen=True)
class Patches:
    """Patches of several images.

    Attributes
    ----------
    names : list of str, length N
        `<name of the image>-PCH<i>`, i counted from 0 in row-major order.
    images : ndarray of uint8, shape (N, size, size, 3)
        RGB.
    masks : ndarray of bool, shape (N, size, size)
        True inside nuclei.
    labels : ndarray of int32, shape (N, size, size), or None
        0 = background, any other number one nucleus of the image; None if an image has no labels.
    """

    names: list
    images: np.ndarray
    masks: np.ndarray
    labels: np.ndarray | None


def cut_all(samples, size=SIZE, stride=STRIDE):
    """Cut all images of a split into patches, in memory.

    Parameters
    ----------
    samples : list of Sample
        The images of the split.
    size, stride : int
        As for `cut`, in pixels.

    Returns
    -------
    Patches

    Raises
    ------
    InputError
        As in `cut`.
    """
    labelled = all(sample.labels is not None for sample in samples)
    return Patches(
        names=[name for sample in samples for name in _names(sample, size, stride)],
        images=np.concatenate([cut(sample.image, size, stride) for sample in samples]),
        masks=np.concatenate([cut(sample.mask, size, stride) for sample in samples]),
        labels=np.concatenate([cut(sample.labels, size, stride) for sample in samples])
        if labelled
        else None,
    )


def write(samples, folder, size=SIZE, stride=STRIDE, progress=True):
    """Cut all samples, with their masks and labels, into patches and write them as PNG.

    The files are ``TissueImages/<name>-PCH<i>.png`` (RGB), ``GroundTruth/<name>-PCH<i>.png``
    (0/255) and, if all samples have labels, ``Labels/<name>-PCH<i>.png`` (16 bits), with i counted
    from 0 in row-major order. Earlier patches in `folder` are replaced only when all the new ones
    are complete: an interruption leaves the folder unchanged.

    Parameters
    ----------
    samples : list of Sample
    folder : str or Path
    size, stride : int
        As for `cut`.
    progress : bool
        Show a progress bar that counts images.

    Raises
    ------
    InputError
        If the folder contains anything but patches or cannot be written, or an image has more than
        `MOST_LABELS` nuclei; as in `cut`.
    """
    _refuse_other_files(Path(folder))
    labelled = all(sample.labels is not None for sample in samples)
    with atomic_folder(folder) as temporary, ThreadPoolExecutor() as pool:
        kinds = [kind for kind in FOLDERS if kind != "Labels" or labelled]
        for kind in kinds:
            (temporary / kind).mkdir(parents=True)
        for sample in tqdm(samples, "Writing patches", unit="image", disable=not progress):
            for kind in kinds:
                names = _names(sample, size, stride)
                paths = [temporary / kind / f"{name}.png" for name in names]
                for _ in pool.map(_encode, paths, cut(_pixels(sample, kind), size, stride)):
                    pass  # reading each result raises the errors of its thread


def read(folder):
    """Read the patches that `write` has written.

    Names, counts and sizes are checked; `read_or_cut` also compares the pixels.

    Parameters
    ----------
    folder : str or Path
        The folder of one split.

    Returns
    -------
    Patches
        Sorted by the name of the image, then by number.

    Raises
    ------
    InputError
        If there are no patches, an image or its mask is missing, or a file is damaged or of
        another size.
    """
    folder = Path(folder)
    names = _list(folder / "TissueImages")
    if not names:
        raise InputError(f"{folder} contains no patches: run patch_generator.ipynb.")
    kinds = [kind for kind in FOLDERS if kind != "Labels" or (folder / kind).exists()]
    for kind in kinds[1:]:
        if lone := set(names).symmetric_difference(_list(folder / kind)):
            raise InputError(
                f"{folder} has {min(lone)}.png in only one of TissueImages and {kind}: "
                "run patch_generator.ipynb again."
            )
    with ThreadPoolExecutor() as pool:
        stacks = {kind: _read_stack(pool, folder / kind, names) for kind in kinds}
    labels = stacks.get("Labels")
    return Patches(
        names,
        stacks["TissueImages"],
        stacks["GroundTruth"] > 0,
        None if labels is None else labels.astype(np.int32),
    )


def read_or_cut(folder, samples, size=SIZE, stride=STRIDE):
    """Read the patches of these samples if `folder` contains them, else cut them in memory.

    The patches are the same either way, which is checked: files of other images, whatever their
    names, are not used. A printed sentence says where the patches come from.

    Parameters
    ----------
    folder : str or Path
        The folder of one split, as written by `write`.
    samples : list of Sample
        The images of that split.
    size, stride : int
        As for `cut`, in pixels.

    Returns
    -------
    Patches

    Raises
    ------
    InputError
        As in `read`, if a file is damaged or its mask is missing; as in `cut`.
    """
    folder = Path(folder)
    expected = [name for sample in samples for name in _names(sample, size, stride)]
    found, here = _list(folder / "TissueImages"), cut_all(samples, size, stride)
    number = counted(len(expected), "patch", "patches")
    if not found:
        reason = "has not written patches of these images"
    elif set(found) != set(expected):
        reason = "has written patches of other images or of another size"
    else:
        patches = read(folder)
        reason = "has written patches of another size"
        if patches.images.shape[1] == size:
            reason = "has written patches with other pixels"
        if _same(patches, here):
            print(f"{number}, read from the files that patch_generator.ipynb wrote.")
            return patches
    print(f"{number}, cut here, because patch_generator.ipynb {reason}.")
    return here


def _same(found, expected):
    """Whether patches have the same pixels, masks and labels, those that both have."""
    place = {name: i for i, name in enumerate(found.names)}
    order = [place[name] for name in expected.names]
    pairs = [(getattr(found, name), getattr(expected, name)) for name in FOLDERS.values()]
    return all(
        one is None or other is None or np.array_equal(one[order], other) for one, other in pairs
    )


def _names(sample, size, stride):
    """Names of the patches of one image, without suffix, in the order of `cut`."""
    number = np.prod([count(length, size, stride) for length in sample.mask.shape])
    return [f"{sample.name}-PCH{index}" for index in range(number)]


def _list(folder):
    """Names of the patches in a folder, sorted by image, then by number."""
    found = (re.fullmatch(r"(.+)-PCH(\d+)", path.stem) for path in folder.glob("*.png"))
    parts = sorted((match[1], int(match[2])) for match in found if match)
    return [f"{name}-PCH{number}" for name, number in parts]


def _pixels(sample, kind):
    """Pixels of a sample for one of `FOLDERS`; masks are 0 and 255, which any viewer shows."""
    if kind == "Labels":
        if sample.labels.max(initial=0) > MOST_LABELS:
            raise InputError(
                f"{sample.name} has more than {MOST_LABELS} nuclei, too many for a PNG of 16 bits: "
                "cut the image into parts."
            )
        return sample.labels.astype(np.uint16)
    return sample.image if kind == "TissueImages" else sample.mask * np.uint8(255)


def _read_stack(pool, folder, names):
    paths = [folder / f"{name}.png" for name in names]
    patches = list(pool.map(_decode, paths))
    for path, patch in zip(paths, patches, strict=True):
        if patch is None:
            raise InputError(f"{path} is damaged or cut short: run patch_generator.ipynb again.")
        if patch.shape != patches[0].shape or patch.shape[0] != patch.shape[1]:
            raise InputError(
                f"{path} has another size than {paths[0].name}: run patch_generator.ipynb again."
            )
    return np.stack(patches)


def _encode(path, patch):
    """Write one PNG. Python writes the bytes, because OpenCV reports no error for a full disk."""
    if patch.ndim == 3:
        patch = cv2.cvtColor(patch, cv2.COLOR_RGB2BGR)
    path.write_bytes(cv2.imencode(".png", patch, PNG_OPTIONS)[1])


def _decode(path):
    """Pixels of one patch, or None if they cannot be decoded."""
    data = path.read_bytes()
    if not png.is_plausible(data, LARGEST):  # OpenCV takes as much memory as the file says
        return None
    patch = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if patch is None or patch.ndim == 2:
        return patch
    return cv2.cvtColor(patch, cv2.COLOR_BGR2RGB)


def _refuse_other_files(folder):
    """Refuse to replace a folder that contains other files than patches."""
    for path in (folder, *folder.rglob("*")):
        patch = path.parent.name in FOLDERS and re.search(r"-PCH\d+\.png$", path.name)
        if path.is_file() and not patch and not path.name.startswith("."):
            raise InputError(
                f"{folder} would be replaced, but {path.name} is not a patch: use another folder."
            )
