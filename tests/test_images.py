"""Reading images, and a sentence for whatever goes wrong."""

import io
import os
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin
from scipy.ndimage import gaussian_filter
from sentences import is_one_sentence

from nuclei import ROOT
from nuclei.errors import InputError
from nuclei.images import png, read_grey, read_labels, read_mask, read_rgb, tiff


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def encoded(pixels, kind, **options):
    """An image as the bytes of a file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_masks_and_labels_keep_their_values(tmp_path, dtype):
    labels = np.array([[0, 1, np.iinfo(dtype).max]], dtype)
    for name in ("labels.png", "labels.tif"):
        Image.fromarray(labels).save(tmp_path / name)
        read = read_grey(tmp_path / name)
        assert read.dtype == dtype
        np.testing.assert_array_equal(read, labels)


def test_a_mask_with_colours_is_refused(tmp_path):
    Image.fromarray(noise(4, 4, 3)).save(tmp_path / "mask.png")
    with pytest.raises(InputError, match="3 channels, but a mask has one"):
        read_grey(tmp_path / "mask.png")


def save(path, pixels, **options):
    """Write an image with Pillow and return its path."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def write_tiff(path, pixels, **options):
    """Write a TIFF with tifffile and return its path."""
    tifffile.imwrite(path, pixels, **{"photometric": "rgb", **options})
    return path


def refused(read, path, complaint):
    with pytest.raises(InputError, match=complaint) as error:
        read(path)
    assert is_one_sentence(error, path)


COMPRESSIONS = ["jpeg2000", "jpegxl", "webp", "lerc", "zstd", "lzma", "png", "jpegxr"]


