"""The page without a browser: what a visitor does, and what a visitor must not reach."""

import io
import os

import numpy as np
import pytest
from PIL import Image

import app
from nuclei.data import synthetic
from nuclei.errors import InputError
from nuclei.slides.pyramid import write_pyramid

for name in ("ipyleaflet", "bqplot", "anywidget"):
    pytest.importorskip(name, reason=f"the page needs {name}: pip install -r requirements.txt")

import ipywidgets  # noqa: E402
from ipyleaflet import CircleMarker, ImageOverlay  # noqa: E402

from nuclei.app import fields, upload  # noqa: E402
from nuclei.app import page as module  # noqa: E402
from nuclei.app.charts import AREA, Charts  # noqa: E402
from nuclei.app.page import Page  # noqa: E402


class Dark:
    """An engine to which what is dark is a nucleus."""

    channels = 1

    def forward(self, batch):
        return 1 - batch.mean(axis=3, keepdims=True, dtype=np.float32) / 255


@pytest.fixture(scope="module")
def tissue():
    return synthetic.tissue(5, (300, 260))[0]


@pytest.fixture
def page(tissue, monkeypatch):
    monkeypatch.setattr(module, "load_engine", lambda name: Dark())
    monkeypatch.setattr(module, "example", lambda name: (tissue[:200], 0.25))
    return Page()


@pytest.fixture
def folder(tmp_path, tissue):
    """A folder with two slides, one of them a link to a file elsewhere."""
    (tmp_path / "slides").mkdir()
    write_pyramid(tmp_path / "slides" / "mine.tif", np.tile(tissue, (3, 4, 1)))
    write_pyramid(tmp_path / "secret.tif", tissue)
    (tmp_path / "slides" / "link.tif").symlink_to(tmp_path / "secret.tif")
    return tmp_path / "slides"


def encoded(image, kind="TIFF"):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


def send(page, name, content, number=1, count=1, piece=100_000):
    """What the script of the field for files sends."""
    facts = {"name": name, "size": len(content), "number": number, "count": count}
    for start in range(0, max(1, len(content)), piece):
        part = memoryview(content[start : start + piece])
        page.upload._handle_custom_msg({**facts, "start": start}, [part])


def test_a_visit(page, tissue):
    controls = page.controls
    assert "Synthetic tissue 1" in controls.status.value
    count = page.work.summary["nuclei"]
    before = page.view.layer.url
    controls.min_score.value = 0.9
    assert page.work.summary["nuclei"] < count and page.view.layer.url != before

    send(page, "mine.tif", encoded(tissue))
    assert page.work.name == "mine.tif" and page.work.found.image.shape == (300, 260, 3)
    row = page.work.rows[3]
    page.view._interacted(type="click", coordinates=[-row["y_um"] / 0.25, row["x_um"] / 0.25])
    assert page.chosen == controls.number.value == 4
    assert str(row["area_um2"]) in controls.measures.value
    assert page.charts.chosen.x == [row["area_um2"]]
    controls.save.click()
    assert "mine.geojson" in controls.links.value

    send(page, "broken.png", b"no image")
    assert "broken.png is not an image: use PNG, TIFF or JPEG." in controls.status.value
    assert page.work.name == controls.files.value == "mine.tif"
    assert "broken.png" not in controls.files.options
    assert controls.bar.layout.visibility == "hidden"


def test_what_a_browser_rounds_is_no_change(page):
    said = page.controls.status.value
    page.controls.threshold.value = page.controls.min_score.value = 0.49999999999999994
    assert "Found in" in page.controls.status.value == said and page.work.threshold == 0.5


def test_files_are_made_once_for_two_clicks(page, monkeypatch):
    made = []
    make = module.report.files
    monkeypatch.setattr(module.report, "files", lambda *a: made.append(a) or make(*a))
    page.controls.save.click()
    page.controls.save.click()
    assert len(made) == 1
    page.controls.threshold.value = 0.6
    page.controls.save.click()
    assert len(made) == 2 and "geojson" in page.controls.links.value


def test_an_image_fits_into_a_view_of_any_size(page):
    view = page.view.widget
    heights = {}
    for size in ((520, 700), (300, 300), (100, 700)):
        view.set_state({"top": 10, "bottom": 10 + size[0], "left": 0, "right": size[1]})
        heights[size] = 200 * 2**view.zoom
    assert heights[520, 700] == 200  # not enlarged
    assert 80 < heights[100, 700] <= 100


def test_an_image_stays_when_another_of_its_name_is_damaged(page, tissue):
    send(page, "a.png", encoded(tissue, "PNG"))
    send(page, "a.png", b"no image")
    files = page.controls.files
    assert "a.png is not an image" in page.controls.status.value
    assert page.work.name == files.value == "a.png" and "a.png" in files.options
    files.value = "Synthetic tissue 2"
    assert page.work.name == "Synthetic tissue 2"
    files.value = "a.png"
    assert page.work.name == "a.png" and page.work.found.image.shape == tissue.shape


