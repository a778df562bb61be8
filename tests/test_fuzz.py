"""A short run of the fuzz test; `make fuzz` is the long one. And what it has found so far."""

import sys
import zipfile

import numpy as np
import pytest
import tifffile
from fuzz_files import NAME, READERS, read_weights, tissue, weights
from sentences import is_one_sentence

from nuclei.data import monuseg_files, patch_files
from nuclei.data.dataset import Sample
from nuclei.errors import InputError, SlideError
from nuclei.slides import resolution
from nuclei.slides.pyramid import write_pyramid
from nuclei.slides.slide import Slide
from nuclei.training.history import read_history

KERAS = ["models", "weights"]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as on Linux")


def check(readers, count, folder):
    from fuzz import run  # not at the top, because other systems cannot import it

    findings = run(readers, seed=1, count=count, kept=folder)
    assert not findings, "\n".join(f"{path}: {problem}" for path, problem in findings)


@LINUX
def test_damaged_files_get_a_sentence(tmp_path):
    check([reader for reader in READERS if reader not in KERAS], 60, tmp_path)


@LINUX
@pytest.mark.tensorflow
def test_damaged_models_get_a_sentence(tmp_path):
    check(KERAS, 30, tmp_path)


@LINUX
def test_only_a_sentence_is_no_finding():
    from fuzz import complaint

    def reader(error):
        def read(path):
            raise error

        return read

    assert complaint(lambda path: None, "a") is None
    assert complaint(reader(InputError("a is damaged: get a fresh copy.")), "a") is None
    assert "not one sentence" in complaint(reader(SlideError("a\nb.")), "a")
    assert "Traceback" in complaint(reader(ValueError("a is damaged: get a fresh copy.")), "a")


class TestFound:
    """One test for each kind of damage that led to something else than a sentence."""

    @pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_zip_of_any_compression(self, tmp_path, kind):
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w", kind) as archive:
            archive.writestr(f"{NAME}.xml", np.random.default_rng(0).bytes(500))
        data = path.read_bytes()
        path.write_bytes(data[:100] + bytes(40) + data[140:])
        with pytest.raises(InputError, match="is damaged in its archive .*: fetch it again") as e:
            monuseg_files.contents(path / f"{NAME}.xml")
        assert is_one_sentence(e, path / f"{NAME}.xml")

    def test_zip_that_needs_another_version_or_quotes_its_content(self, tmp_path):
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{NAME}.tif", bytes(9000))
        data = bytearray(path.read_bytes())
        entry = data.index(b"PK\1\2")
        path.write_bytes(data[: entry + 6] + b"\xd2\0" + data[entry + 8 :])  # version 21.0
        with pytest.raises(InputError, match="is not a complete zip archive"):
            monuseg_files.index(path)
        path.write_bytes(data[:26] + b"\xff\x1f" + data[28:])  # a name of 8191 bytes
        with pytest.raises(InputError, match="is damaged in its archive") as error:
            monuseg_files.contents(path / f"{NAME}.tif")
        assert len(str(error.value)) < 500

    def test_zip_that_grows_to_gigabytes(self, tmp_path, monkeypatch):
        monkeypatch.setattr(monuseg_files, "LARGEST", 8_999)
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{NAME}.tif", bytes(9_000))
        with pytest.raises(InputError, match=r"damaged in its archive \(it says that it has 9,000"):
            monuseg_files.contents(tmp_path / "a.zip" / f"{NAME}.tif")

    @pytest.mark.parametrize(
        ("tag", "value", "sentence"),
        [
            ("PhotometricInterpretation", 77, "pixels of the kind 77, not 8-bit colour"),
            ("TileOffsets", [1000], "is cut short"),
            ("ImageLength", 0, "is cut short|is not a slide in a known format"),
            ("ImageWidth", 2**31, "is cut short"),
            ("TileWidth", 2**24, "has parts that are too large to open at once: save it in"),
        ],
    )
    def test_tags_of_a_slide_that_cannot_be(self, tmp_path, tag, value, sentence):
        path = write_pyramid(tmp_path / "a.tif", tissue((300, 400)), tile=(128, 128), levels=1)
        with tifffile.TiffFile(path, mode="r+") as file:
            file.pages.first.tags[tag].overwrite(value)
        with pytest.raises(SlideError, match=sentence) as error:
            Slide(path, 0.25)
        assert is_one_sentence(error, path)

    @pytest.mark.parametrize("size", [(300, 10_485_960), (600_000, 700_000)])
    def test_slides_of_metres(self, tmp_path, size):
        with pytest.raises(SlideError, match="cm large at .* as no glass slide is: get a fresh"):
            resolution.choose(tmp_path / "a.dcm", None, (0.25, 0.25), size)
        assert resolution.choose(tmp_path, None, (0.25, 0.25), (300_000, 200_000)) == 0.25

    @pytest.mark.parametrize("place", [16, 33])
    def test_patches_that_ask_for_gigabytes(self, tmp_path, place):
        patches = patch_files.cut_all([sample(tissue((64, 64)))], 64, 64)
        patch_files.write([sample(tissue((64, 64)))], tmp_path / "a", 64, 64, progress=False)
        assert (patch_files.read(tmp_path / "a").images == patches.images).all()
        path = next((tmp_path / "a").rglob("TissueImages/*.png"))
        data = path.read_bytes()
        path.write_bytes(data[:place] + b"\x28" + data[place + 1 :])  # the width; a length
        with pytest.raises(InputError, match="is damaged or cut short: run patch_generator"):
            patch_files.read(tmp_path / "a")

    @pytest.mark.parametrize("text", ["", "a\n1,2", "a\nx", 'a\n"', "a,b\n1", "\xff"])
    def test_history(self, tmp_path, text):
        path = tmp_path / "history.csv"
        path.write_text(text, encoding="latin-1")
        if not text:
            path.unlink()
        with pytest.raises(InputError, match="is missing or damaged: restore it or train") as error:
            read_history(tmp_path)
        assert is_one_sentence(error, path)

    @pytest.mark.tensorflow
    @pytest.mark.parametrize("sizes", [{"depth": 10**20}, {"depth": 11}, {"width": 10**6}])
    def test_networks_that_do_not_fit_into_memory(self, sizes):
        from nuclei import modelzoo

        with pytest.raises(InputError, match="can be built with the arguments"):
            modelzoo.build({"network": "unet", "arguments": {"width": 2, "depth": 2, **sizes}})
        for network in ("segnet", "deeplabv3"):
            with pytest.raises(InputError, match="can be built with the arguments"):
                modelzoo.build({"network": network, "arguments": {"width": 2049}})

    @pytest.mark.tensorflow
    def test_addresses_in_weights_beyond_all_files(self, tmp_path):
        weights(tmp_path)
        data, refused = (tmp_path / "old.h5").read_bytes(), 0
        for place in range(24, 120, 8):
            path = tmp_path / "a.h5"
            path.write_bytes(data[:place] + b"\xff" * 7 + b"\x7f" + data[place + 8 :])
            try:
                read_weights(path)
            except InputError:
                refused += 1
        assert refused > 3


def sample(image):
    return Sample("a", "a", "colon", image, image[..., 0] > 100, None)
