"""Semantic segmentation of nuclei in H&E tissue: what the notebooks share."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The repository: `data/`, `models/`, `Graphs/` and `Images/` lie here."""
