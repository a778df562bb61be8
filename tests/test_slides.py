"""Slides: any format, any resolution, tissue told from glass, and what is wrong said in words."""

import numpy as np
import pytest
import tifffile
from PIL import Image
from sentences import is_one_sentence
from slide_files import GLASS, WHOLE_SLIDE, aperio, dicom, dicom_slide, leica, tissue

from nuclei.errors import SlideError
from nuclei.images import SLIDE_SUFFIXES
from nuclei.images.resolution import of_tiff
from nuclei.slides import files, readers, resolution
from nuclei.slides.dicom import read_instance
from nuclei.slides.pyramid import write_pyramid
from nuclei.slides.readers import is_slide
from nuclei.slides.slide import Slide
from nuclei.slides.tissue import find_tissue


@pytest.fixture(scope="module")
def image():
    return tissue((700, 900))[0]


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
        sentences = {
            "none.svs": "does not exist",
            "text.svs": "is not a slide in a known format",
            "grey.tif": "not 8-bit colour",
            "cut.svs": "is cut short",
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


def tiff(path, image, across=None, down=None, ome=None, **options):
    """Write a TIFF with a resolution in its tags, in um, and with attributes of OME-XML."""
    known = {}
    if across:
        known = {"resolution": (1e4 / across, 1e4 / down), "resolutionunit": "CENTIMETER"}
    metadata = None if ome is None else {"axes": "YXS", **ome}
    tifffile.imwrite(path, image, photometric="rgb", metadata=metadata, **known, **options)
    return path


UNITS = {
    "pm": 250_000,
    "\N{ANGSTROM SIGN}": 2500,
    "nm": 250,
    "um": 0.25,
    "\N{MICRO SIGN}m": 0.25,
    "\N{GREEK SMALL LETTER MU}m": 0.25,
    "mm": 0.00025,
    "cm": 0.000025,
    "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}": 2500,
    "m": 2.5e-7,
    "in": 0.25 / 25_400,
}


class TestResolution:
    @pytest.mark.parametrize(("unit", "value"), UNITS.items())
    def test_ome_says_it_in_any_unit(self, tmp_path, image, unit, value):
        ome = {"PhysicalSizeX": value, "PhysicalSizeXUnit": unit}
        ome |= {name.replace("X", "Y"): v for name, v in ome.items()}
        path = tiff(tmp_path / "a.ome.tif", image, ome=ome)
        assert Slide(path).scale == pytest.approx(1) and Slide(path).mpp == pytest.approx(0.25)

    @pytest.mark.parametrize(
        "ome",
        [
            {},
            {"PhysicalSizeX": 1, "PhysicalSizeXUnit": "pixel"},
            {"PhysicalSizeX": 0, "PhysicalSizeXUnit": "nm"},
        ],
        ids=["no size", "no length", "zero"],
    )
    def test_ome_without_a_size_leaves_it_to_the_tags(self, tmp_path, image, ome):
        assert Slide(tiff(tmp_path / "a.ome.tif", image, 0.5, 0.5, ome=ome)).scale == 0.5
        with pytest.raises(SlideError, match="does not say its resolution"):
            Slide(tiff(tmp_path / "b.ome.tif", image, ome=ome))

    @pytest.mark.parametrize("value", ["n/a", "", "nan", "inf", "-0.25", "0,25"])
    def test_what_is_no_number_is_not_said(self, tmp_path, value):
        text = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image><Pixels '
        text += f'SizeX="9" SizeY="5" PhysicalSizeX="{value}"/></Image></OME>'
        with tifffile.TiffFile(tiff(tmp_path / "a.tif", np.zeros((5, 9, 3), np.uint8))) as file:
            assert of_tiff(file.pages.first, text, (5, 9)) is None
        with tifffile.TiffFile(
            tiff(tmp_path / "a.tif", np.zeros((5, 9, 3), np.uint8), 0.5, 0.5)
        ) as file:
            found = of_tiff(file.pages.first, text, (5, 9))
            assert found == pytest.approx((0.5, 0.5))
        said = {"openslide.mpp-x": value, "openslide.mpp-y": value}
        assert resolution.of_openslide(said) is None
        assert resolution.of_openslide({**said, "openslide.objective-power": "20"}) == (0.5, 0.5)

    def test_damaged_ome_leaves_it_to_the_tags(self, tmp_path):
        with tifffile.TiffFile(
            tiff(tmp_path / "a.tif", np.zeros((5, 9, 3), np.uint8), 0.5, 0.5)
        ) as file:
            for text in ("<OME>", "", None, "<!DOCTYPE a [<!ENTITY b 'c'>]><OME>&b;</OME>"):
                found = of_tiff(file.pages.first, text, (5, 9))
                assert found == pytest.approx((0.5, 0.5))

    def test_that_of_the_largest_image_counts(self, tmp_path, image):
        with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
            for pixels, size in ((image[:90, :80], 8000), (image, 500)):
                known = {"PhysicalSizeX": size, "PhysicalSizeXUnit": "nm"}
                metadata = {"axes": "YXS", **known}
                writer.write(pixels, photometric="rgb", metadata=metadata)
        assert Slide(tmp_path / "a.ome.tif").scale == 0.5

    def test_an_svs_without_it_has_a_power(self, tmp_path, image):
        for value in (None, 0, "none"):
            assert Slide(aperio(tmp_path / "a.svs", image, value, power=20)).scale == 0.5
            with pytest.raises(SlideError, match="does not say its resolution.*--mpp"):
                Slide(aperio(tmp_path / "a.svs", image, value, power=None))

    @pytest.mark.parametrize("value", [0.00025, 0.0274, 2.5, 250, 1e9])
    def test_a_wrong_unit_is_refused_from_every_source(self, tmp_path, image, value):
        files = [
            aperio(tmp_path / "a.svs", image, value),
            tiff(tmp_path / "a.ome.tif", image, ome={"PhysicalSizeX": value}),
        ]
        if value < 1e3:
            dicom(tmp_path / "a.dcm", image, mpp=value)
            files.append(tmp_path / "a.dcm")
        for path in files:
            with pytest.raises(
                SlideError, match="which no scan of nuclei has.*--mpp 0.25"
            ) as error:
                Slide(path)
            assert is_one_sentence(error, path)
            assert Slide(path, 0.25).scale == 1  # the cure
            with pytest.raises(SlideError, match="cannot have .*--mpp 0.25 for") as error:
                Slide(path, value)
            assert is_one_sentence(error, path)

    def test_a_power_that_cannot_be_is_refused(self, tmp_path, image):
        path = aperio(tmp_path / "a.svs", image, None, power=1)
        with pytest.raises(SlideError, match="says 10 um per pixel, which no scan"):
            Slide(path)

    @pytest.mark.parametrize(("unit", "density"), [("INCH", 50_800), ("CENTIMETER", 20_000)])
    def test_tags_say_it_in_inch_or_centimetre(self, tmp_path, image, unit, density):
        options = {"resolution": (density, density), "resolutionunit": unit}
        assert Slide(tiff(tmp_path / "a.tif", image, **options)).scale == 0.5

    def test_tags_that_cannot_be_are_not_said(self, tmp_path, image):
        for value in (0.00025, 0.0274, 250):
            path = tiff(tmp_path / "a.tif", image, value, value)
            with pytest.raises(SlideError, match="does not say its resolution"):
                Slide(path)

    @pytest.mark.parametrize("ratio", [2, 0.5, 1.06])
    def test_pixels_that_are_not_square_are_refused(self, tmp_path, image, ratio):
        ome = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25 * ratio}
        files = (
            tiff(tmp_path / "a.tif", image, 0.25, 0.25 * ratio),
            tiff(tmp_path / "a.ome.tif", image, ome=ome),
        )
        for path in files:
            with pytest.raises(SlideError, match="per pixel across and .* down.*--mpp") as error:
                Slide(path)
            assert is_one_sentence(error, path)
            assert Slide(path, 0.25).scale == 1

    def test_a_hair_from_square_is_square(self, tmp_path, image):
        path = tiff(tmp_path / "a.tif", image, 0.25, 0.252)
        assert Slide(path).mpp == pytest.approx(np.sqrt(0.25 * 0.252))
        assert resolution.of_openslide({"openslide.mpp-y": "0.5"}) == (0.5, 0.5)


