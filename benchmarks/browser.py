"""How long visitors of the page wait, in a real browser, and the memory of each visitor's process.

    python benchmarks/browser.py

It needs requirements-dev.txt and Chromium. Server and browser run on this machine, so other
programs on it prolong the seconds.
"""

import argparse
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


def main():
    """Print a line for each thing that is waited for."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        path = shutil.which("chromium") or driver.chromium.executable_path
        if not Path(path).exists():
            print("No Chromium: `apt-get install chromium` or `playwright install chromium`.")
            return
        images = [_image(Path(folder), number, side) for number, side in enumerate(SIDES)]
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
            _tell("from the command to the address", began)
            print(f"memory of the server: {_megabytes(process := psutil.Process(server.pid))} MB")
            waiting = process.children()
            print(f"memory of processes that wait: {[*map(_megabytes, waiting)]} MB")
            pages = [_visit(browser, line.split()[1], name) for name in ("first", "second")]
            time.sleep(20)  # until other processes wait for the next visitors
            for image, side in zip(images, SIDES, strict=True):
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


def _megabytes(process):
    return round(process.memory_full_info().pss / 1e6)


def _tell(words, began):
    print(f"{words}: {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    run_script(main)
