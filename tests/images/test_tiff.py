"""Reading TIFF files that Pillow leaves or misreads, and what files say besides their pixels."""

import io
import zlib

import numpy as np
import pytest
import tifffile
from image_files import noise, refused, save, write_tiff
from PIL import Image, PngImagePlugin

from nuclei.images import png, read_grey, read_labels, read_mask, read_rgb, tiff

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

    @pytest.mark.parametrize(
        "shape, axes, count",
        [((5, 20, 24, 3), "ZYXS", 5), ((5, 20, 24), "TYX", 5), ((2, 3, 20, 24), "ZCYX", 6)],
    )
    @pytest.mark.parametrize("read", [read_rgb, read_mask, read_labels])
    def test_several_images_are_refused(self, tmp_path, shape, axes, count, read):
        options = {"photometric": "rgb" if axes.endswith("S") else "minisblack"}
        options |= {"ome": True, "metadata": {"axes": axes}}
        path = write_tiff(tmp_path / "a.tif", noise(*shape), **options)
        refused(read, path, f"holds {count} images of the same size.*: save the one to use as a")

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

    def test_of_a_file_without_its_pages_no_call_is_quoted(self, tmp_path):
        path = write_tiff(tmp_path / "a.tif", noise(64, 64, 3))
        path.write_bytes(path.read_bytes()[:8])
        refused(read_rgb, path, r"damaged or cut short \(it has no image\): get a fresh copy")

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