class TestContent:
    """A slide is known by its content, whatever its name is."""

    @pytest.mark.parametrize("suffix", [".btf", ".tf8", ".tf2", ".qptiff", ".ome.tif", ".TIFF", ""])
    @pytest.mark.parametrize("tile", [(256, 256), None], ids=["tiles", "strips"])
    def test_a_pyramid_by_any_name_is_a_slide(self, tmp_path, image, suffix, tile):
        path = write_pyramid(tmp_path / f"a{suffix}", image, tile=tile)
        assert is_slide(path)
        assert files.find([tmp_path]) == [path]
        np.testing.assert_array_equal(Slide(path).read(200, 300, 90, 80), image[200:290, 300:380])

    def test_a_pyramid_of_pages_is_a_slide(self, tmp_path, image):
        for tile in ((256, 256), None):
            with tifffile.TiffWriter(tmp_path / "a.btf", bigtiff=True) as writer:
                for step in (1, 2, 4):
                    options = {"photometric": "rgb", "metadata": None, "tile": tile}
                    writer.write(image[::step, ::step], subfiletype=int(step > 1), **options)
            assert is_slide(tmp_path / "a.btf")
            assert len(Slide(tmp_path / "a.btf", 0.25)._levels.sizes) == 3

    def test_in_a_folder_formats_of_openslide_are_known_by_their_suffixes(self, tmp_path):
        names = [f"a{suffix}" for suffix in sorted(SLIDE_SUFFIXES)]
        for name in names:
            (tmp_path / name.upper()).write_bytes(b"no slide")
        found = files.find([tmp_path])
        assert [path.name for path in found] == [name.upper() for name in names]
        for path in found:
            assert is_slide(path)
            with pytest.raises(SlideError, match="cannot be opened|is not a slide in a known"):
                Slide(path)

    def test_other_files_are_left_out(self, tmp_path, image):
        tifffile.imwrite(tmp_path / "plain.btf", image, photometric="rgb")
        (tmp_path / "notes.txt").write_text("no slide")
        (tmp_path / "folder.btf").mkdir()
        (tmp_path / "._hidden").write_bytes(write_pyramid(tmp_path / "a.tif", image).read_bytes())
        Image.fromarray(image).save(tmp_path / "b.png")
        assert files.find([tmp_path]) == [tmp_path / "a.tif", tmp_path / "b.png"]
        assert not any(is_slide(path) for path in tmp_path.iterdir() if path.name[0] in "bnpf")

    def test_the_largest_image_is_the_slide(self, tmp_path, image):
        with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
            options = {"photometric": "rgb", "metadata": {"axes": "YXS"}}
            writer.write(image[:90, :80], **options)
            writer.write(image, subifds=1, **options)
            writer.write(image[::2, ::2], subfiletype=1, photometric="rgb")
            writer.write(image[:70, :60], **options)
        assert is_slide(tmp_path / "a.ome.tif")
        slide = Slide(tmp_path / "a.ome.tif", 0.25)
        assert slide.shape == image.shape[:2] and len(slide._levels.sizes) == 2
        np.testing.assert_array_equal(slide.read(200, 300, 90, 80), image[200:290, 300:380])

    def test_colours_may_lie_in_planes(self, tmp_path, image):
        path = tmp_path / "a.tif"
        planes = np.moveaxis(image, -1, 0)
        tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate")
        slide = Slide(path, 0.25)
        assert slide.shape == image.shape[:2]
        np.testing.assert_array_equal(slide.read(200, 300, 90, 80), image[200:290, 300:380])

    def test_colours_may_lie_in_pages(self, tmp_path, image):
        """As in the pyramids that libvips writes."""
        path, planes = tmp_path / "a.ome.tif", np.moveaxis(image, -1, 0)
        options = {"photometric": "minisblack", "tile": (256, 256)}
        known = {"axes": "CYX", "PhysicalSizeX": 0.5}
        with tifffile.TiffWriter(path) as writer:
            writer.write(planes, subifds=1, metadata=known, **options)
            writer.write(np.ascontiguousarray(planes[:, ::2, ::2]), subfiletype=1, **options)
        assert is_slide(path)
        slide = Slide(path)
        assert slide.scale == 0.5 and len(slide._levels.sizes) == 2
        slide = Slide(path, 0.25)
        np.testing.assert_array_equal(slide.read(200, 300, 90, 80), image[200:290, 300:380])
        dyes = {"axes": "CYX", "Channel": {"Fluor": ["DAPI", "FITC", "Cy5"]}}
        tifffile.imwrite(path, planes, metadata=dyes, **options)
        with pytest.raises(SlideError, match="not 8-bit colour"):
            Slide(path, 0.25)

    def test_colours_may_be_ycbcr_in_jpeg(self, tmp_path, image):
        options = {"compression": "jpeg", "compressionargs": {"level": 95}}
        path = write_pyramid(tmp_path / "a.tif", image, **options)
        with tifffile.TiffFile(path) as file:
            assert file.pages.first.photometric.name == "YCBCR"
        found = Slide(path).read(200, 300, 90, 80)
        assert np.abs(found.astype(int) - image[200:290, 300:380]).mean() < 6

    def test_other_colours_are_refused(self, tmp_path, image):
        writes = {
            "deep": {"data": image.astype(np.uint16), "photometric": "rgb"},
            "two": {"data": np.moveaxis(image, -1, 0)[:2], "metadata": {"axes": "CYX"}},
            "four": {"data": np.stack([image[..., 0]] * 4), "metadata": {"axes": "CYX"}},
            "ycbcr": {"data": image, "photometric": "ycbcr"},
        }
        for name, options in writes.items():
            options.setdefault("photometric", "minisblack")
            path = tmp_path / f"{name}.ome.tif"
            tifffile.imwrite(path, **options)
            with pytest.raises(SlideError, match="not 8-bit colour: save the H&E") as error:
                Slide(path, 0.25)
            assert is_one_sentence(error, path)

    @pytest.mark.parametrize("axes", ["ZYXS", "TYXS", None, "series"])
    def test_a_stack_is_refused(self, tmp_path, image, axes, monkeypatch):
        path = tmp_path / "a.ome.tif"
        if axes in ("ZYXS", "TYXS"):
            stack = np.stack([image, image, image])
            tifffile.imwrite(path, stack, photometric="rgb", metadata={"axes": axes})
        else:
            with tifffile.TiffWriter(path) as writer:
                for _ in range(3):
                    metadata = {"axes": "YXS"} if axes else None
                    writer.write(image, photometric="rgb", metadata=metadata)
        monkeypatch.setattr(readers, "LARGE", 600_000)
        assert is_slide(path)
        with pytest.raises(SlideError, match="holds 3 images of the same size.*save the one") as e:
            Slide(path, 0.25)
        assert is_one_sentence(e, path)

    def test_a_folder_is_said_to_be_one(self, tmp_path):
        with pytest.raises(SlideError, match="is a folder: give a file of the slide in it"):
            Slide(tmp_path, 0.25)