def test_a_model_that_fails_is_not_named_as_the_one_that_found_the_nuclei(page, monkeypatch):
    def fail(name):
        raise InputError(f"{name} is damaged: get a fresh copy.")

    controls = page.controls
    first, other = (
        controls.model.value,
        next(name for name in controls.model.options if name != controls.model.value),
    )
    card = controls.card.value
    monkeypatch.setattr(module, "load_engine", fail)
    controls.model.value = other
    assert f"{other} is damaged" in controls.status.value
    assert (page.model, controls.model.value, controls.card.value) == (first, first, card)
    monkeypatch.setattr(module, "load_engine", lambda name: Dark())
    controls.model.value = other
    assert (page.model, controls.model.value) == (other, other) and controls.card.value != card


def test_what_is_wrong_with_one_of_several_files_stays_to_be_read(page, tissue, monkeypatch):
    status = page.controls.status
    monkeypatch.setattr(upload, "LARGEST", 1_000_000)
    too_large = {"name": "large.png", "size": 2_000_000, "number": 1, "count": 3, "start": 0}
    page.upload._handle_custom_msg(too_large, [b""])
    send(page, "broken.png", b"no image", 2, 3)
    send(page, "mine.png", encoded(tissue, "PNG"), 3, 3)
    wrong = ("large.png has 2 MB", "broken.png is not an image")
    assert all(words in status.value for words in (*wrong, "mine.png: "))
    page.controls.threshold.value = 0.6  # until something else is said
    assert "mine.png: " in status.value
    assert not any(words in status.value for words in wrong)


def test_pieces_of_two_files_are_not_mixed(page, tissue):
    """Two visits of the field at once, from which pieces arrive in turn."""
    contents = {name: encoded(tissue, "TIFF") for name in ("a.tif", "b.tif")}
    half = len(contents["a.tif"]) // 2
    for start, stop in ((0, half), (half, None)):
        for name, content in contents.items():
            facts = {"name": name, "size": len(content), "number": 1, "count": 1, "start": start}
            page.upload._handle_custom_msg(facts, [memoryview(content[start:stop])])
    assert page.work.name == "b.tif" and "a.tif" not in page.controls.files.options


def test_images_that_were_shown_are_not_predicted_again(page, tissue, monkeypatch):
    asked = []
    predict = module.predict_maps
    monkeypatch.setattr(
        module, "predict_maps", lambda *a, **k: asked.append(a[2]) or predict(*a, **k)
    )
    send(page, "a.png", encoded(tissue, "PNG"), 1, 2)
    send(page, "b.png", encoded(tissue[:200], "PNG"), 2, 2)
    page.controls.files.value = "a.png"
    assert page.work.found.image.shape == tissue.shape and len(asked) == 2
    page.controls.mpp.value = 0.5
    assert asked[2:] == [0.5]
    send(page, "a.png", encoded(tissue[:100], "PNG"))  # another image of the same name
    assert page.work.found.image.shape == (100, 260, 3) and len(asked) == 4
    monkeypatch.setattr(module, "KEPT", tissue[..., 0].size)
    send(page, "c.png", encoded(tissue, "PNG"))
    assert [key[0] for key in page._maps] == ["c.png"]


def test_pictures_that_are_no_longer_shown_are_let_go(page, tissue):
    def pictures():
        widgets = ipywidgets.widgets.widget._instances.values()
        return sum(isinstance(one, (ImageOverlay, CircleMarker)) for one in widgets)

    page.choose(1)
    before = pictures()
    for number, name in enumerate("abc", start=1):
        send(page, f"{name}.png", encoded(tissue, "PNG"))
        page.choose(number)
    assert pictures() == before


def test_progress_rises_over_the_windows(page, monkeypatch):
    shown = []
    monkeypatch.setattr(page.controls, "progress", shown.append)
    assert list(page._counted("abcd")) == list("abcd")
    assert shown == sorted(shown) and 0 < shown[0] < shown[-1] < 1


def test_visitors_do_not_see_images_of_others(page, tissue):
    other = Page()
    send(page, "mine.tif", encoded(tissue))
    assert "mine.tif" not in other.controls.files.options
    assert other.work.name == "Synthetic tissue 1" and "mine.tif" not in other.sources
    assert not {id(maps) for maps in page._maps.values()} & set(map(id, other._maps.values()))


