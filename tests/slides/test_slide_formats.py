"""Slides are known by their content, whatever their names are."""

import numpy as np
import pytest
import tifffile
from PIL import Image
from sentences import is_one_sentence
from slide_files import WHOLE_SLIDE, dicom, dicom_slide

from nuclei.errors import SlideError
from nuclei.images import SLIDE_SUFFIXES, read_rgb
from nuclei.slides import files, readers
from nuclei.slides.dicom import read_instance
from nuclei.slides.pyramid import write_pyramid
from nuclei.slides.readers import is_slide
from nuclei.slides.slide import Slide


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

    @pytest.mark.parametrize("kind", [0, 1, 2])  # no alpha, multiplied by it, not multiplied
    def test_what_is_transparent_is_laid_over_white_as_in_images(self, tmp_path, image, kind):
        alpha = np.full((*image.shape[:2], 1), 255, np.uint8)
        alpha[:, :300], alpha[:, 300:400] = 0, 100
        colours = image * (alpha / 255) if kind == 1 else image
        pixels = np.concatenate([np.rint(colours).astype(np.uint8), alpha], axis=-1)
        plain, pyramid = tmp_path / "plain.tif", tmp_path / "pyramid.tif"
        tifffile.imwrite(plain, pixels, photometric="rgb", extrasamples=[kind])
        write_pyramid(pyramid, pixels, extrasamples=[kind])
        found = Slide(pyramid).read(0, 0, *image.shape[:2])
        np.testing.assert_array_equal(found, read_rgb(plain), strict=True)
        expected = image if kind == 0 else image * (alpha / 255) + (255.0 - alpha)
        np.testing.assert_allclose(found, expected, atol=1.01)

    @pytest.mark.parametrize("turn", [1, 6])
    def test_what_is_turned_is_refused(self, tmp_path, image, turn):
        path = write_pyramid(tmp_path / "a.tif", image, extratags=[(274, "H", 1, turn, True)])
        if turn == 1:
            assert Slide(path).shape == image.shape[:2]
        else:
            with pytest.raises(SlideError, match="is turned by its tag of orientation") as error:
                Slide(path)
            assert is_one_sentence(error, path)

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


def test_only_pyramids_and_very_large_tiffs_are_slides(tmp_path, image, monkeypatch):
    tifffile.imwrite(tmp_path / "plain.tif", image, photometric="rgb")
    tifffile.imwrite(tmp_path / "tiles.tif", image, photometric="rgb", tile=(256, 256))
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    assert not any(is_slide(tmp_path / f"{n}.tif") for n in ("plain", "tiles", "broken", "none"))
    assert is_slide(write_pyramid(tmp_path / "a.tif", image)) and is_slide(tmp_path / "a.svs")
    monkeypatch.setattr("nuclei.slides.readers.LARGE", 600_000)
    assert is_slide(tmp_path / "plain.tif")


def test_an_image_that_is_large_where_it_is_predicted_is_a_slide(tmp_path, image, monkeypatch):
    """At 20x it has four times as many pixels at 0.25 um, which are predicted in tiles."""
    monkeypatch.setattr("nuclei.slides.readers.LARGE", 2 * image.shape[0] * image.shape[1])
    for suffix in (".png", ".jpg", ".tif"):
        Image.fromarray(image).save(path := tmp_path / f"a{suffix}", dpi=(50_800, 50_800))
        assert is_slide(path) and not is_slide(path, 0.25)
        Image.fromarray(image).save(path)
        assert is_slide(path, 0.5) and not is_slide(path) and not is_slide(path, 0.1)
