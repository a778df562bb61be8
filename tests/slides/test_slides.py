"""Slides: any part at any resolution, tissue told from glass, and what is wrong said in words."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from slide_files import GLASS, aperio, leica, tissue

from nuclei.data.stains import optical_density, transmitted
from nuclei.errors import SlideError
from nuclei.slides import readers
from nuclei.slides.pyramid import write_pyramid
from nuclei.slides.slide import Slide
from nuclei.slides.tissue import find_tissue


class TestSlide:
    def test_any_part_is_read_as_it_is(self, tmp_path, image):
        slide = Slide(write_pyramid(tmp_path / "a.tif", image))
        assert slide.shape == image.shape[:2]
        assert slide.mpp == pytest.approx(0.25) and slide.scale == 1
        np.testing.assert_array_equal(slide.read(200, 300, 333, 270), image[200:533, 300:570])

    def test_beyond_its_border_is_its_mirror_image(self, tmp_path, image):
        slide = Slide(write_pyramid(tmp_path / "a.tif", image))
        expected = np.pad(image, ((28, 100), (28, 60), (0, 0)), mode="reflect")
        np.testing.assert_array_equal(slide.read(-28, -28, 828, 988), expected)

    def test_an_svs_is_read_by_openslide(self, tmp_path, image):
        slide = Slide(aperio(tmp_path / "a.svs", image))
        assert slide.shape == image.shape[:2]
        assert type(slide._levels).__name__ == "_OpenSlideLevels" and len(slide._levels.sizes) == 2
        found = slide.read(200, 300, 333, 270).astype(int)
        assert np.abs(found - image[200:533, 300:570]).mean() < 4  # it is a JPEG

    def test_plain_strips_do(self, tmp_path, image):
        tifffile.imwrite(tmp_path / "a.tif", image, compression="lzw", photometric="rgb")
        slide = Slide(tmp_path / "a.tif", 0.25)
        np.testing.assert_array_equal(slide.read(200, 300, 333, 270), image[200:533, 300:570])

    @pytest.mark.parametrize(("finest", "scale"), [(0.5, 0.5), (0.2, 1.25), (0.1, 2.5)])
    def test_another_resolution_is_scaled(self, tmp_path, image, finest, scale):
        size = tuple(round(n * 0.25 / finest) for n in image.shape[1::-1])
        scanned = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
        slide = Slide(write_pyramid(tmp_path / "a.tif", scanned, mpp=finest, levels=1))
        assert slide.scale == pytest.approx(scale) and slide.mpp == 0.25
        assert np.abs(np.subtract(slide.shape, image.shape[:2])).max() <= 1
        whole = slide.read(0, 0, *slide.shape).astype(int)
        assert np.abs(whole - image[: slide.shape[0], : slide.shape[1]]).mean() < 8
        # Without seams: a part is what the whole has there, and that lies where it lay.
        part = slide.read(200, 300, 333, 270)
        np.testing.assert_allclose(part, whole[200:533, 300:570], atol=1)

    @pytest.mark.parametrize(("finest", "level"), [(0.25, 0), (0.126, 1), (0.2, 0), (0.06, 2)])
    def test_the_level_nearest_to_a_quarter_micrometre_is_read(
        self, tmp_path, image, finest, level
    ):
        assert Slide(write_pyramid(tmp_path / "a.tif", image, mpp=finest))._level == level

    def test_a_resolution_that_is_given_prevails(self, tmp_path, image):
        slide = Slide(write_pyramid(tmp_path / "a.tif", image, mpp=0.25), 0.5)
        assert slide.scale == 0.5 and slide.shape == (1400, 1800)

    def test_ome_xml_knows_the_resolution(self, tmp_path, image):
        metadata = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"}
        tifffile.imwrite(tmp_path / "a.ome.tif", image, photometric="rgb", metadata=metadata)
        assert Slide(tmp_path / "a.ome.tif").scale == 0.5

    @pytest.mark.parametrize("resolution", [None, 352.8], ids=["none", "72 dots per inch"])
    def test_without_a_resolution_it_is_refused(self, tmp_path, image, resolution):
        path = write_pyramid(tmp_path / "a.tif", image, mpp=resolution)
        with pytest.raises(SlideError, match="does not say its resolution.*--mpp 0.25"):
            Slide(path)

    def test_what_is_wrong_is_said(self, tmp_path, image):
        tifffile.imwrite(tmp_path / "grey.tif", image[..., 0], tile=(256, 256))
        (tmp_path / "text.svs").write_text("no slide")
        cut = aperio(tmp_path / "cut.svs", image).read_bytes()
        (tmp_path / "cut.svs").write_bytes(cut[: len(cut) // 2])
        (tmp_path / "head.svs").write_bytes(cut[:8])
        sentences = {
            "none.svs": "does not exist",
            "text.svs": "is not a slide in a known format",
            "grey.tif": "not 8-bit colour",
            "cut.svs": "is cut short",
            "head.svs": r"or cut short \(it has no image\): get a fresh copy",
        }
        for name, sentence in sentences.items():
            with pytest.raises(SlideError, match=sentence):
                Slide(tmp_path / name, 0.25)


class TestBounds:
    """Of a slide that says which part of it was scanned, that part is the slide, as in QuPath."""

    @pytest.mark.parametrize("mpp", [0.25, 0.0625], ids=["finest level", "coarser level"])
    def test_its_corner_is_the_corner_of_the_slide(self, tmp_path, image, mpp):
        slide = Slide(leica(tmp_path / "a.scn", image, mpp=mpp, compression="zlib"))
        assert slide.offset == (400, 300) and type(slide._levels).__name__ == "_OpenSlideLevels"
        step = round(0.25 / mpp)
        expected = image[::step, ::step]
        assert np.abs(np.subtract(slide.shape, expected.shape[:2])).max() <= step // 4
        found = slide.read(20, 30, 100, 120).astype(int)
        assert np.abs(found - expected[20:120, 30:150]).mean() <= step // 4  # a fraction of a pixel

    def test_nothing_beyond_them_is_read(self, tmp_path, image):
        slide = Slide(leica(tmp_path / "a.scn", image, compression="zlib"))
        expected = np.pad(image, ((20, 20), (20, 20), (0, 0)), mode="reflect")
        np.testing.assert_array_equal(slide.read(-20, -20, 740, 940), expected)
        overview, readable = slide.overview()
        assert overview.shape == (21, 28, 3) and readable.all()

    def test_a_slide_without_them_begins_at_its_corner(self, tmp_path, image):
        for path in (aperio(tmp_path / "a.svs", image), write_pyramid(tmp_path / "a.tif", image)):
            assert Slide(path).offset == (0, 0)

    @pytest.mark.parametrize(
        ("x", "y", "width", "height", "expected"),
        [
            ("30000", "70000", "40000", "50000", (30000, 70000, 40000, 50000)),
            ("30000", "70000", "40000", "99999", (30000, 70000, 40000, 80000)),  # clipped
            ("0", "0", "100000", "150000", None),
            ("-5", "0", "1000", "1000", None),
            ("100000", "0", "10", "10", None),
            ("0", "0", "0", "0", None),
            ("a", "0", "10", "10", None),
            (None, "0", "10", "10", None),
        ],
    )
    def test_any_vendor_may_say_them(self, x, y, width, height, expected):
        """MRXS and BIF, too: OpenSlide gives the same properties, which stand in for files."""
        values = {"x": x, "y": y, "width": width, "height": height}
        said = {f"openslide.bounds-{name}": v for name, v in values.items() if v is not None}
        assert readers._bounds(said, (150000, 100000)) == expected


class TestParts:
    """Tiles of 256 x 256 pixels; number 5 is in row 1, column 1 of an image of 4 columns."""

    @pytest.mark.parametrize(("write", "suffix"), [(write_pyramid, "tif"), (aperio, "svs")])
    def test_a_damaged_one_is_an_error_of_its_place(self, tmp_path, image, write, suffix):
        slide = Slide(damaged(write(tmp_path / f"a.{suffix}", image)))
        with pytest.raises(SlideError, match="is damaged"):
            slide.read(300, 300, 100, 100)
        assert slide.read(0, 0, 200, 200).shape == (200, 200, 3)

    @pytest.mark.parametrize(("write", "suffix"), [(write_pyramid, "tif"), (aperio, "svs")])
    def test_it_is_no_error_of_what_other_threads_read(self, tmp_path, image, write, suffix):
        slide = Slide(damaged(write(tmp_path / f"a.{suffix}", image)))

        def is_damaged(corner):
            try:
                slide.read(*corner, 200, 200)
            except SlideError:
                return True
            return False

        corners = 20 * [(0, 0), (300, 300), (0, 560)]
        with ThreadPoolExecutor(3) as threads:
            found = set(zip(corners, threads.map(is_damaged, corners), strict=True))
        assert found == {((0, 0), False), ((300, 300), True), ((0, 560), False)}

    def test_one_that_was_not_scanned_is_white(self, tmp_path, image):
        path = write_pyramid(tmp_path / "a.tif", image)
        with tifffile.TiffFile(path) as file:
            tags = [file.pages.first.tags[name] for name in ("TileOffsets", "TileByteCounts")]
            sizes = [tag.valuebytecount // tag.count for tag in tags]
        with open(path, "r+b") as file:
            for tag, size in zip(tags, sizes, strict=True):
                file.seek(tag.valueoffset + 5 * size)
                file.write(bytes(size))
        assert (Slide(path).read(256, 256, 256, 256) == 255).all()
        np.testing.assert_array_equal(Slide(path).read(0, 0, 256, 256), image[:256, :256])


def damaged(path):
    """Overwrite tile number 5 of a slide."""
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        offset, length = page.dataoffsets[5], page.databytecounts[5]
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * length)
    return path


class TestTissue:
    def test_it_is_told_from_glass(self, tmp_path):
        image, _ = tissue((3000, 4000))
        overview, readable = Slide(write_pyramid(tmp_path / "a.tif", image)).overview()
        assert overview.shape == (93, 125, 3) and readable.all()
        found = find_tissue(overview)
        true = np.zeros(found.shape, bool)
        true[:38, :38] = True  # 1200 pixels at 32
        assert found[true].mean() > 0.97
        assert found[~true].mean() < 0.02

    def test_an_image_full_of_tissue_is_tissue(self, monuseg_folder):
        from nuclei.data import monuseg

        for sample in monuseg.load("val", monuseg_folder):
            small = Image.fromarray(sample.image).resize((31, 31), Image.Resampling.BOX)
            assert find_tissue(np.asarray(small)).mean() > 0.95
            pale = transmitted(0.5 * optical_density(np.asarray(small)))
            assert find_tissue(pale).mean() > 0.95

    @pytest.mark.parametrize("light", [(243, 243, 230), (220, 228, 205), (205, 225, 195)])
    def test_glass_may_have_a_tint(self, light):
        image, _ = tissue((3000, 4000))
        overview = cv2.resize(image, (125, 94), interpolation=cv2.INTER_AREA)
        tinted = np.rint(overview * (np.array(light) / GLASS).clip(0, 1)).astype(np.uint8)
        found = find_tissue(tinted)
        assert found[:38, :38].mean() > 0.97
        found[:40, :40] = False
        assert found.mean() < 0.02

    def test_glass_with_dust_and_pen_is_not(self):
        rng = np.random.default_rng(0)
        glass = np.clip(rng.normal(GLASS, 3, (200, 300, 3)), 0, 255).astype(np.uint8)
        glass[50:53, 60:63] = 40
        glass[100, :] = 90
        assert not find_tissue(glass).any()

    def test_what_cannot_be_read_is_said(self, tmp_path, image):
        path = write_pyramid(tmp_path / "a.tif", image, levels=1)
        with open(path, "r+b") as file:
            file.seek(3000)
            file.write(b"\xff" * 20_000)
        _, readable = Slide(path).overview()
        assert not readable.all()
