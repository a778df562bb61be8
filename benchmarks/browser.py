"""How long visitors of the page wait, in a real browser, and the memory of each visitor's process.

    python benchmarks/browser.py [--picture]

With --picture it takes the picture in README.md instead. It needs requirements-dev.txt and
Chromium. Server and browser run on this machine, so other programs on it prolong the seconds.
"""

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from PIL import Image

from nuclei import ROOT
from nuclei.data import synthetic
from nuclei.errors import InputError, run_script

try:
    from playwright.sync_api import expect, sync_playwright
except ImportError:
    sys.exit("Playwright is not installed: run `pip install -r requirements-dev.txt`.")

SIDES = 1000, 1000, 2000, 4000
"""Pixels of the images that are uploaded one after another."""

FLAGS = "--no-sandbox", "--disable-gpu"
PORT = "8867"

PICTURE, WIDTH = ROOT / "Images" / "app.png", 1150
"""The picture of the page, and its width in pixels: enough for two charts side by side."""


def main():
    """Print a line for each thing that is waited for, or take a picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    text = f"take {PICTURE.relative_to(ROOT)} instead: the first example, its large nuclei selected"
    parser.add_argument("--picture", action="store_true", help=text)
    picture = parser.parse_args().picture
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        path = shutil.which("chromium") or driver.chromium.executable_path
        if not Path(path).exists():
            raise InputError(
                "No Chromium: `apt-get install chromium` or `playwright install chromium`."
            )
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        began = time.monotonic()
        server = subprocess.Popen(
            [sys.executable, str(ROOT / "tools" / "app.py"), "--port", PORT],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            line = next((line for line in server.stdout if line.startswith("Open ")), None)
            if line is None:
                raise InputError(f"The page did not start: run `make app PORT={PORT}` to see why.")
            address = line.split()[1]
            if picture:
                _take(browser.new_page(viewport={"width": WIDTH, "height": 1300}), address)
                return
            _tell("from the command to the address", began)
            print(f"memory of the server: {_megabytes(process := psutil.Process(server.pid))} MB")
            waiting = process.children()
            print(f"memory of processes that wait: {[*map(_megabytes, waiting)]} MB")
            pages = [_visit(browser, address, name) for name in ("first", "second")]
            time.sleep(20)  # until other processes wait for the next visitors
            for number, side in enumerate(SIDES):
                image = _image(Path(folder), number, side)
                _upload(pages[0], image, f"{side} x {side} pixels, from the file to the outlines")
            print(f"memory of those of the visitors: {[*map(_megabytes, waiting)]} MB")
        finally:
            server.terminate()
            server.wait()


def _image(folder, number, side):
    """Write synthetic tissue, of which large images repeat one part."""
    part = synthetic.tissue(number, (1000, 1000))[0]
    image = Image.new("RGB", (side, side))
    for left in range(0, side, 1000):
        for top in range(0, side, 1000):
            image.paste(Image.fromarray(part), (left, top))
    image.save(path := folder / f"{number}.png")
    return path


def _visit(browser, address, name):
    page = browser.new_context().new_page()
    began = time.monotonic()
    page.goto(address)
    expect(page.locator(".leaflet-image-layer")).to_have_count(2, timeout=60_000)
    _tell(f"{name} visitor, from the address to the first outlines", began)
    return page


def _upload(page, path, words):
    began = time.monotonic()
    page.locator("input[type=file]").set_input_files(path)
    expect(page.get_by_role("status")).to_contain_text(f"{path.name}: ", timeout=60_000)
    expect(page.get_by_role("status")).to_contain_text("per mm", timeout=60_000)
    _tell(words, began)


def _take(page, address):
    """Select nuclei as people do, and write a picture of the page with few colours."""
    page.goto(address)
    expect(page.locator(".leaflet-image-layer")).to_have_count(2, timeout=60_000)
    page.wait_for_timeout(2000)  # the charts follow
    scatter = page.locator(".bqplot").nth(1)
    box = scatter.bounding_box()
    for part, move in ((0.45, page.mouse.down), (0.94, page.mouse.up)):
        page.mouse.move(box["x"] + part * box["width"], box["y"] + part * box["height"], steps=5)
        move()
    expect(page.get_by_text("nuclei are selected.")).to_contain_text(" of ")
    page.mouse.move(0, 0)
    page.wait_for_timeout(1000)
    height = page.locator(".nuclei-page").evaluate("page => page.getBoundingClientRect().bottom")
    shot = page.screenshot(clip={"x": 0, "y": 0, "width": WIDTH, "height": height + 10})
    few = Image.open(io.BytesIO(shot)).convert("RGB").quantize(64, kmeans=2)
    few.save(PICTURE, optimize=True)
    print(f"{PICTURE} is written.")


def _megabytes(process):
    return round(process.memory_full_info().pss / 1e6)


def _tell(words, began):
    print(f"{words}: {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    run_script(main)
