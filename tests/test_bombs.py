"""Small files that would take gigabytes take less than one, and less than ten seconds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nuclei import ROOT

MB, SECONDS = 1000, 10

SOUND = {
    "PNG of 12,000 x 12,000 in one colour, as a slide",
    "PNG of 11,000 x 11,000 as a mask",
    "PNG with 2 GB behind its pixels",
    "PNG with 2 GB of colour profile",
    "JPEG of 11,000 x 11,000 of 64 x 64 pixels",
    "TIFF with a tile of 2 GB",
    "TIFF with XML that declares entities",
}
"""What is read all the same, because what is too much is not needed."""


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux measures the peak anew"
)
def test_bombs_take_less_than_a_gigabyte_and_ten_seconds(tmp_path):
    words = [sys.executable, str(ROOT / "tests" / "bombs.py"), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr  # any other error than a sentence
    found = json.loads(done.stdout)
    assert len(found) > 20
    for what, said, megabytes, seconds in found:
        assert megabytes < MB and seconds < SECONDS, what
        assert (what in SOUND) == (not said), (what, said)