class TestDicom:
    @pytest.mark.parametrize("suffix", [".dcm", "", ".113619"])
    def test_a_folder_is_one_slide(self, tmp_path, image, suffix):
        folder = dicom_slide(tmp_path / "slide", image, suffix)
        (folder / "notes.txt").write_text("no slide")
        (found,) = files.find([folder])
        assert found == folder / f"c_level{suffix}" and is_slide(found)
        assert files.find(sorted(folder.glob("?_*"))) == [found]
        slide = Slide(found)
        assert slide.shape == image.shape[:2] and len(slide._levels.sizes) == 2
        np.testing.assert_array_equal(slide.read(200, 300, 90, 80), image[200:290, 300:380])

    def test_two_slides_in_a_folder_are_two(self, tmp_path, image):
        dicom(tmp_path / "first.dcm", image, slide="1.2.3")
        dicom(tmp_path / "second.dcm", image, slide="1.2.4")
        dicom(tmp_path / "third.dcm", image[::2, ::2], slide="1.2.4", number=2)
        Image.fromarray(image).save(tmp_path / "a.png")
        names = [path.name for path in files.find([tmp_path])]
        assert names == ["a.png", "first.dcm", "second.dcm"]

    def test_slides_in_two_folders_are_two(self, tmp_path, image):
        copies = [dicom_slide(tmp_path / name, image) for name in "ab"]
        assert files.find(copies) == [folder / "c_level.dcm" for folder in copies]

    @pytest.mark.parametrize("name", ["a_label.dcm", "d_macro.dcm", "e_small.dcm"])
    def test_label_and_macro_are_not_predicted(self, tmp_path, image, name):
        folder = dicom_slide(tmp_path, image)
        dicom(folder / "e_small.dcm", image[::9, ::9].copy(), "THUMBNAIL", number=5)
        kind = {"a_label.dcm": "label", "d_macro.dcm": "overview", "e_small.dcm": "thumbnail"}[name]
        with pytest.raises(SlideError, match=f"holds only the {kind} of a slide") as error:
            Slide(folder / name)
        assert is_one_sentence(error, folder / name)
        assert files.find([folder / name]) == [folder / name]  # so that this can be said

    def test_a_level_stands_for_its_slide(self, tmp_path, image):
        assert Slide(dicom_slide(tmp_path, image) / "b_half.dcm").shape == image.shape[:2]

    def test_other_dicom_is_no_slide(self, tmp_path, image):
        tomogram = dicom(tmp_path / "a", image, sop_class="1.2.840.10008.5.1.4.1.1.2")
        assert read_instance(tomogram) is None and not is_slide(tomogram)
        assert read_instance(tmp_path / "none") is None
        whole = dicom(tmp_path / "whole", image).read_bytes()
        assert read_instance(tmp_path / "whole").kind == "VOLUME" and WHOLE_SLIDE.encode() in whole
        for length in (0, 131, 132, 140, 200, 400):
            (tmp_path / "cut").write_bytes(whole[:length])
            assert read_instance(tmp_path / "cut") is None
        for seed in range(20):
            noise = np.random.default_rng(seed).bytes(3000)
            (tmp_path / "noise").write_bytes(whole[:132] + noise)
            assert read_instance(tmp_path / "noise") is None

    def test_focal_planes_are_refused(self, tmp_path, image):
        path = dicom(tmp_path / "a.dcm", image, planes=3)
        with pytest.raises(SlideError, match="cannot be opened.*FocalPlanes") as error:
            Slide(path)
        assert is_one_sentence(error, path)


