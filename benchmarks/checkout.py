"""Import this before `nuclei`: the checkout of this file is used then, whichever is installed."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
