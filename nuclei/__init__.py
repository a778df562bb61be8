"""Segmentation of nuclei in H&E tissue: the code that the notebooks share."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The repository, with the folders `data/`, `models/`, `Graphs/` and `Images/`."""
