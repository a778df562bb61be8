"""What the README and the cards say is what `metrics.json` holds."""

import json

import pytest

import results
from nuclei import ROOT
from nuclei.data.alterations import ALTERATIONS
from nuclei.errors import InputError


@pytest.mark.parametrize("path", results.pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_page_is_up_to_date(path):
    assert path.read_text() == results.pages()[path], "run `make results`"


def test_tables_show_the_metrics(tmp_path):
    folder = tmp_path / "models" / "unet"
    folder.mkdir(parents=True)
    shipped = ROOT / "models" / "unet"
    (folder / "config.json").write_text((shipped / "config.json").read_text())
    metrics = json.loads((shipped / "metrics.json").read_text())
    metrics["test"]["mean"]["dice"] = {"mean": 0.1234, "low": 0.1, "high": 0.2}
    metrics["test"]["patches"]["soft_dice_per_pixel"] = 0.5678
    metrics |= {"start": "models/first, widened from 8 to 16", "start_commit": "1234567"}
    scores = {"dice": 0.4321, "aji": 0.3, "pq": 0.2, "seconds_per_image": 0.117}
    metrics["processor"] = "9 CPU cores with AVX"
    metrics["engines"] = {"openvino-int8": {"val": scores, "test": scores}}
    metrics["val"]["mean"]["dice"]["mean"] = 0.9
    metrics["altered"] = {alteration: {"dice": 0.4} for alteration in ALTERATIONS}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    readme, details = tmp_path / "README.md", tmp_path / "docs" / "results.md"
    details.parent.mkdir()
    for page in (readme, details):
        page.write_text("before\n{}\noutdated\n{}\nafter\n".format(*results.MARKS))

    pages = results.pages(tmp_path)
    for page in (readme, details):
        text = pages[page]
        assert text.startswith("before\n") and text.endswith("\nafter\n") and "outdated" not in text
        assert "| **0.123** (0.100 to 0.200) |" in text
        assert "on 9 CPU cores with AVX.\n" in text
    assert pages[readme].count("| 0.400 | 0.12 | 1.9 M |\n") == 1
    assert "| 0.568 |\n" in pages[details]
    row = "| [unet](../models/unet) |"
    assert f"{row} 0.900 | 0.400 | 0.400 | 0.400 | 0.400 | 0.400 |\n" in pages[details]
    fast = "OpenVINO, int8 | 0.4321 | 0.3000 | 0.2000 | 0.12 |"
    assert f"{row} {fast}\n" in pages[details]
    card = pages[folder / "README.md"]
    assert f"| validation | {fast}\n\n## Licence" in card
    assert "| models/first weights, trained at commit 1234567, widened from 8 to 16 |" in card


def test_a_page_without_the_marks_is_refused(tmp_path):
    (tmp_path / "README.md").write_text(results.MARKS[0])
    with pytest.raises(InputError, match="lacks the line .*end of results"):
        results.pages(tmp_path)