def test_uploads_leave_no_files(page, tissue, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    send(page, "mine.tif", encoded(tissue))
    page.controls.save.click()
    assert "mine.geojson" in page.controls.links.value
    assert list(tmp_path.iterdir()) == []


def test_names_of_uploads_lead_nowhere(page, tissue, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    send(page, "../../evil", encoded(tissue[:64, :64], "PNG"))
    page.controls.save.click()
    assert 'download="evil_mask.png"' in page.controls.links.value
    assert list(tmp_path.iterdir()) == [] and not list(tmp_path.parent.glob("evil*"))


def test_uploads_that_are_too_large_are_refused(page, monkeypatch):
    monkeypatch.setattr(upload, "LARGEST", 1000)
    facts = {"name": "wide.png", "number": 1, "count": 1, "start": 0}
    page.upload._handle_custom_msg({**facts, "size": 2_000_000}, [b""])
    assert "wide.png has 2 MB and this page takes up to" in page.controls.status.value
    # A visitor who lies about the size.
    page.upload._handle_custom_msg({**facts, "size": 9}, [bytes(2000)])
    assert "this page takes up to" in page.controls.status.value
    assert not page.upload._content


def test_what_would_be_too_large_once_it_is_scaled_is_refused(page, tissue):
    """At 0.5 um per pixel, an image is predicted with sides of twice the length."""
    said = "wide.png has 2500 x 9 pixels, 5000 x 18 at 0.25 um per pixel, and this page"
    wide = np.broadcast_to(tissue[:9, :1], (9, 2500, 3))
    send(page, "wide.png", encoded(wide, "PNG"))
    assert page.work.name == "wide.png"
    page.controls.mpp.value = 0.5
    assert said in page.controls.status.value and len(page._maps) == 2
    # The nuclei that are still shown were found at 0.25, and the control says so.
    assert page.controls.mpp.value == page.shown.mpp == page.work.found.mpp == 0.25
    file = io.BytesIO()
    Image.fromarray(wide).save(file, "PNG", dpi=(50_800, 50_800))
    send(page, "wide.png", file.getvalue())
    assert said in page.controls.status.value and page.controls.mpp.value == page.shown.mpp == 0.25


def test_a_model_may_have_a_path_and_no_record(tissue, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "load_engine", lambda name: Dark())
    monkeypatch.setattr(module, "example", lambda name: (tissue[:200], 0.25))
    assert Page("models/unet").controls.model.value == "unet"
    (tmp_path / "config.json").write_text("{}")
    page = Page(tmp_path)
    assert page.controls.model.value == str(tmp_path) and "nuclei" in page.controls.status.value
    assert "was not measured" in page.controls.card.value
    assert page.controls.bar.layout.visibility == "hidden"
    with pytest.raises(InputError, match="There is no model vnet: choose one of deeplabv3"):
        Page("vnet")


def test_of_models_that_predict_together_each_has_its_scores(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    unet = module.card("unet").removeprefix("<p>")
    assert unet.startswith("On 14 test images: Dice ")
    alone = f"{tmp_path.name} alone:<br>This model was not measured on test images."
    assert module.card(f"{tmp_path}+unet") == f"<p>{alone}</p><p>unet alone:<br>{unet}"


def test_files_that_cannot_be_made_are_told(page, tissue, tmp_path, monkeypatch):
    send(page, f"{'x' * 300}.png", encoded(tissue, "PNG"))
    page.controls.save.click()
    assert f'download="{"x" * 60}_report.html"' in page.controls.links.value
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    page.controls.links.value = ""
    page.controls.save.click()
    assert "could not be made (" in page.controls.status.value
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fail(*_, **__):
        raise InputError("a_mask.png could not be written (No space left on device): free some.")

    monkeypatch.setattr(module.report.results, "write", fail)
    page.controls.save.click()
    assert "a_mask.png could not be written (No space" in page.controls.status.value
    assert not page.controls.links.value


class TestSelection:
    rows = [{AREA: area, "haematoxylin": area / 100} for area in (10.0, 20.0, 30.0, 40.0)]

    @pytest.fixture
    def charts(self):
        self.told = []
        charts = Charts(lambda: self.told.append(charts.selection))
        charts.show(self.rows)
        return charts

    def test_a_rectangle_selects_what_is_in_it(self, charts):
        charts.brush.brushing = True
        charts.brush.selected = [[15, 0], [35, 0.25]]
        assert not self.told  # not while it is drawn
        charts.brush.brushing = False
        assert self.told[-1].tolist() == charts.selection.tolist() == [False, True, False, False]
        assert charts.points.selected.tolist() == [1] and "1 of 4 nuclei" in charts.count.value
        charts.brush.selected = None
        assert charts.selection is None and "No nuclei are selected" in charts.count.value

    def test_ranges_do_the_same(self, charts):
        charts.ranges[AREA].value = 25, 40
        assert charts.selection.tolist() == [False, False, True, True]
        charts.ranges[AREA].value = 10, 40
        assert self.told[-1] is charts.selection is None

    def test_other_nuclei_are_not_selected(self, charts):
        charts.ranges[AREA].value = 25, 40
        self.told.clear()
        charts.clear()
        assert charts.selection is None
        charts.show([{AREA: 500.0, "haematoxylin": 2.0}])
        charts.show([])
        assert charts.selection is None and not self.told

    def test_few_nuclei_are_not_counted_in_halves(self, charts):
        counts = charts._bars.scales["y"]
        assert counts.max == 8
        charts.show(self.rows[:1] * 12)
        assert counts.max == 12

    def test_what_is_selected_is_drawn_on_the_image(self, page):
        before = page.view.layer.url
        low, high = page.charts.ranges[AREA].value
        page.charts.ranges[AREA].value = (low + high) / 2, high
        assert 0 < page.charts.selection.sum() < page.work.summary["nuclei"]
        assert page.view.layer.url != before
        page.controls.threshold.value = 0.6
        assert page.charts.selection is None


class TestSlides:
    def test_the_server_names_the_folder_in_the_variable_that_the_page_reads(self):
        assert app.VARIABLE == fields.VARIABLE

    def test_a_served_page_offers_no_files_unless_a_folder_was_named(self, monkeypatch):
        monkeypatch.delenv(fields.VARIABLE, raising=False)
        assert fields.folder_of("") is None and fields.folder_of("slides") == "slides"
        monkeypatch.setenv("VOILA_BASE_URL", "/")
        assert fields.folder_of("") == "" and fields.folder_of("slides") == "slides"
        monkeypatch.setenv(fields.VARIABLE, "named")
        assert fields.folder_of("slides") == "named"
        monkeypatch.setenv(fields.VARIABLE, "")
        assert fields.folder_of("slides") == ""

    def test_nothing_is_shown_without_a_folder(self, folder, monkeypatch):
        monkeypatch.setenv(fields.VARIABLE, "")
        picker = fields.Fields(fields.folder_of(), pytest.fail, pytest.fail, lambda done: None)
        assert picker.widget.layout.display == "none"
        for path in (folder, folder.parent / "secret.tif"):
            picker.path.value = os.fspath(path)  # by forged messages
            picker.list.click()
            assert picker.slide is None and not picker.thumbnails.children

    def test_links_do_not_lead_out_of_the_folder(self, folder):
        assert fields.slides_in(folder) == [folder / "mine.tif"]

    def test_a_served_page_has_no_field_for_paths(self, folder):
        picker = fields.Fields(str(folder), None, pytest.fail, lambda done: None)
        assert picker.path not in picker.widget.children
        picker.path.value = os.fspath(folder.parent / "secret.tif")  # by a forged message
        picker.list.click()
        assert [box.children[1].description for box in picker.thumbnails.children] == ["mine.tif"]

    def test_a_slide_that_is_damaged_does_not_tell_where_the_folder_is(self, folder):
        (folder / "mine.tif").write_text("no slide")
        (folder / "mine.tif").rename(folder / "mine.svs")
        picker = fields.Fields(str(folder), None, pytest.fail, lambda done: None)
        picker.list.click()
        sentence, button = picker.thumbnails.children[0].children
        assert sentence.value.startswith("<p>mine.svs is not a slide") and button.disabled
        assert str(folder.parent) not in sentence.value

    def test_a_field_is_picked_on_the_overview(self, folder, page):
        picker = page.fields
        picker.path.value = str(folder)
        picker.list.click()
        picker.thumbnails.children[0].children[1].click()
        assert picker.overview.layout.display == "" and picker.slide.shape == (900, 1040)
        picker.side.value = 512
        # The middle of the field, in pixels of the overview.
        picker.view._interacted(
            type="click", coordinates=[-450 / picker._factor, 400 / picker._factor]
        )
        place = picker.slide.read(450 - 256, 400 - 256, 512, 512)
        assert np.array_equal(page.work.found.image, place)
        assert page.work.name == "mine_x36um_y48um_512px" == page.controls.files.value
        page.controls.files.value = "Synthetic tissue 1"
        page.controls.files.value = "mine_x36um_y48um_512px"
        assert np.array_equal(page.work.found.image, place)

    def test_a_field_ends_where_the_slide_ends(self, folder, page):
        picker = page.fields
        picker.path.value = str(folder / "mine.tif")
        picker.list.click()
        picker.x.value = picker.x.max
        picker.side.value = 2048
        picker.read.click()
        assert page.work.found.image.shape == (900, 1040, 3)

    @pytest.mark.parametrize("name", ["missing.tif", "empty", "text.svs"])
    def test_wrong_paths_get_a_sentence(self, tmp_path, name):
        (tmp_path / "empty").mkdir()
        (tmp_path / "text.svs").write_text("no slide")
        said = []
        picker = fields.Fields(None, None, said.append, None)
        picker.path.value = str(tmp_path / name)
        picker.list.click()
        assert isinstance(said[0], InputError) and name in str(said[0])
