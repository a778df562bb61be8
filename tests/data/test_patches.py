"""Patches: every pixel is in one, stitching undoes cutting, and a folder is written whole."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nuclei.data import monuseg, patch_files, patches
from nuclei.data.dataset import Sample
from nuclei.errors import InputError

SHAPES = [(1, 1), (1, 300), (5, 7), (256, 256), (257, 255), (408, 409), (1000, 700)]


def noise(shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(dtype)


def sample(name="A", shape=(300, 270), seed=0):
    image = noise((*shape, 3), seed=seed)
    return Sample(name, name, "organ", image, image[..., 0] > 99, None)


def labelled(name="A", shape=(300, 270), seed=0):
    labels = noise(shape, seed=seed).astype(np.int32) * 257
    return replace(sample(name, shape, seed), mask=labels > 0, labels=labels)


def assert_equal(found, expected):
    """Compare two `Patches`."""
    assert found.names == expected.names
    for name in ("images", "masks", "labels"):
        np.testing.assert_array_equal(*(getattr(x, name) for x in (found, expected)), strict=True)


def contents(folder):
    """Bytes of every file below a folder, hidden ones too."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder): path.read_bytes() for path in paths}


@pytest.fixture
def written(tmp_path):
    """Two samples and the folder of their patches."""
    samples = [sample("A"), sample("B", seed=1)]
    patch_files.write(samples, tmp_path / "train", progress=False)
    return tmp_path / "train", samples


def test_a_monuseg_image_makes_36_patches_that_hold_every_pixel():
    numbers = np.arange(1_000_000).reshape(1000, 1000)
    cut = patches.cut(numbers)
    assert cut.shape == (36, 256, 256)
    assert np.unique(cut).size == numbers.size
    assert cut[1, 0, 0] == numbers[0, 152]  # row-major
    assert cut[6, 0, 0] == numbers[152, 0]


def test_the_last_windows_are_filled_by_reflection():
    image = noise((1000, 1000))
    last = patches.cut(image)[35]
    np.testing.assert_array_equal(last[:240, :240], image[760:, 760:])
    np.testing.assert_array_equal(last[240:, :240], image[983:999, 760:][::-1])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_stitching_returns_the_image_bit_for_bit(shape, channels):
    image = noise((*shape, *channels))
    np.testing.assert_array_equal(patches.stitch(patches.cut(image), shape), image, strict=True)


@pytest.mark.parametrize("dtype", [bool, np.uint16, np.int32, np.float32])
def test_stitching_keeps_the_dtype_and_the_values(dtype):
    image = (noise((400, 500)) * 257.3).astype(dtype)
    np.testing.assert_array_equal(
        patches.stitch(patches.cut(image), image.shape), image, strict=True
    )


@pytest.mark.parametrize(("size", "stride"), [(64, 64), (64, 10), (32, 1)])
def test_other_sizes_and_strides(size, stride):
    image = noise((70, 90, 3))
    cut = patches.cut(image, size, stride)
    np.testing.assert_array_equal(patches.stitch(cut, image.shape, stride), image)


def test_where_windows_differ_the_result_is_their_mean():
    windows = np.stack([np.full((4, 4), value, np.float32) for value in (1, 4)])
    expected = np.tile(np.float32([1, 1, 2.5, 2.5, 4, 4]), (4, 1))
    np.testing.assert_array_equal(patches.stitch(windows, (4, 6), stride=2), expected)


def test_patches_are_copies():
    image = noise((256, 256))
    assert not np.shares_memory(patches.cut(image), image)


def test_what_cannot_be_tiled_is_refused():
    with pytest.raises(ValueError, match="0 pixels"):
        patches.cut(np.zeros((0, 5)))
    with pytest.raises(ValueError, match="STRIDE to a number from 1 to PATCH_SIZE"):
        patches.cut(np.zeros((9, 9)), size=4, stride=5)
    with pytest.raises(ValueError, match="4 patches, not 36"):
        patches.stitch(np.zeros((36, 256, 256)), (300, 300))


def test_files_are_named_by_sample_and_number(written):
    folder, _ = written
    for kind in ("TissueImages", "GroundTruth"):
        names = {path.name for path in (folder / kind).iterdir()}
        assert names == {f"{name}-PCH{index}.png" for name in "AB" for index in range(4)}


