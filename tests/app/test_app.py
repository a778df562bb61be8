"""The page in a real browser: what visitors do, with mouse and keyboard, and where it listens."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

import numpy as np
import psutil
import pytest
from PIL import Image
from skimage.draw import polygon
from sockets import listening

import app
from nuclei import ROOT
from nuclei.data import synthetic
from nuclei.slides.pyramid import write_pyramid

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]

CONTROLS = "input, select, button, a, [role=slider], [role=textbox], .leaflet-container"
"""What has to be reached with the tabulator."""

PATIENCE = 120
"""Seconds for each step: a busy machine with two slow cores takes many for some."""

OVERFLOWS = """() => [...document.querySelectorAll(".nuclei-page *")].filter(element => {
  const box = element.getBoundingClientRect();
  const inside = element.parentElement.closest(".leaflet-container, svg");
  return box.width && !inside && (box.right > innerWidth + 1 || box.left < -1);
}).map(element => element.outerHTML.slice(0, 120))"""
"""Elements that lie partly outside the window. Images and charts may be larger than their view."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server of its own: its number, and the file that it writes to."""
    if find_spec("voila") is None:
        pytest.skip("voila is not installed: pip install -r requirements-app.txt")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    slides = tmp_path_factory.mktemp("slides")
    write_pyramid(slides / "slide.tif", synthetic.tissue(7, (600, 600))[0])
    log = tmp_path_factory.mktemp("app") / "log"
    command = [sys.executable, ROOT / "tools" / "app.py", "--port", str(port), "--slides", slides]
    with log.open("w") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process.pid, log
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.fixture(scope="module")
def browser():
    for name in ("playwright", "axe_playwright_python"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install -r requirements-dev.txt")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=1000 * PATIENCE)

    with sync_playwright() as driver:
        path = shutil.which("chromium") or driver.chromium.executable_path
        if not Path(path).exists():
            pytest.skip("no Chromium: `apt-get install chromium` or `playwright install chromium`")
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def wait_for(condition, why):
    """Wait until a function gives something, and return that; another one says why it does not."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, why()
        time.sleep(0.1)
    return found


def test_nothing_listens_beyond_this_computer(server):
    """The page has one socket and a kernel has five, once it is there."""
    process, log = server
    sockets = wait_for(lambda: len(found := listening(process)) > 5 and found, log.read_text)
    assert {address for address, _ in sockets} == {"127.0.0.1"}


def test_what_cannot_be_served_is_said(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)  # with or without Voila
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert app.main(["--port", str(port)]) == 1
    assert f"Port {port} of 127.0.0.1 cannot be used" in capsys.readouterr().err
    assert app.main(["--port", "99999"]) == 1
    assert "Port 99999 of 127.0.0.1 cannot be used" in capsys.readouterr().err
    assert app.main(["--slides", str(tmp_path / "none")]) == 1
    assert "none is no folder" in capsys.readouterr().err


def test_a_page_that_cannot_start_is_said(tmp_path):
    """Without an end, people would wait for the address for ever."""
    if find_spec("voila") is None:
        pytest.skip("voila is not installed: pip install -r requirements-app.txt")
    kernel = tmp_path / "kernels" / "python3" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    dead = {"argv": [sys.executable, "-c", ""], "display_name": "dead", "language": "python"}
    kernel.write_text(json.dumps(dead))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ended = subprocess.run(
        [sys.executable, ROOT / "tools" / "app.py", "--port", str(port)],
        env=os.environ | {"JUPYTER_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert ended.returncode == 1 and "Open http" not in ended.stdout
    assert "The page cannot be shown (Kernel died before" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_who_comes_without_the_token_is_told_how_to_come_in(server):
    """As people do who load the page again after the server was started again."""
    log = server[1]
    wait_for(lambda: "Open http" in log.read_text(), log.read_text)
    address = log.read_text().split("Open ")[1].split()[0]
    straight = build_opener(ProxyHandler({}))
    with straight.open(address.partition("?")[0] + "?token=old") as answer:
        text = answer.read().decode()
    assert "new address that <code>make app</code> prints" in text and "password" not in text


def test_a_visit_in_a_browser(server, browser, tmp_path):
    from playwright.sync_api import expect

    log = server[1]
    wait_for(lambda: "Open http" in log.read_text(), log.read_text)
    address = log.read_text().split("Open ")[1].split()[0]
    Image.fromarray(synthetic.tissue(5, (300, 300))[0]).save(tmp_path / "mine.tif")
    Image.fromarray(synthetic.tissue(6, (200, 200))[0]).save(tmp_path / "theirs.png")
    (tmp_path / "broken.png").write_text("no image")
    asked, errors = set(), []
    page, other = (opened(browser, address, asked, errors) for _ in range(2))

    choose(page, tmp_path / "mine.tif", "mine.tif: ")
    move_the_threshold(page)
    nuclei = download(page, tmp_path)
    click_on_a_nucleus(page, nuclei)
    choose(page, tmp_path / "broken.png", "broken.png is not an image: use PNG, TIFF or JPEG.")

    choose(other, tmp_path / "theirs.png", "theirs.png: ")
    assert "mine.tif" not in other.content() and "theirs.png" not in page.content()

    open_a_slide(other)
    assert other.evaluate(OVERFLOWS) == []
    rules_kept(other)

    # No other server is asked for anything.
    assert {urlsplit(one).netloc for one in asked} - {""} == {urlsplit(address).netloc}

    reach_everything_by_keyboard(page)
    assert height_of_the_image_on_a_phone(page) < 0.9
    assert 0 <= gap_to_the_sentence_on_a_phone(page) < 20
    for width in (1280, 400):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(500)  # the page is laid out anew, on a busy machine later
        wait_for(lambda: not page.evaluate(OVERFLOWS), lambda: page.evaluate(OVERFLOWS))
        rules = rules_kept(page)
        assert {"label", "button-name", "aria-input-field-name", "region"} <= rules
        # On the narrow page axe-core 4.12 stops at colours ("midpoint exceeds the grid bounds").
        assert "color-contrast" in rules or width == 400
    assert page.locator(".not-run").is_hidden()
    assert page.title() == "Find nuclei" and page.locator(".widget-readout.overflow").count() == 0
    assert errors == []
    assert dark_words_in_a_dark_theme(page) == []
    expect(page.get_by_role("alert")).to_be_empty()
    end_the_process_of(other, server[0])
    expect(other.get_by_role("alert")).to_contain_text("has lost its connection")
    end_the_process_with_the_page(server[0], page)


def opened(browser, address, asked, errors):
    """Open the page as a visitor without cookies, note requests and errors; wait for outlines."""
    from playwright.sync_api import expect

    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(1000 * PATIENCE)
    page.on("request", lambda request: asked.add(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.goto(address)
    expect(page.get_by_role("status")).to_contain_text("Synthetic tissue 1")
    expect(page.locator(".leaflet-image-layer")).to_have_count(2)
    page.wait_for_timeout(1000)  # sliders that were drawn say where they stand
    assert " Found in " in page.get_by_role("status").inner_text()
    return page


def choose(page, path, sentence):
    """Upload a file as people do, in a dialogue, and wait for a sentence of the page."""
    from playwright.sync_api import expect

    with page.expect_file_chooser() as dialogue:
        page.get_by_label("Drop images here, or choose them").click()
    dialogue.value.set_files(path)
    status = page.get_by_role("status")
    expect(status).to_contain_text(sentence)
    if sentence.endswith(": "):
        expect(status).to_contain_text("nuclei, ")


def open_a_slide(page):
    page.get_by_role("button", name="Show slides").click()
    page.get_by_role("button", name="slide.tif").click()
    page.get_by_role("region", name="Slide").wait_for()


def move_the_threshold(page):
    from playwright.sync_api import expect

    status = page.get_by_role("status")
    before, element = status.inner_text(), status.element_handle()
    page.get_by_role("slider", name="Threshold").focus()
    page.keyboard.press("PageUp")  # once: of several, some would reach Python after what comes next
    expect(status).not_to_have_text(before)
    assert element.evaluate("one => one.isConnected")  # else screen readers do not read it


def download(page, folder):
    """Download the GeoJSON, and return the outlines in it."""
    page.get_by_role("button", name="Make files to download").click()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="QuPath (GeoJSON)").click()
    assert waiting.value.suggested_filename == "mine.geojson"
    waiting.value.save_as(folder / "mine.geojson")
    features = json.loads((folder / "mine.geojson").read_text())["features"]
    count = int(page.get_by_role("status").inner_text().split()[1])
    assert len(features) == count > 0
    return [np.array(one["geometry"]["coordinates"][0]) for one in features]


def click_on_a_nucleus(page, nuclei):
    """Click on the largest one; its measures say that it lies there."""
    largest = max(nuclei, key=lambda outline: np.prod(np.ptp(outline, axis=0)))
    x, y = np.mean(polygon(*largest.T), axis=1)
    image = page.locator(".leaflet-image-layer").first
    image.scroll_into_view_if_needed()
    box = image.bounding_box()
    scale = box["width"] / 300
    page.mouse.click(box["x"] + x * scale, box["y"] + y * scale)
    cells = page.locator(".measures tr")
    cells.first.wait_for()
    measures = dict(cell.split("\t") for cell in cells.all_inner_texts())
    assert float(measures["x_um"]) == pytest.approx(x * 0.25, abs=0.5)
    assert float(measures["y_um"]) == pytest.approx(y * 0.25, abs=0.5)
    assert page.get_by_label("Nucleus no.").input_value() == measures["label"]


def dark_words_in_a_dark_theme(page):
    """List words that cannot be read where JupyterLab is dark."""
    return page.evaluate(
        """() => {
          document.body.dataset.jpThemeLight = "false";
          const words = document.querySelectorAll(
            ".nuclei-page :is(.widget-label, .nuclei-upload label, .bqplot .tick text, .problem)");
          return [...words].filter(one => {
            const { color, fill } = getComputedStyle(one);
            const ink = one.tagName == "text" ? fill : color;
            return ink.match(/\\d+/g).reduce((sum, part) => sum + Number(part), 0) < 400;
          }).map(one => one.outerHTML);
        }"""
    )


def height_of_the_image_on_a_phone(page):
    """Say which part of the window it takes: what is left scrolls the page, the image does not."""
    page.set_viewport_size({"width": 740, "height": 360})
    page.wait_for_timeout(500)
    return page.locator(".leaflet-container:visible").bounding_box()["height"] / 360


def gap_to_the_sentence_on_a_phone(page):
    """Say how many pixels below the field for files the page says what is wrong with one."""
    page.set_viewport_size({"width": 400, "height": 800})
    page.wait_for_timeout(500)
    field, said = page.locator(".nuclei-upload"), page.get_by_role("status")
    box = field.bounding_box()
    return said.bounding_box()["y"] - box["y"] - box["height"]


def end_the_process_of(page, server):
    """End it as a lack of memory does."""
    facts = json.loads(page.locator("#jupyter-config-data").inner_text())
    lines = {one: " ".join(one.cmdline()) for one in psutil.Process(server).children()}
    next(one for one, line in lines.items() if facts["kernelId"] in line).kill()


def end_the_process_with_the_page(server, page):
    """A page that is closed ends its process, and with it all images, at once."""
    processes = set(psutil.Process(server).children())
    page.close(run_before_unload=True)
    children = psutil.Process(server).children
    wait_for(lambda: not processes <= {*children()}, children)


def reach_everything_by_keyboard(page):
    page.evaluate(
        """() => {
          window.reached = new Set(), window.faint = [];
          document.activeElement.blur();
          addEventListener("focusin", ({ target }) => {
            reached.add(target);
            if (getComputedStyle(target).outlineStyle != "solid") faint.push(target.outerHTML);
          });
        }"""
    )
    for _ in range(60):
        page.keyboard.press("Tab")
    missed, controls = page.evaluate(
        """(controls) => {
          const all = [...document.querySelectorAll(".nuclei-page :is(" + controls + ")")]
            .filter(one => one.checkVisibility({ visibilityProperty: true }) && !one.disabled);
          const missed = all.filter(one => !reached.has(one)).map(one => one.outerHTML);
          return [missed, all.length];
        }""",
        CONTROLS,
    )
    assert missed == [] and controls > 10
    assert page.evaluate("faint") == []  # the focus is seen


def rules_kept(page):
    """Check accessibility with axe-core, and return the rules that it applied."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"resultTypes": ["violations", "passes"]}).response
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
    return {one["id"] for one in found["passes"]}