class TestTIFF:
    """Files that Pillow leaves or misreads."""

    @pytest.mark.parametrize("compression", COMPRESSIONS)
    @pytest.mark.parametrize("tile", [None, (16, 16)])
    def test_every_compression_is_read(self, tmp_path, compression, tile, capfd):
        pixels = noise(40, 52, 3)
        path = write_tiff(tmp_path / "a.tif", pixels, compression=compression, tile=tile)
        for source in (path, str(path), io.BytesIO(path.read_bytes())):
            np.testing.assert_array_equal(read_rgb(source), pixels)
        assert capfd.readouterr() == ("", "")  # nor do libraries write to the terminal

    @pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits"])
    @pytest.mark.parametrize("byteorder", ["<", ">"])
    def test_a_bigtiff_is_read(self, tmp_path, compression, byteorder):
        options = {"bigtiff": True, "byteorder": byteorder, "compression": compression}
        path = write_tiff(tmp_path / "a.btf", pixels := noise(40, 52, 3), **options)
        np.testing.assert_array_equal(read_rgb(path), pixels)

    @pytest.mark.parametrize("compression", [None, "zlib", "zstd", "lerc", "jpeg2000"])
    @pytest.mark.parametrize("kind", ["planes", "grey planes", "grey samples", "OME", "ImageJ"])
    def test_colours_may_lie_apart(self, tmp_path, compression, kind):
        pixels = noise(40, 52, 3)
        planes = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
        options = {
            "planes": {"planarconfig": "separate"},
            "grey planes": {"planarconfig": "separate", "photometric": "minisblack"},
            "grey samples": {"planarconfig": "contig", "photometric": "minisblack"},
            "OME": {"ome": True, "photometric": "minisblack", "metadata": {"axes": "CYX"}},
            "ImageJ": {"imagej": True, "photometric": "minisblack", "metadata": {"axes": "CYX"}},
        }[kind]
        if kind == "ImageJ":  # tifffile writes it without compression only
            compression = None
        data = pixels if kind == "grey samples" else planes
        path = write_tiff(tmp_path / "a.tif", data, compression=compression, **options)
        np.testing.assert_array_equal(read_rgb(path), pixels)

    def test_the_ome_recipe_of_libvips_is_read(self, tmp_path):
        """A page for each colour, tiled, each with its pyramid in SubIFDs."""
        planes = noise(3, 64, 80)
        with tifffile.TiffWriter(tmp_path / "a.tif", ome=True) as file:
            options = {"photometric": "minisblack", "tile": (16, 16), "compression": "zlib"}
            file.write(planes, subifds=1, metadata={"axes": "CYX"}, **options)
            file.write(planes[:, ::2, ::2], subfiletype=1, **options)
        np.testing.assert_array_equal(read_rgb(tmp_path / "a.tif"), np.moveaxis(planes, 0, -1))

    @pytest.mark.parametrize("thumbnail", ["first", "last"])
    def test_of_several_images_the_largest_is_read(self, tmp_path, thumbnail):
        pages = [noise(40, 52, 3), noise(10, 13, 3)]
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            for page in pages[:: -1 if thumbnail == "first" else 1]:
                file.write(page, photometric="rgb")
        np.testing.assert_array_equal(read_rgb(tmp_path / "a.tif"), pages[0])

    @pytest.mark.parametrize(
        "shape, axes, complaint",
        [
            ((5, 20, 24, 3), "ZYXS", "has 5 images of the same size"),
            ((5, 20, 24), "TYX", "has 5 images of the same size"),
            ((2, 3, 20, 24), "ZCYX", "has 6 images of the same size"),
            ((4, 20, 24), "CYX", "has 4 channels, not 8-bit colour"),
            ((20, 24), "YX", "pixel format L, not 8-bit colour"),
        ],
    )
    def test_what_is_not_one_colour_image_is_refused(self, tmp_path, shape, axes, complaint):
        options = {"photometric": "rgb" if axes.endswith("S") else "minisblack"}
        options |= {"ome": True, "metadata": {"axes": axes}}
        path = write_tiff(tmp_path / "a.tif", noise(*shape), **options)
        refused(read_rgb, path, complaint)
        if axes != "YX":
            refused(read_mask, path, "but a mask has two greys")
            refused(read_labels, path, "labels have one channel")

    def test_three_channels_of_fluorescence_are_refused(self, tmp_path):
        metadata = {"axes": "CYX", "Channel": {"EmissionWavelength": [450, 520, 600]}}
        options = {"ome": True, "photometric": "minisblack", "metadata": metadata}
        path = write_tiff(tmp_path / "a.tif", noise(3, 20, 24), **options)
        refused(read_rgb, path, "3 channels of fluorescence, not 8-bit colour")

    @pytest.mark.parametrize("options", [{}, {"planarconfig": "separate"}, {"bigtiff": True}])
    @pytest.mark.parametrize("compression", [None, "zstd", "jpeg2000", "lerc"])
    def test_16_bit_colour_is_refused(self, tmp_path, compression, options):
        pixels = noise(20, 24, 3).astype(np.uint16) << 4
        if "planarconfig" in options:
            pixels = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
        path = write_tiff(tmp_path / "a.tif", pixels, compression=compression, **options)
        refused(read_rgb, path, "has 16-bit colour, not 8-bit colour")

    def test_the_jpeg_2000_of_aperio_is_turned_into_rgb(self, tmp_path):
        pixels = np.zeros((32, 32, 3), np.uint8) + np.array([200, 80, 150], np.uint8)
        ycbcr = np.asarray(Image.fromarray(pixels).convert("YCbCr"))
        options = {"compression": "APERIO_JP2000_YCBC", "compressionargs": {"mct": False}}
        path = write_tiff(tmp_path / "a.tif", ycbcr, **options)
        np.testing.assert_allclose(read_rgb(path), pixels, atol=3)

    @pytest.mark.parametrize("extra, white", [("unassalpha", 1), ("unspecified", 0)])
    def test_a_fourth_sample_is_transparency_if_the_file_says_so(self, tmp_path, extra, white):
        pixels = noise(20, 24, 4)
        pixels[..., 3] = 0
        options = {"compression": "zstd", "extrasamples": [extra]}
        path = write_tiff(tmp_path / "a.tif", pixels, **options)
        np.testing.assert_array_equal(read_rgb(path), 255 if white else pixels[..., :3])

    def test_colours_that_are_multiplied_by_alpha_are_divided_by_it(self, tmp_path):
        pixels = np.full((20, 24, 4), (100, 50, 0, 128), np.uint8)
        options = {"compression": "zstd", "extrasamples": ["assocalpha"]}
        path = write_tiff(tmp_path / "a.tif", pixels, **options)
        np.testing.assert_allclose(read_rgb(path)[0, 0], [227, 177, 127], atol=2)

    @pytest.mark.parametrize("compression", COMPRESSIONS)
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
    def test_a_file_that_is_cut_short_is_refused(self, tmp_path, compression, share):
        path = write_tiff(tmp_path / "a.tif", noise(64, 64, 3), compression=compression)
        data = path.read_bytes()
        path.write_bytes(data[: int(share * len(data))])
        refused(read_rgb, path, "damaged or cut short .*: get a fresh copy")

    # JPEG 2000, JPEG XR and WebP decode any bytes to something.
    @pytest.mark.parametrize("compression", ["jpegxl", "lerc", "zstd", "lzma", "png"])
    def test_a_file_with_a_hole_is_refused(self, tmp_path, compression):
        pixels = noise(64, 64, 3) // 32  # zstd leaves pure noise as it is, without a check
        path = write_tiff(tmp_path / "a.tif", pixels, compression=compression)
        data = bytearray(path.read_bytes())
        data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
        path.write_bytes(data)
        refused(read_rgb, path, "damaged or cut short .*: get a fresh copy")

    @pytest.mark.parametrize("options", [{}, {"tile": (64, 64)}])
    def test_an_enormous_image_is_refused_before_it_is_decoded(
        self, tmp_path, monkeypatch, options
    ):
        path = write_tiff(tmp_path / "a.tif", noise(20, 20, 3), compression="jpegxl", **options)
        if options:
            monkeypatch.setattr(tiff, "MOST", 13_000)  # the image takes 2400, its tile 12,288
        else:
            monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", None)
        refused(read_rgb, path, "too large to open at once: cut it")

    def test_an_image_without_pixels_is_refused(self, tmp_path):
        path = write_tiff(tmp_path / "a.tif", noise(20, 20, 3))
        with tifffile.TiffFile(path, mode="r+") as file:
            file.pages.first.tags["ImageWidth"].overwrite(0)
        for read in (read_rgb, read_mask, read_labels):
            refused(read, path, "damaged or cut short")

    def test_an_unknown_compression_is_not_called_damage(self, tmp_path):
        path = write_tiff(tmp_path / "a.tif", noise(20, 20, 3), compression="jpegxl")
        with tifffile.TiffFile(path, mode="r+") as file:
            file.pages.first.tags["Compression"].overwrite(65123)
        refused(read_rgb, path, "cannot be decoded .*: save it as PNG")