def test_files_hold_rgb_and_masks_of_0_and_255(written):
    folder, (first, _) = written
    image = np.asarray(Image.open(folder / "TissueImages" / "A-PCH2.png"))
    mask = np.asarray(Image.open(folder / "GroundTruth" / "A-PCH2.png"))
    np.testing.assert_array_equal(image, patches.cut(first.image)[2], strict=True)
    np.testing.assert_array_equal(mask, 255 * patches.cut(first.mask)[2].astype(np.uint8))


def test_reading_returns_what_was_written(written):
    folder, samples = written
    assert_equal(patch_files.read(folder), patch_files.cut_all(samples))


def test_sizes_and_strides_other_than_the_usual_ones_are_written_and_read(tmp_path):
    samples = [sample("A", (70, 90)), sample("B", (100, 64))]
    patch_files.write(samples, tmp_path / "a", size=64, stride=32, progress=False)
    found = patch_files.read(tmp_path / "a")
    assert found.images.shape == (4 + 3, 64, 64, 3)  # 2 x 2 and 3 x 1
    assert_equal(found, patch_files.cut_all(samples, 64, 32))


def test_labels_are_kept_where_every_image_has_them(tmp_path):
    samples = [labelled("A"), labelled("B", seed=1)]
    patch_files.write(samples, tmp_path / "both", progress=False)
    found = patch_files.read(tmp_path / "both")
    expected = np.concatenate([patches.cut(one.labels) for one in samples])
    np.testing.assert_array_equal(found.labels, expected, strict=True)
    patch_files.write([samples[0], sample("C")], tmp_path / "one", progress=False)
    assert patch_files.read(tmp_path / "one").labels is None
    assert not (tmp_path / "one" / "Labels").exists()


def test_more_nuclei_than_a_png_can_number_are_refused(tmp_path):
    labels = np.arange(66_000, dtype=np.int32).reshape(264, 250)
    image = np.zeros((*labels.shape, 3), np.uint8)
    many = Sample("A", "A", "", image, labels > 0, labels)
    with pytest.raises(InputError, match="A has more than 65535 nuclei.*cut the image into parts"):
        patch_files.write([many], tmp_path / "many", progress=False)
    assert not any(tmp_path.iterdir())


def test_patches_come_by_image_and_number(tmp_path):
    patch_files.write([sample("B", (1000, 300)), sample("A-2")], tmp_path / "a", progress=False)
    names = [f"A-2-PCH{index}" for index in range(4)] + [f"B-PCH{index}" for index in range(12)]
    assert patch_files.read(tmp_path / "a").names == names


def cut_short(path):
    path.write_bytes(path.read_bytes()[:200])


DAMAGE = {
    "missing": (lambda path: path.unlink(), "B-PCH3.png in only one of"),
    "left over": (
        lambda path: path.with_name("C-PCH0.png").write_bytes(path.read_bytes()),
        "C-PCH0.png in only one of",
    ),
    "cut short": (cut_short, "B-PCH3.png is damaged or cut short"),
    "empty": (lambda path: path.write_bytes(b""), "B-PCH3.png is damaged or cut short"),
    "no image": (lambda path: path.write_text("patch"), "B-PCH3.png is damaged or cut short"),
    "other size": (
        lambda path: Image.new(Image.open(path).mode, (25, 25)).save(path),
        "B-PCH3.png has another size than A-PCH0.png",
    ),
}


