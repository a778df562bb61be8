"""Plain images of any resolution: known from the file, honoured, and in the image's own pixels."""

import io
import json

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin
from sentences import is_one_sentence

from nuclei.__main__ import main
from nuclei.data import monuseg, synthetic
from nuclei.errors import InputError
from nuclei.images import read_grey, read_labels, read_mask, read_mpp, read_rgb, resolution
from nuclei.prediction import engines, windows
from nuclei.prediction.image import predict_image
from nuclei.slides import predict as predict_slide
from nuclei.slides.slide import Slide

SHAPE = 9, 12


class Nuclei:
    """Stands in for a model: what is dark is a nucleus, more certainly the darker it is."""

    output_shape = (None, None, None, 1)
    shapes = ()

    def predict_on_batch(self, batch):
        self.shapes = (*self.shapes, batch.shape[1:3])
        light = batch.mean(axis=-1, keepdims=True, dtype=np.float32)
        return np.clip((212 - light) / 112, 0, 1)  # of eosin 0, of nuclei 1


@pytest.fixture(scope="module")
def tissue():
    """Nuclei on eosin at 0.25 um per pixel, and the same at 0.5 um, 303 x 251 pixels."""
    _, labels = synthetic.tissue(seed=3, shape=(502, 606))
    image = np.where((labels > 0)[..., None], (90, 60, 150), (235, 180, 220)).astype(np.uint8)
    half = Image.fromarray(image).resize((303, 251), Image.Resampling.BOX)
    return image, np.asarray(half)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, where the model is `Nuclei` by any name."""
    monkeypatch.setattr(engines, "load", lambda *_: engines.KerasEngine(Nuclei()))
    monkeypatch.setattr(engines, "choose", lambda *_: "keras")
    monkeypatch.setattr(engines, "fingerprint", lambda *_: "nuclei")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def png(mpp, **options):
    return "PNG", {"dpi": (25_400 / mpp,) * 2, **options}


def write(path, kind, options):
    """A file of an image without content, by Pillow or, if it is `tifffile`, by that."""
    pixels = np.full((*SHAPE, 3), 200, np.uint8)
    if kind == "tifffile":
        tifffile.imwrite(path, pixels, photometric="rgb", **options)
    else:
        Image.fromarray(pixels).save(path, kind, **options)
    return path


def text_of_a_megabyte():
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "a" * (2 << 20), zip=True)
    return {"pnginfo": text}


CENTIMETRES = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER", "metadata": None}
IMAGEJ = {"imagej": True, "resolution": (2, 2)}
SAID = {
    "png": png(0.5),
    "png with a long text": png(0.5, **text_of_a_megabyte()),
    "jpeg": ("JPEG", {"dpi": (50_800, 50_800)}),
    "tiff in inches": ("TIFF", {"dpi": (50_800, 50_800)}),
    "tiff in centimetres": ("tifffile", CENTIMETRES),
    "bigtiff": ("tifffile", {**CENTIMETRES, "bigtiff": True}),
    "ome": (
        "tifffile",
        {"ome": True, "metadata": {"PhysicalSizeX": 500, "PhysicalSizeXUnit": "nm"}},
    ),
    "imagej": ("tifffile", {**IMAGEJ, "metadata": {"unit": "um"}}),
    "imagej with its own micro sign": ("tifffile", {**IMAGEJ, "metadata": {"unit": r"\u00B5m"}}),
}
NOT_SAID = {
    "png": ("PNG", {}),
    "jpeg": ("JPEG", {}),
    "tiff": ("TIFF", {}),
    **{f"png of {dpi} dpi": ("PNG", {"dpi": (dpi, dpi)}) for dpi in (1, 72, 96, 300, 1200)},
    **{f"jpeg of {dpi} dpi": ("JPEG", {"dpi": (dpi, dpi)}) for dpi in (1, 72, 96, 300)},
    **{f"tiff of {dpi} dpi": ("TIFF", {"dpi": (dpi, dpi)}) for dpi in (1, 72, 96, 300)},
    "ome in a wrong unit": ("tifffile", {"ome": True, "metadata": {"PhysicalSizeX": 250}}),
    "imagej in pixels": ("tifffile", {**IMAGEJ, "metadata": {"unit": "pixel"}}),
    "tiff without unit": ("tifffile", {**CENTIMETRES, "resolutionunit": "NONE"}),
    "finer than any scan": png(0.001),
}


class TestFile:
    @pytest.mark.parametrize("name", SAID)
    def test_it_says_the_resolution(self, tmp_path, name):
        path = write(tmp_path / "a", *SAID[name])
        assert read_mpp(path) == pytest.approx(0.5, rel=1e-3)
        assert read_mpp(io.BytesIO(path.read_bytes())) == pytest.approx(0.5, rel=1e-3)
        assert read_rgb(path).shape == (*SHAPE, 3)

    @pytest.mark.parametrize("name", NOT_SAID)
    def test_what_no_microscope_has_says_nothing(self, tmp_path, name):
        assert read_mpp(write(tmp_path / "a", *NOT_SAID[name])) is None

    def test_what_cannot_be_read_says_nothing(self, tmp_path):
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
        (tmp_path / "b.tif").write_bytes(b"II*\0 and no more")
        (tmp_path / "c.txt").write_text("no image")
        assert [read_mpp(tmp_path / name) for name in ("a.png", "b.tif", "c.txt", "d")] == [
            None
        ] * 4

    def test_pixels_that_are_not_square_are_refused(self, tmp_path):
        path = write(tmp_path / "a.png", "PNG", {"dpi": (101_600, 50_800)})
        with pytest.raises(InputError, match="0.25 um per pixel across and 0.5 um.*--mpp") as error:
            read_mpp(path)
        assert is_one_sentence(error, path)
        assert predict_image(Nuclei(), path, 0.25).mpp == 0.25  # the cure


class TestPrediction:
    def test_areas_do_not_depend_on_the_resolution(self, tissue):
        fine, half = (
            predict_image(Nuclei(), image, mpp)
            for image, mpp in zip(tissue, (0.25, 0.5), strict=True)
        )
        for image, found in zip(tissue, (fine, half), strict=True):
            for one in (found.mask, found.labels, found.probability, found.excluded):
                assert one.shape == image.shape[:2]
            np.testing.assert_array_equal(found.mask, found.probability >= 0.5)
            assert set(np.unique(found.labels)) == set(range(found.labels.max() + 1))
        assert 4 * half.mask.sum() == pytest.approx(fine.mask.sum(), rel=0.03)
        assert half.labels.max() == pytest.approx(fine.labels.max(), rel=0.05)
        median = [np.median(np.bincount(one.labels.ravel())[1:]) for one in (fine, half)]
        assert 4 * median[1] == pytest.approx(median[0], rel=0.05)
        # They lie at the same places: one pixel further in any direction they fit less well.
        twice = half.mask.repeat(2, 0).repeat(2, 1)
        common = (twice & fine.mask).sum()
        assert common > 0.93 * fine.mask.sum()
        for shift in (-1, 1):
            for axis in (0, 1):
                assert (np.roll(twice, shift, axis) & fine.mask).sum() < common

    def test_the_network_sees_a_quarter_micrometre(self, tissue):
        _, half = tissue
        for mpp, shape in {
            0.25: (251, 303),
            0.26: (251, 303),
            0.5: (502, 606),
            0.1: (100, 121),
        }.items():
            model = Nuclei()
            predict_image(model, half, mpp)
            same = Nuclei()
            windows.predict(same, np.zeros((*shape, 3), np.uint8))
            assert model.shapes == same.shapes

    def test_similar_is_not_scaled_but_measured(self, tissue):
        image, _ = tissue
        exact, similar = predict_image(Nuclei(), image), predict_image(Nuclei(), image, 0.26)
        np.testing.assert_array_equal(exact.labels, similar.labels)
        assert (exact.mpp, similar.mpp) == (0.25, 0.26)

    def test_a_nucleus_stays_in_one_piece(self):
        image = np.full((64, 64, 3), (235, 180, 220), np.uint8)
        image[8:24, 8:24] = image[40:56, 40:56] = (60, 30, 120)
        for place in range(24, 40):
            image[place, place : place + 2] = (60, 30, 120)  # a thread between the two
        fine = image.repeat(4, 0).repeat(4, 1)  # here the thread is thick enough
        assert predict_image(Nuclei(), fine, 0.25).labels.max() >= 2
        found = predict_image(Nuclei(), image, 1.0)
        assert found.labels.max() >= 2
        for number in range(1, found.labels.max() + 1):
            one = (found.labels == number).astype(np.uint8)
            assert cv2.connectedComponents(one, connectivity=4)[0] == 2

    def test_a_file_knows_its_resolution(self, tissue, tmp_path):
        path = tmp_path / "a.png"
        Image.fromarray(tissue[1]).save(path, dpi=(50_800, 50_800))
        found, given = predict_image(Nuclei(), path), predict_image(Nuclei(), tissue[1], 0.5)
        assert found.mpp == pytest.approx(0.5, rel=1e-4)
        np.testing.assert_array_equal(found.labels, given.labels)
        assert predict_image(Nuclei(), str(path), 0.25).mpp == 0.25

    @pytest.mark.parametrize("mpp", [0, -0.25, 250, float("nan"), float("inf"), 0.00025])
    def test_what_cannot_be_is_refused(self, tissue, tmp_path, mpp):
        path = write(tmp_path / "a.png", "PNG", {})
        for image, name in ((path, path), (tissue[1], "The image")):
            with pytest.raises(InputError, match="cannot have .* um per pixel.*0.25") as error:
                predict_image(Nuclei(), image, mpp)
            assert is_one_sentence(error, name)

    def test_an_image_that_would_become_too_large_is_refused(self, tissue, monkeypatch):
        monkeypatch.setattr(resolution, "LARGE", 200_000)
        assert predict_image(Nuclei(), tissue[1], 0.4).mask.any()
        with pytest.raises(InputError, match="The image has 606 x 502 pixels at 0.25 um"):
            predict_image(Nuclei(), tissue[1], 0.5)

    def test_no_image_is_refused(self):
        for image in (
            np.zeros((9, 9), np.uint8),
            np.zeros((0, 9, 3), np.uint8),
            np.zeros((9, 9, 3)),
        ):
            with pytest.raises(InputError, match="must be 8-bit RGB"):
                predict_image(Nuclei(), image, 0.5)


class TestCommand:
    def run(self, capsys, *arguments):
        code = main(["predict", "unet", *arguments, "--out", "out", "--instances", "--probability"])
        return code, *capsys.readouterr()

    def areas(self, here):
        rows = (here / "out" / "a.csv").read_text().splitlines()[1:]
        return np.array([[float(value) for value in row.split(",")] for row in rows])

    def closing(self, here):
        return f"1 of 1 masks written to out, with {len(self.areas(here))} nuclei.\n"

    def test_results_are_in_pixels_of_the_image_and_in_micrometres(self, here, tissue, capsys):
        Image.fromarray(tissue[0]).save("a.png")
        assert self.run(capsys, "a.png")[0] == 0
        fine = self.areas(here)
        Image.fromarray(tissue[1]).save("a.png")
        code, output, _ = self.run(capsys, "a.png", "--mpp", "0.5", "--overlay")
        assert (code, output) == (0, self.closing(here))
        half = self.areas(here)
        assert np.median(half[:, 3]) == pytest.approx(np.median(fine[:, 3]), rel=0.05)
        assert half[:, 1].max() == pytest.approx(fine[:, 1].max(), abs=2)
        assert half[:, 2].max() == pytest.approx(fine[:, 2].max(), abs=2)
        for name in ("a_mask.png", "a_overlay.png"):
            assert Image.open(here / "out" / name).size == (303, 251)
        for name in ("a_labels.tif", "a_probability.tif"):
            assert tifffile.imread(here / "out" / name).shape == (251, 303)
        features = json.loads((here / "out" / "a.geojson").read_text())["features"]
        corners = np.concatenate([one["geometry"]["coordinates"][0] for one in features])
        assert len(features) == len(half)
        assert (corners.max(axis=0) > (290, 240)).all() and (
            corners.max(axis=0) <= (303, 251)
        ).all()

    def test_what_the_file_says_is_used_and_said(self, here, tissue, capsys):
        Image.fromarray(tissue[1]).save("a.png")
        self.run(capsys, "a.png", "--mpp", "0.5")
        given = self.areas(here)
        Image.fromarray(tissue[1]).save("a.png", dpi=(50_800, 50_800))
        code, output, errors = self.run(capsys, "a.png")
        assert code == 0 and output.startswith("a.png has 0.5 um per pixel, as its file says.\n")
        assert "--mpp" not in errors
        np.testing.assert_allclose(self.areas(here), given, rtol=1e-3)
        output = self.run(capsys, "a.png", "--mpp", "0.25")[1]
        assert output == self.closing(here)

    def test_what_no_microscope_has_is_not_said(self, here, tissue, capsys):
        Image.fromarray(tissue[1]).save("a.png")
        self.run(capsys, "a.png")
        unknown = self.areas(here)
        Image.fromarray(tissue[1]).save("a.png", dpi=(72, 72))
        code, output, errors = self.run(capsys, "a.png")
        assert (code, output) == (0, self.closing(here))
        np.testing.assert_array_equal(self.areas(here), unknown)
        assert "per pixel: 1, taken to have 0.25" in errors and "--mpp" in errors

    @pytest.mark.parametrize("mpp", ["0", "250", "-1", "nan", "many"])
    def test_what_cannot_be_is_refused_in_one_sentence(self, here, capsys, mpp):
        with pytest.raises(SystemExit) as ended:
            main(["predict", "unet", "a.png", "--out", "out", "--mpp", mpp])
        said = capsys.readouterr().err.splitlines()[-1]
        assert ended.value.code == 2 and "argument --mpp: " in said and mpp in said

    def test_ink_is_said(self, here, tissue, capsys):
        image = tissue[0].copy()
        image[:100] = 0
        Image.fromarray(image).save("a.png")
        code, output, errors = self.run(capsys, "a.png")
        assert code == 0 and output == self.closing(here)
        said = [line for line in errors.splitlines() if line.startswith("a.png")]
        assert said == ["a.png: 22% was left out, as ink, black or too large for nuclei."]

    def test_ink_is_no_area_of_the_density(self, here, tissue, capsys):
        densities = []
        for border in (0, 400):
            Image.fromarray(np.pad(tissue[0], ((0, border), (0, 0), (0, 0)))).save("a.png")
            self.run(capsys, "a.png", "--measures", "all")
            rows = (here / "out" / "a.csv").read_text().splitlines()[1:]
            densities.append(np.mean([float(row.split(",")[-1]) for row in rows]))
        assert densities[1] == pytest.approx(densities[0], rel=0.05)


def test_a_tilde_stands_for_the_home_folder(tmp_path, canonical, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    name = "~/canonical/Test/{}/TCGA-HT-8564-01Z-00-DX1{}"
    assert read_rgb(name.format("TissueImages", ".tif")).shape == (40, 48, 3)
    assert read_mpp(name.format("TissueImages", ".tif")) is None
    mask, labels = name.format("GroundTruth", "_bin_mask.png"), name.format("Labels", "_labels.png")
    assert read_mask(mask).any() and read_labels(labels).any() and read_grey(mask).any()
    assert len(monuseg.load("test", "~/canonical")) == 1
    monkeypatch.setenv("MONUSEG_DIR", "~/canonical")
    assert monuseg.find() == tmp_path / "canonical"
    for refused in (
        lambda path: Slide(path),
        lambda path: predict_slide.predict("unet", path, "~/o"),
    ):
        with pytest.raises(InputError, match=f"{tmp_path}/none.svs does not exist"):
            refused("~/none.svs")
