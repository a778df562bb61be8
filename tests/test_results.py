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
    metrics |= {"start": "models/first", "start_commit": "1234567"}
    scores = {"dice": 0.4321, "aji": 0.3, "pq": 0.2, "seconds_per_image": 0.117}
    metrics["processor"] = "9 CPU cores with AVX"
    metrics["engines"] = {"openvino-int8": {"val": scores, "test": scores}}
    metrics["val"]["mean"]["dice"]["mean"] = 0.9
    metrics["altered"] = {alteration: {"dice": 0.4} for alteration in ALTERATIONS}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (tmp_path / "README.md").write_text("before\n{}\noutdated\n{}\nafter\n".format(*results.MARKS))

    readme = results.pages(tmp_path)[tmp_path / "README.md"]
    assert "| **0.123** (0.100 to 0.200) |" in readme
    assert "| 0.568 |" in readme
    assert "| [unet](models/unet) | 0.900 | 0.400 | 0.400 | 0.400 | 0.400 | 0.500 |\n" in readme
    fast = "OpenVINO, int8 | 0.4321 | 0.3000 | 0.2000 | 0.12 |"
    assert f"| [unet](models/unet) | {fast}\n" in readme
    assert "network for\none image, on 9 CPU cores with AVX.\n" in readme
    card = results.pages(tmp_path)[folder / "README.md"]
    assert f"| validation | {fast}\n\n## Licence" in card
    assert "| models/first weights, trained at commit 1234567 |" in card
    assert "The card names the\nweights it began with: `unet`.\n" in readme
    assert (
        readme.startswith("before\n") and readme.endswith("\nafter\n") and "outdated" not in readme
    )


def test_a_readme_without_the_marks_is_refused(tmp_path):
    (tmp_path / "README.md").write_text(results.MARKS[0])
    with pytest.raises(InputError, match="lacks the line .*end of results"):
        results.pages(tmp_path)