@pytest.mark.parametrize("kind", ["TissueImages", "GroundTruth", "Labels"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_refused_in_one_sentence(tmp_path, kind, damage):
    samples = [labelled("A"), labelled("B", seed=1)]
    patch_files.write(samples, tmp_path / "train", progress=False)
    spoil, sentence = DAMAGE[damage]
    spoil(tmp_path / "train" / kind / "B-PCH3.png")
    for read in (patch_files.read, lambda folder: patch_files.read_or_cut(folder, samples)):
        if (
            damage in ("missing", "left over")
            and kind == "TissueImages"
            and read != patch_files.read
        ):
            continue  # these are other patches than those of the samples, which are cut
        with pytest.raises(InputError, match=sentence) as error:
            read(tmp_path / "train")
        assert "\n" not in str(error.value)


def test_a_folder_without_patches_is_refused(tmp_path):
    with pytest.raises(InputError, match="contains no patches: run patch_generator"):
        patch_files.read(tmp_path)


def test_patches_of_these_images_are_read(written, capsys):
    folder, samples = written
    found = patch_files.read_or_cut(folder, samples)
    assert "8 patches, read from the files" in capsys.readouterr().out
    assert_equal(found, patch_files.cut_all(samples))


def test_files_with_other_pixels_are_not_used(written, capsys):
    folder, samples = written
    Image.new("RGB", (256, 256)).save(folder / "TissueImages" / "B-PCH3.png")
    assert not patch_files.read(folder).images[7].any()
    assert_equal(patch_files.read_or_cut(folder, samples), patch_files.cut_all(samples))
    assert "has written patches with other pixels" in capsys.readouterr().out


def test_patches_are_read_in_whatever_order_the_images_come(written, capsys):
    folder, samples = written
    patch_files.read_or_cut(folder, samples[::-1])
    assert "8 patches, read from the files" in capsys.readouterr().out


def test_patches_of_other_images_or_another_size_are_cut_anew(written, tmp_path, capsys):
    folder, samples = written
    cases = [
        (samples[:1], 256, 152, "of other images"),
        ([*samples, sample("C")], 256, 152, "of other images"),
        (samples, 128, 64, "of another size"),
        (samples, 250, 150, "of another size"),  # as many of each image
    ]
    for wanted, size, stride, reason in cases:
        found = patch_files.read_or_cut(folder, wanted, size, stride)
        assert reason in capsys.readouterr().out
        assert_equal(found, patch_files.cut_all(wanted, size, stride))
    patch_files.read_or_cut(tmp_path / "nowhere", samples)
    assert "has not written patches" in capsys.readouterr().out


def test_writing_again_replaces_the_earlier_patches(written):
    folder, _ = written
    patch_files.write([sample("C")], folder, progress=False)
    assert patch_files.read(folder).names == [f"C-PCH{index}" for index in range(4)]
    assert [path.name for path in folder.parent.iterdir()] == ["train"]


@pytest.mark.parametrize(
    ("interruption", "raised", "message"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt, None),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            InputError,
            r"train could not be written \(No space left on device\)",
        ),
    ],
)
def test_an_interruption_leaves_everything_as_it_was(
    written, monkeypatch, interruption, raised, message
):
    folder, _ = written
    before = contents(folder.parent)
    write_bytes = Path.write_bytes

    def interrupted(path, data):
        if path.name == "D-PCH1.png":
            raise interruption
        write_bytes(path, data)

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(raised, match=message):
        patch_files.write([sample("C"), sample("D")], folder, progress=False)
    assert contents(folder.parent) == before


def test_earlier_patches_come_back_when_the_new_ones_cannot_take_their_place(written, monkeypatch):
    folder, _ = written
    before = contents(folder.parent)
    replace = os.replace

    def refused(source, target):
        if Path(source).suffix == ".new":
            raise PermissionError(errno.EACCES, "Permission denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(InputError, match="Permission denied"):
        patch_files.write([sample("C")], folder, progress=False)
    assert contents(folder.parent) == before


def test_what_a_killed_run_left_is_removed_an_hour_later(tmp_path):
    old, recent = tmp_path / ".Test-01234567.new", tmp_path / ".Test-89abcdef.new"
    for leftover in (old, recent):
        (leftover / "TissueImages").mkdir(parents=True)
    os.utime(old, (0, 0))
    patch_files.write([sample()], tmp_path / "Test", progress=False)
    assert {path.name for path in tmp_path.iterdir()} == {"Test", recent.name}


def test_a_folder_with_other_files_is_never_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    before = contents(tmp_path)
    for target in (tmp_path, tmp_path / "thesis", tmp_path / "thesis" / "chapter.tex"):
        with pytest.raises(InputError, match="chapter.tex is not a patch"):
            patch_files.write([sample()], target, progress=False)
    assert contents(tmp_path) == before


def test_patches_of_monuseg_stitch_bit_for_bit(monuseg_folder, tmp_path):
    samples = monuseg.load("test", monuseg_folder)[:3]
    patch_files.write(samples, tmp_path / "test", progress=False)
    found = patch_files.read(tmp_path / "test")
    images, masks = found.images, found.masks
    assert (len(images), len(masks)) == (3 * 36, 3 * 36)
    for index, one in enumerate(samples):
        window = np.s_[36 * index : 36 * (index + 1)]
        np.testing.assert_array_equal(patches.stitch(images[window], one.image.shape), one.image)
        np.testing.assert_array_equal(patches.stitch(masks[window], one.mask.shape), one.mask)