ORIENTATIONS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: np.rot90(a, 1),
}
"""How viewers turn an image of each EXIF orientation."""


class TestOrientation:
    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    @pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a.webp", "zstd.tif", "xl.tif"])
    def test_every_format_is_read_as_viewers_show_it(self, tmp_path, orientation, name):
        pixels = np.zeros((16, 24, 3), np.uint8)
        pixels[:8, :16] = 200, 50, 100
        path = tmp_path / name
        if name in ("zstd.tif", "xl.tif"):
            compression = {"zstd.tif": "zstd", "xl.tif": "jpegxl"}[name]
            tags = [(274, 3, 1, orientation, True)]
            write_tiff(path, pixels, compression=compression, extratags=tags)
        else:
            exif = Image.Exif()
            exif[274] = orientation
            best = {"a.webp": {"lossless": True}, "a.jpg": {"quality": 98, "subsampling": 0}}
            save(path, pixels, exif=exif, **best.get(name, {}))
        expected = ORIENTATIONS[orientation](pixels)
        np.testing.assert_allclose(read_rgb(path), expected, atol=5 if name == "a.jpg" else 0)
        np.testing.assert_array_equal(read_mask(path), expected[..., 0] > 100)

    def test_masks_and_labels_are_turned_too(self, tmp_path):
        labels = np.arange(12, dtype=np.uint16).reshape(3, 4)
        exif = Image.Exif()
        exif[274] = 6
        path = save(tmp_path / "a.png", labels, exif=exif)
        for read in (read_grey, read_labels):
            np.testing.assert_array_equal(read(path), np.rot90(labels, -1))

    def test_exif_that_cannot_be_read_says_nothing(self, tmp_path):
        pixels = noise(4, 5, 3)
        path = save(tmp_path / "a.png", pixels, exif=b"Exif\0\0no TIFF at all")
        np.testing.assert_array_equal(read_rgb(path), pixels)


