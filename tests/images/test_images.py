"""Reading images, and a sentence for whatever goes wrong."""

import io
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import tifffile
from image_files import encoded, noise
from PIL import Image
from sentences import is_one_sentence

from nuclei import ROOT
from nuclei.errors import InputError
from nuclei.images import find_images, read_rgb


class TestReadRGB:
    @pytest.mark.parametrize(
        "kind, options",
        [
            ("PNG", {}),
            ("TIFF", {}),
            ("TIFF", {"compression": "tiff_lzw"}),
            ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ],
    )
    def test_it_returns_the_pixels_that_were_written(self, tmp_path, kind, options):
        pixels = noise(7, 5, 3)
        path = tmp_path / "image"
        path.write_bytes(encoded(pixels, kind, **options))
        for source in (path, str(path), io.BytesIO(path.read_bytes())):
            read = read_rgb(source)
            assert (read.dtype, read.shape) == (np.uint8, (7, 5, 3))
            np.testing.assert_array_equal(read, pixels)

    @pytest.mark.parametrize("kind", ["JPEG", "WEBP", "JPEG2000", "TIFF"])
    def test_jpeg_returns_nearly_the_pixels_that_were_written(self, kind):
        ramp = np.broadcast_to(np.arange(0, 256, 4, np.uint8)[:, None, None], (64, 64, 3))
        options = {"compression": "jpeg"} if kind == "TIFF" else {}
        read = read_rgb(
            io.BytesIO(encoded(np.ascontiguousarray(ramp), kind, quality=95, **options))
        )
        np.testing.assert_allclose(read, ramp, atol=6)

    @pytest.mark.parametrize("kind", ["BMP", "PPM", "TGA", "PCX"])
    def test_other_formats_of_pillow_are_read(self, kind):
        pixels = noise(7, 6, 3)
        np.testing.assert_array_equal(read_rgb(io.BytesIO(encoded(pixels, kind))), pixels)

    def test_planes_that_lie_apart_are_put_together(self, tmp_path):
        pixels = noise(7, 5, 3)
        planes = np.moveaxis(pixels, -1, 0)
        tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
        np.testing.assert_array_equal(read_rgb(tmp_path / "a.tif"), pixels)

    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_what_is_transparent_is_laid_over_white(self, kind):
        colour, alpha = np.array([200, 0, 100]), np.array([0, 51, 255])
        pixels = np.array([[[*colour, a] for a in alpha]], np.uint8)
        expected = colour * (alpha / 255)[:, None] + 255 * (1 - alpha / 255)[:, None]
        np.testing.assert_allclose(read_rgb(io.BytesIO(encoded(pixels, kind)))[0], expected, atol=1)

    def test_one_colour_that_stands_for_transparent_is_white(self):
        pixels = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
        read = read_rgb(io.BytesIO(encoded(pixels, "PNG", transparency=(1, 2, 3))))
        np.testing.assert_array_equal(read, [[[255, 255, 255], [4, 5, 6]]])

    def test_a_palette_gives_its_colours(self):
        pixels = np.array([[[250, 10, 20], [0, 128, 64]]], np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).convert("P", palette=Image.Palette.ADAPTIVE).save(file, "PNG")
        np.testing.assert_array_equal(read_rgb(file), pixels)

    @pytest.mark.parametrize("mode", ["L", "LA", "1", "I;16", "F", "CMYK", "LAB"])
    def test_what_is_not_8_bit_colour_is_refused(self, tmp_path, mode):
        path = tmp_path / "image.tif"
        Image.new(mode, (4, 4)).save(path)
        with pytest.raises(InputError, match=f"pixel format {mode}, not 8-bit colour") as error:
            read_rgb(path)
        assert is_one_sentence(error, path)

    def test_grey_with_a_transparent_level_is_grey_all_the_same(self):
        file = io.BytesIO(encoded(noise(4, 4), "PNG", transparency=3))
        with pytest.raises(InputError, match="pixel format L"):
            read_rgb(file)

    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    def test_16_bit_colour_is_refused(self, tmp_path, suffix):
        path = tmp_path / f"deep{suffix}"
        cv2.imwrite(str(path), noise(8, 8, 3).astype(np.uint16) << 4)  # a 12-bit camera
        with pytest.raises(InputError, match="16-bit colour") as error:
            read_rgb(path)
        assert is_one_sentence(error, path)

    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    def test_a_file_that_is_cut_short_gets_a_sentence(self, tmp_path, kind, share):
        data = encoded(noise(64, 64, 3), kind)
        path = tmp_path / "image"
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(InputError, match="cut short|not an image") as error:
            read_rgb(path)
        assert is_one_sentence(error, path)

    @pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + bytes(40)])
    def test_what_is_not_an_image_gets_a_sentence(self, tmp_path, data):
        path = tmp_path / "image.png"
        path.write_bytes(data)
        with pytest.raises(InputError, match="not an image|damaged") as error:
            read_rgb(path)
        assert is_one_sentence(error, path)

    def test_what_is_missing_or_a_folder_gets_a_sentence(self, tmp_path):
        (tmp_path / "file").write_text("")
        for path in (tmp_path / "none.png", tmp_path / "file" / "a.png"):
            with pytest.raises(InputError, match="does not exist") as error:
                read_rgb(path)
            assert is_one_sentence(error, path)
        with pytest.raises(InputError, match="is a folder"):
            read_rgb(tmp_path)

    def test_an_enormous_image_gets_a_sentence(self, tmp_path, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # Pillow refuses twice as many
        path = tmp_path / "image.png"
        path.write_bytes(encoded(noise(5, 5, 3), "PNG"))
        with pytest.raises(InputError, match="too large") as error:
            read_rgb(path)
        assert is_one_sentence(error, path)


def test_in_a_folder_only_files_are_images(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "b.tif").mkdir()
    (tmp_path / "c.png").symlink_to("nowhere")  # its reader says that it is missing
    assert find_images([tmp_path]) == [tmp_path / "a.png", tmp_path / "c.png"]


def test_nothing_heavy_is_imported_with_images():
    code = "import sys, nuclei.images; print(*{m.split('.')[0] for m in sys.modules})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-c", code]
    found = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
    heavy = {"keras", "tifffile", "imagecodecs", "cv2", "scipy", "skimage", "tensorflow", "zarr"}
    assert not heavy & set(found.stdout.split())
