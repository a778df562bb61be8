"""The page in a real browser: upload, slider, files, and a message for a broken file."""

import base64
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest
from PIL import Image

from nuclei import ROOT
from nuclei.data import synthetic

BROWSER = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A server of its own; skips where there is no server or no browser."""
    for name in ("voila", "playwright", "ipyleaflet", "openvino"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed, so the page is not tested in a browser")
    if not BROWSER:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("app") / "log"
    with log.open("w") as file:
        server = subprocess.Popen(
            [sys.executable, str(ROOT / "tools" / "app.py"), "--port", str(port)],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    try:
        deadline = time.monotonic() + 60
        while "is filled with" not in log.read_text():
            assert time.monotonic() < deadline and server.poll() is None, log.read_text()
            time.sleep(0.2)
        yield log.read_text().split()[1]
    finally:
        server.terminate()
        server.wait(20)


def choose(page, path):
    """Upload a file as people do: the button opens a dialogue."""
    with page.expect_file_chooser(timeout=5_000) as dialogue:
        page.get_by_role("button", name="Choose images").click()
    dialogue.value.set_files(path)


def test_a_visit_in_a_browser(address, tmp_path):
    from playwright.sync_api import expect, sync_playwright

    Image.fromarray(synthetic.tissue(5, (300, 300))[0]).save(tmp_path / "mine.tif")
    (tmp_path / "broken.png").write_text("no image")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=FLAGS)
        page = browser.new_page()
        page.goto(address)
        status = page.get_by_role("status")
        expect(status).to_contain_text("Synthetic tissue 1", timeout=40_000)
        choose(page, tmp_path / "mine.tif")
        expect(status).to_contain_text("mine.tif: ", timeout=20_000)
        expect(status).to_contain_text("nuclei,", timeout=20_000)
        before = status.inner_text()
        page.locator(".noUi-handle").nth(1).focus()
        for _ in range(3):
            page.keyboard.press("PageUp")
        expect(status).not_to_have_text(before, timeout=10_000)
        page.get_by_role("button", name="Make files to download").click()
        link = page.locator("a[download='mine.geojson']")
        expect(link).to_be_visible(timeout=20_000)
        content = base64.b64decode(link.get_attribute("href").partition(",")[2])
        count = int(status.inner_text().split()[1])
        assert len(json.loads(content)["features"]) == count > 0
        choose(page, tmp_path / "broken.png")
        expect(status).to_have_text(
            "broken.png is not an image: use PNG, TIFF or JPEG.", timeout=10_000
        )
        browser.close()