class TestMetadata:
    """A PNG is not damaged because its texts or its colour profile are long."""

    LONG = "x" * 3_000_000

    def info(self, description, note=""):
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", description, zip=True)
        info.add_itxt("Note", note, zip=True)
        return info

    def check(self, path, expected):
        for source in (path, io.BytesIO(path.read_bytes())):
            np.testing.assert_array_equal(read_rgb(source), expected)

    def test_a_long_colour_profile_is_left_out(self, tmp_path):
        pixels = noise(20, 24, 3)
        self.check(save(tmp_path / "a.png", pixels, icc_profile=bytes(3_000_000)), pixels)

    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt"])
    def test_long_texts_are_left_out(self, tmp_path, kind, after):
        text = self.LONG.encode()
        content = {
            b"tEXt": b"Note\0" + 25 * text,
            b"zTXt": b"Note\0\0" + zlib.compress(text),
            b"iTXt": b"Note\0\1\0en\0Note\0" + zlib.compress(text),
        }[kind]
        info, pixels = PngImagePlugin.PngInfo(), noise(20, 24, 3)
        info.add(kind, content, after_idat=after)
        self.check(save(tmp_path / "a.png", pixels, pnginfo=info), pixels)

    def test_the_orientation_is_kept(self, tmp_path):
        pixels = noise(20, 24, 3)
        info = self.info('<x tiff:Orientation="6"/>', self.LONG)
        self.check(save(tmp_path / "a.png", pixels, pnginfo=info), np.rot90(pixels, -1))

    def test_an_orientation_that_is_hidden_in_much_text_is_refused(self, tmp_path):
        info = self.info(self.LONG)
        path = save(tmp_path / "a.png", noise(4, 4, 3), pnginfo=info)
        refused(read_rgb, path, "a description of more than 1 MB: save it anew without metadata")

    @pytest.mark.parametrize("place", [100, -100])
    def test_damage_is_still_found(self, tmp_path, place):
        info = self.info("", self.LONG)
        path = save(tmp_path / "a.png", noise(64, 64, 3), pnginfo=info)
        data = bytearray(path.read_bytes())
        data[place] ^= 1
        path.write_bytes(data)
        refused(read_rgb, path, "damaged")
        path.write_bytes(data[: len(data) // 2])
        refused(read_rgb, path, "damaged")

    def test_the_limits_of_pillow_stay_as_they_are(self, tmp_path):
        before = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
        self.test_the_orientation_is_kept(tmp_path)
        assert before == (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY)
        assert before[0] == png.LONGEST


def discs(size=96):
    """A mask of nuclei."""
    y, x = np.mgrid[:size, :size]
    places = [(20, 24, 9), (52, 30, 12), (70, 75, 10), (24, 72, 11)]
    return np.any([(y - a) ** 2 + (x - b) ** 2 < r * r for a, b, r in places], axis=0)


def painted(mask, outside, inside):
    """A mask in two colours or greys."""
    return np.where(mask[..., None], np.array(inside), np.array(outside)).astype(np.uint8)


def with_palette(mask, outside, inside):
    image = Image.fromarray(mask.astype(np.uint8))
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette([*outside, *inside])
    return image


GREY_MASKS = {
    "1 bit": lambda mask: mask,
    "0 and 1": lambda mask: mask.astype(np.uint8),
    "0 and 255": lambda mask: np.uint8(255) * mask,
    "30 and 200": lambda mask: np.where(mask, 200, 30).astype(np.uint8),
    "16-bit 0 and 1": lambda mask: mask.astype(np.uint16),
    "16-bit 0 and 256": lambda mask: np.uint16(256) * mask,
    "16-bit 0 and 65535": lambda mask: np.uint16(65535) * mask,
}
COLOUR_MASKS = {
    "grey RGB": lambda mask: painted(mask, [0, 0, 0], [255, 255, 255]),
    "red on black": lambda mask: painted(mask, [0, 0, 0], [255, 0, 0]),
    "blue on black": lambda mask: painted(mask, [0, 0, 0], [0, 0, 255]),
    "yellow on blue": lambda mask: painted(mask, [0, 0, 255], [255, 255, 0]),
    "opaque RGBA": lambda mask: painted(mask, [0, 0, 0, 255], [255, 255, 255, 255]),
    "red on nothing": lambda mask: painted(mask, [0, 0, 0, 0], [255, 0, 0, 128]),
    "white on white nothing": lambda mask: painted(mask, [255, 255, 255, 0], [255] * 4),
    "black on nothing": lambda mask: painted(mask, [0, 0, 0, 0], [0, 0, 0, 255]),
    "black and white palette": lambda mask: with_palette(mask, (0, 0, 0), (255, 255, 255)),
    "red palette": lambda mask: with_palette(mask, (0, 0, 0), (128, 0, 0)),
    "palette with white first": lambda mask: with_palette(~mask, (255, 255, 255), (0, 0, 0)),
    "grey and alpha": lambda mask: Image.fromarray(painted(mask, [0, 255], [255, 255]), "LA"),
}


class TestReadMask:
    @pytest.mark.parametrize("suffix", ["png", "tif"])
    @pytest.mark.parametrize("make", [*GREY_MASKS.values(), *COLOUR_MASKS.values()])
    def test_nuclei_are_the_brighter_of_two_colours(self, tmp_path, make, suffix):
        path = save(tmp_path / f"mask.{suffix}", make(discs()))
        read = read_mask(path)
        assert read.dtype == bool
        np.testing.assert_array_equal(read, discs())

    @pytest.mark.parametrize("dtype", ["i4", "u4", "f2", "f4", "f8", "i2"])
    @pytest.mark.parametrize("compression", [None, "zstd", "lzw"])
    def test_numbers_of_any_type_are_read(self, tmp_path, dtype, compression):
        pixels = discs().astype(dtype)
        options = {"photometric": "minisblack", "compression": compression}
        path = write_tiff(tmp_path / "mask.tif", pixels, **options)
        np.testing.assert_array_equal(read_mask(path), discs())

    @pytest.mark.parametrize("compression", [None, "zstd", "jpegxl"])
    def test_white_may_be_zero(self, tmp_path, compression):
        pixels = np.where(discs(), 0, 255).astype(np.uint8)
        options = {"photometric": "miniswhite", "compression": compression}
        path = write_tiff(tmp_path / "mask.tif", pixels, **options)
        np.testing.assert_array_equal(read_mask(path), discs())

    def test_a_palette_beyond_pillow_is_read(self, tmp_path):
        colours = np.zeros((3, 256), np.uint16)
        colours[:, 0] = 65535
        options = {"photometric": "palette", "colormap": colours, "compression": "zstd"}
        path = write_tiff(tmp_path / "mask.tif", (~discs()).astype(np.uint8), **options)
        np.testing.assert_array_equal(read_mask(path), discs())

    @pytest.mark.parametrize("quality", [10, 30, 50, 75, 90, 95, 100])
    @pytest.mark.parametrize("colour", ["grey", "red", "squares"])
    def test_jpeg_changes_next_to_nothing(self, tmp_path, quality, colour):
        mask = discs()
        if colour == "squares":
            mask = np.zeros((64, 64), bool)
            mask[8:32, 8:40] = mask[40:56, 19:60] = True
        pixels = painted(mask, [0, 0, 0], [255, 0, 0]) if colour == "red" else np.uint8(255) * mask
        path = save(tmp_path / "mask.jpg", pixels, quality=quality)
        read = read_mask(path)
        dice = 2 * (read & mask).sum() / (read.sum() + mask.sum())
        assert dice > (0.95 if quality < 50 or colour == "red" else 0.999)
        copy = save(tmp_path / "copy.png", np.asarray(Image.open(path)))  # saved as PNG again
        np.testing.assert_array_equal(read_mask(copy), read)

    def test_soft_edges_are_cut_at_half(self, tmp_path):
        large = Image.fromarray(np.uint8(255) * discs()).resize((192, 192), Image.BILINEAR)
        read = read_mask(save(tmp_path / "mask.png", large))
        np.testing.assert_array_equal(read, np.asarray(large) > 127)
        floats = write_tiff(tmp_path / "f.tif", np.float32(large) / 255, photometric="minisblack")
        np.testing.assert_array_equal(read_mask(floats), read)

    @pytest.mark.parametrize("value, covered", [(0, 0), (1, 1), (255, 1)])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_one_colour_is_nothing_or_all(self, tmp_path, value, covered, dtype):
        path = save(tmp_path / "mask.png", np.full((8, 9), value, dtype))
        assert read_mask(path).mean() == covered

    @pytest.mark.parametrize("colour", [(0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 255), (9, 9, 9, 0)])
    def test_one_black_is_nothing_in_every_mode(self, tmp_path, colour):
        pixels = np.full((8, 9, len(colour)), colour, np.uint8)
        assert not read_mask(save(tmp_path / "mask.png", pixels)).any()

    @pytest.mark.parametrize("numbers", [[1, 2, 300, 4], [1, 1, 300, 300], [1, 2, 3, 3]])
    @pytest.mark.parametrize("dtype", ["u2", "i4", "f4"])
    def test_all_labels_are_nuclei(self, tmp_path, numbers, dtype):
        _, pieces = cv2.connectedComponents(discs().astype(np.uint8))
        labels = np.array([0, *numbers], dtype)[pieces]
        path = write_tiff(tmp_path / "labels.tif", labels, photometric="minisblack")
        np.testing.assert_array_equal(read_mask(path), discs())

    @pytest.mark.parametrize(
        "make, complaint",
        [
            (lambda: noise(64, 64), "more than two greys"),
            (lambda: noise(64, 64, 3), "more than two colours"),
            (lambda: np.tile(np.arange(96, dtype=np.uint8), (96, 1)), "more than two greys"),
            (lambda: np.full((9, 9), 127, np.uint8), "only one grey, 127"),
            (lambda: np.full((9, 9, 3), (255, 0, 0), np.uint8), "only one colour"),
            (lambda: painted(discs(), [114, 0, 0], [0, 58, 0]), "colours of the same brightness"),
            (lambda: Image.new("CMYK", (9, 9)), "the pixel format CMYK"),
            (lambda: np.where(discs(), np.float32(np.nan), 1), "greys that are no numbers"),
            (lambda: gaussian_filter(255.0 * discs(), 6).astype(np.uint8), "more than two greys"),
        ],
    )
    def test_what_has_not_two_colours_is_refused(self, tmp_path, make, complaint):
        path = save(tmp_path / "mask.tif", make())
        refused(read_mask, path, complaint)

    def test_labels_as_colours_are_refused(self, tmp_path):
        _, pieces = cv2.connectedComponents(discs().astype(np.uint8))
        colours = np.array([[0] * 3, [255, 0, 0], [0, 255, 0], [0, 0, 255], [255] * 3], np.uint8)
        path = save(tmp_path / "labels.png", colours[pieces])
        refused(read_mask, path, "more than two colours, so nuclei cannot be told")
        refused(read_labels, path, "shows labels as colours: save one whole number")
        image = Image.frombytes("P", pieces.shape, pieces.astype(np.uint8).tobytes())
        image.putpalette(colours.ravel().tolist())
        path = save(tmp_path / "palette.png", image)
        refused(read_labels, path, "shows labels as colours: save one whole number")

    def test_what_is_wholly_transparent_is_refused(self, tmp_path):
        pixels = painted(discs(), [0, 0, 0, 0], [255, 255, 255, 0])
        refused(read_mask, save(tmp_path / "mask.png", pixels), "is wholly transparent")

    @pytest.mark.parametrize("quality", [50, 75, 95])
    def test_a_real_mask_survives_jpeg(self, tmp_path, monuseg_folder, quality):
        truth = sorted((monuseg_folder / "Test" / "GroundTruth").iterdir())[0]
        mask = np.asarray(Image.open(truth)) > 0
        np.testing.assert_array_equal(read_mask(truth), mask)
        read = read_mask(save(tmp_path / "a.jpg", np.uint8(255) * mask, quality=quality))
        assert (read != mask).mean() < 1e-4
        tissue = truth.parent.parent / "TissueImages" / truth.name.replace("_bin_mask.png", ".tif")
        with Image.open(tissue) as image:
            path = save(tmp_path / "tissue.png", image.convert("L"))
        refused(read_mask, path, "more than two greys")


class TestReadLabels:
    def labels(self, dtype):
        _, pieces = cv2.connectedComponents(discs().astype(np.uint8))
        return np.array([0, 7, 1, 120, 65], dtype)[pieces]

    @pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "u4", "f4", "f8", "i8"])
    def test_whole_numbers_of_any_type_are_labels(self, tmp_path, dtype):
        path = tmp_path / "labels.tif"
        write_tiff(path, self.labels(dtype), photometric="minisblack")
        np.testing.assert_array_equal(read_labels(path), self.labels(np.int32), strict=True)

    def test_grey_may_be_saved_as_colour(self, tmp_path):
        grey = self.labels(np.uint8)
        image = Image.fromarray(grey)
        for name, mode in (("a.png", "RGB"), ("b.png", "RGBA"), ("c.png", "LA")):
            read = read_labels(save(tmp_path / name, image.convert(mode)))
            np.testing.assert_array_equal(read, grey)

    @pytest.mark.parametrize(
        "change, complaint",
        [
            (lambda labels: labels + 0.5, r"values from 0.5 to 120.5 that are no labels"),
            (lambda labels: labels - 1, "values from -1 to 119 that are no labels"),
            (lambda labels: labels * np.float64(2**31), "that are no labels"),
            (lambda labels: np.where(labels, labels, np.nan), "that are no labels"),
            (lambda labels: np.uint8(255) * (labels > 0), "gives many nuclei the same number"),
            (lambda labels: np.uint16(65535) * (labels > 0), "gives many nuclei the same number"),
            (lambda labels: np.uint8(labels > 0), "gives many nuclei the same number"),
        ],
    )
    def test_what_is_no_label_image_is_refused(self, tmp_path, change, complaint):
        path = tmp_path / "labels.tif"
        write_tiff(path, change(self.labels(np.float32)), photometric="minisblack")
        refused(read_labels, path, complaint)

    @pytest.mark.parametrize("quality", [50, 75, 90])
    @pytest.mark.parametrize("what", ["labels", "mask"])
    def test_labels_that_went_through_jpeg_are_refused(self, tmp_path, quality, what):
        pixels = 2 * self.labels(np.uint8) if what == "labels" else np.uint8(255) * discs()
        path = save(tmp_path / "labels.jpg", pixels, quality=quality)
        refused(read_labels, path, "was blurred or saved as JPEG")

    def test_a_map_of_classes_is_no_label_image(self, tmp_path):
        labels = np.zeros((40, 80), np.uint8)
        for number in range(8):  # two numbers, and pieces of them
            labels[4:20, 10 * number : 10 * number + 8] = 1 + number % 2
        path = save(tmp_path / "a.png", labels)
        refused(read_labels, path, "gives many nuclei the same number, as masks and maps of")
        labels[:, 60:] = 0
        np.testing.assert_array_equal(read_labels(save(path, labels)), labels)

    def test_one_nucleus_is_no_mask(self, tmp_path):
        labels = np.zeros((32, 32), np.uint8)
        labels[4:20, 6:20] = 1
        np.testing.assert_array_equal(read_labels(save(tmp_path / "a.png", labels)), labels)
        np.testing.assert_array_equal(
            read_labels(save(tmp_path / "b.png", 255 * labels)).max(), 255
        )


def test_nothing_heavy_is_imported_with_images():
    code = "import sys, nuclei.images; print(*{m.split('.')[0] for m in sys.modules})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-c", code]
    found = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
    heavy = {"keras", "tifffile", "imagecodecs", "cv2", "scipy", "skimage", "tensorflow", "zarr"}
    assert not heavy & set(found.stdout.split())
