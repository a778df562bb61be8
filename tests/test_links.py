"""The links of the pages and notebooks lead to files and headings that exist."""

import json
import re

import pytest

from nuclei import ROOT

PAGES = [
    *(
        path
        for folder in (".", "docs", "deploy", "models/*")
        for path in ROOT.glob(f"{folder}/*.md")
    ),
    *ROOT.glob("*.ipynb"),
    *ROOT.glob("notebooks/*.ipynb"),
]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def text(path):
    """The Markdown of a page or a notebook, without its blocks of code."""
    words = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(words)["cells"]
        words = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    return re.sub(r"^```.*?^```", "", words, flags=re.DOTALL | re.MULTILINE)


def anchors(path):
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in LINK.findall(text(page)):
        if re.match(r"https?:|mailto:|attachment:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link
