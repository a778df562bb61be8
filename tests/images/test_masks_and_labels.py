"""Reading masks and label images, in any colours."""

import cv2
import numpy as np
import pytest
from image_files import noise, refused, save, write_tiff
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.measure import label

from nuclei.errors import InputError
from nuclei.images import read_grey, read_labels, read_mask


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
    @pytest.mark.parametrize("compression", [None, "zstd", "lzw", "zlib"])
    @pytest.mark.parametrize("byteorder", ["<", ">"])
    @pytest.mark.parametrize("high", [1, 255])
    def test_numbers_of_any_type_are_read(self, tmp_path, dtype, compression, byteorder, high):
        pixels = discs().astype(dtype) * np.array(high, dtype)
        options = {"photometric": "minisblack", "compression": compression, "byteorder": byteorder}
        path = write_tiff(tmp_path / "mask.tif", pixels, **options)
        np.testing.assert_array_equal(read_mask(path), discs())
        if dtype != "f2":  # which is too coarse for numbers of nuclei
            labels = label(discs()) + 300 * discs()
            path = write_tiff(tmp_path / "labels.tif", labels.astype(dtype), **options)
            np.testing.assert_array_equal(read_labels(path), labels)

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    @pytest.mark.parametrize("compression", [None, "zstd", "jpegxl"])
    def test_white_may_be_zero(self, tmp_path, compression, dtype):
        pixels = np.where(discs(), 0, np.iinfo(dtype).max).astype(dtype)
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
