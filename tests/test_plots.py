"""Figures are drawn whatever the data, and saved whole and small."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from nuclei import pictures, plots
from nuclei.files import InputError

RNG = np.random.default_rng(0)


@pytest.fixture
def noise():
    figure = Figure(figsize=(4, 4), dpi=150)
    figure.figimage(RNG.integers(0, 256, (600, 600, 3), dtype=np.uint8))
    return figure


def test_save_keeps_to_the_size(noise, tmp_path):
    path = plots.save(noise, tmp_path / "graphs" / "noise.png", kilobytes=100)
    assert 20_000 < path.stat().st_size <= 100_000
    Image.open(path).load()


def test_save_leaves_nothing_half_written(noise, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "pathlib.Path.write_bytes", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    with pytest.raises(InputError, match="noise.png could not be written .No space left"):
        plots.save(noise, tmp_path / "noise.png")
    assert not list(tmp_path.iterdir())


def test_curves_mark_the_epoch_with_the_best_validation_dice():
    history = [
        {"epoch": i, "loss": 1 / i, "val_loss": 2 / i, "dice": 0.5, "val_dice": dice}
        for i, dice in enumerate((0.5, 0.8, 0.7), start=1)
    ]
    (axis,) = plots.curves(history, "loss", "Loss", "loss").axes
    assert [line.get_ydata().tolist() for line in axis.lines[:2]] == [
        [1 / i for i in (1, 2, 3)],
        [2 / i for i in (1, 2, 3)],
    ]
    assert axis.lines[2].get_xdata() == [2] and axis.lines[2].get_ydata() == [1]


def test_comparison_shows_every_run_and_the_mean_at_the_end():
    runs = {"with": [[0.1, 0.5], [0.2, 0.7]], "without": [[0.1, 0.4]]}
    (axis,) = plots.comparison(runs, "Title", "Dice").axes
    assert [line.get_ydata().tolist() for line in axis.lines] == [*runs["with"], *runs["without"]]
    assert len({line.get_color() for line in axis.lines}) == 2
    assert [text.get_text() for text in axis.get_legend().texts] == [
        "with: 0.600 at the end",
        "without: 0.400 at the end",
    ]


@pytest.mark.parametrize("side", [30, 60])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_errors_are_coloured_by_outcome(side, share):
    mask = RNG.random((side, side)) < share
    probability = RNG.random((side, side)).astype(np.float32)
    image = RNG.integers(0, 256, (side, side, 3), dtype=np.uint8)
    sample = SimpleNamespace(image=image, mask=mask)
    figure = pictures.predictions([sample], [probability], ["tissue"], "Title", crop=40)

    start = max(0, side - 40) // 2
    middle = np.s_[start : start + 40, start : start + 40]
    wrong = (mask != (probability >= 0.5))[middle]
    errors = np.asarray(figure.axes[3].images[0].get_array())
    plain = [(255, 255, 255), tuple(int("B8C4CE"[i : i + 2], 16) for i in (0, 2, 4))]
    shown_wrong = ~np.any([np.all(errors == color, axis=-1) for color in plain], axis=0)
    assert np.array_equal(shown_wrong, wrong)