def test_a_damaged_tile_is_an_error_of_its_place(tmp_path, image):
    for write, suffix in ((write_pyramid, "tif"), (aperio, "svs")):
        path = write(tmp_path / f"a.{suffix}", image)
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            offset, length = page.dataoffsets[5], page.databytecounts[5]  # row 1, column 1
        with open(path, "r+b") as file:
            file.seek(offset)
            file.write(b"\xff" * length)
        slide = Slide(path)
        with pytest.raises(SlideError, match="is damaged"):
            slide.read(300, 300, 100, 100)
        assert slide.read(0, 0, 200, 200).shape == (200, 200, 3)


def test_only_pyramids_and_very_large_tiffs_are_slides(tmp_path, image, monkeypatch):
    tifffile.imwrite(tmp_path / "plain.tif", image, photometric="rgb")
    tifffile.imwrite(tmp_path / "tiles.tif", image, photometric="rgb", tile=(256, 256))
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    assert not any(is_slide(tmp_path / f"{n}.tif") for n in ("plain", "tiles", "broken", "none"))
    assert is_slide(write_pyramid(tmp_path / "a.tif", image)) and is_slide(tmp_path / "a.svs")
    monkeypatch.setattr("nuclei.slides.readers.LARGE", 600_000)
    assert is_slide(tmp_path / "plain.tif")


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

    def test_glass_with_dust_and_pen_is_not(self):
        rng = np.random.default_rng(0)
        glass = np.clip(rng.normal(GLASS, 3, (200, 300, 1)) + np.zeros(3), 0, 255).astype(np.uint8)
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
