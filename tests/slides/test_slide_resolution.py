"""What slides say of their resolution, in any unit, and what is not believed."""

import numpy as np
import pytest
import tifffile
from sentences import is_one_sentence
from slide_files import aperio, dicom

from nuclei.errors import SlideError
from nuclei.images.resolution import of_tiff
from nuclei.slides import resolution
from nuclei.slides.slide import Slide


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
