"""Figures are drawn whatever the data, and saved whole and small."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image
from red import Red

from nuclei import outputs
from nuclei.errors import InputError
from nuclei.figures import charts, tissue
from nuclei.figures.density import EMPTY, density_map
from nuclei.figures.style import save_figure, show_figure


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def noise(rng):
    figure = Figure(figsize=(4, 4), dpi=150)
    figure.figimage(rng.integers(0, 256, (600, 600, 3), dtype=np.uint8))
    return figure


def test_save_keeps_to_the_size(noise, tmp_path):
    path = save_figure(noise, tmp_path / "graphs" / "noise.png", kilobytes=100)
    assert 20_000 < path.stat().st_size <= 100_000
    Image.open(path).load()


def test_a_notebook_shows_the_saved_file_and_reads_its_title_aloud(noise, tmp_path):
    noise.suptitle("Noise")
    shown = show_figure(noise, tmp_path / "noise.png")
    assert shown.data == (tmp_path / "noise.png").read_bytes()
    assert shown.alt == "Noise"
    figure = charts.comparison({"narrow": [[0.7, 0.8]]}, "Widths", "Dice")
    assert show_figure(figure, tmp_path / "widths.png").alt == "Widths"


def test_save_leaves_nothing_half_written(noise, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "pathlib.Path.write_bytes", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    with pytest.raises(InputError, match="noise.png could not be written .No space left"):
        save_figure(noise, tmp_path / "noise.png")
    assert not list(tmp_path.iterdir())


def test_names_with_dollars_are_no_formulas(tmp_path):
    image = np.zeros((8, 8, 3), np.uint8)
    figure = tissue.gallery([image], [image[..., 0] > 0], ["a$_$b"], "$_$")
    save_figure(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()


def test_curves_mark_the_epoch_with_the_best_validation_dice():
    history = [
        {"epoch": i, "loss": 1 / i, "val_loss": 2 / i, "dice": 0.5, "val_dice": dice}
        for i, dice in enumerate((0.5, 0.8, 0.7), start=1)
    ]
    figure = charts.curves(history, "loss", "Loss", "loss")
    (axis,) = figure.axes
    assert [line.get_ydata().tolist() for line in axis.lines[:2]] == [
        [1 / i for i in (1, 2, 3)],
        [2 / i for i in (1, 2, 3)],
    ]
    assert axis.lines[2].get_xdata() == [2] and axis.lines[2].get_ydata() == [1]
    assert figure.legends[0].texts[2].get_text() == "kept: epoch 2, 1.000"


def test_comparison_shows_every_run_and_the_mean_at_the_end():
    runs = {"with": [[0.1, 0.5], [0.2, 0.7]], "without": [[0.1, 0.4]]}
    (axis,) = charts.comparison(runs, "Title", "Dice").axes
    assert [line.get_ydata().tolist() for line in axis.lines] == [*runs["with"], *runs["without"]]
    assert len({line.get_color() for line in axis.lines}) == 2
    assert [text.get_text() for text in axis.get_legend().texts] == [
        "with: 0.600 at the end",
        "without: 0.400 at the end",
    ]


@pytest.mark.parametrize("side", [30, 60])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_errors_are_coloured_by_outcome(rng, side, share):
    mask = rng.random((side, side)) < share
    probability = rng.random((side, side)).astype(np.float32)
    image = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    sample = SimpleNamespace(image=image, mask=mask)
    figure = tissue.predictions([sample], [probability], ["tissue"], "Title", crop=40)

    start = max(0, side - 40) // 2
    middle = np.s_[start : start + 40, start : start + 40]
    wrong = (mask != (probability >= 0.5))[middle]
    errors = np.asarray(figure.axes[3].images[0].get_array())
    plain = [(255, 255, 255), tuple(int("B8C4CE"[i : i + 2], 16) for i in (0, 2, 4))]
    shown_wrong = ~np.any([np.all(errors == color, axis=-1) for color in plain], axis=0)
    assert np.array_equal(shown_wrong, wrong)


@pytest.mark.parametrize(
    "middle, corner", [((60, 50), (40, 30)), ((0, 0), (0, 0)), ((99, 99), (60, 60))]
)
def test_errors_of_several_models_are_of_one_field(rng, middle, corner):
    mask = rng.random((100, 100)) < 0.3
    image = rng.integers(0, 256, (100, 100, 3), dtype=np.uint8)
    sample = SimpleNamespace(image=image, mask=mask)
    masks = {"right": mask, "inverted": ~mask}
    figure = tissue.errors(sample, masks, "Title", middle, crop=40, columns=2)

    field = np.s_[corner[0] : corner[0] + 40, corner[1] : corner[1] + 40]
    shown, right, inverted = (np.asarray(a.images[0].get_array()) for a in figure.axes[:3])
    np.testing.assert_array_equal(shown, image[field])
    assert {tuple(color) for color in right[mask[field]]} == {(184, 196, 206)}
    assert (right[~mask[field]] == 255).all()
    assert len(np.unique(inverted.reshape(-1, 3), axis=0)) == 2
    assert not np.any(
        [np.all(inverted == color, axis=-1) for color in ((255,) * 3, (184, 196, 206))]
    )


def test_errors_of_seven_panels_have_two_rows_and_each_column_its_pixels():
    sample = SimpleNamespace(image=np.zeros((9, 9, 3), np.uint8), mask=np.eye(9) > 0)
    figure = tissue.errors(sample, {str(i): sample.mask for i in range(6)}, "Title", (4, 4), 9)
    figure.draw_without_rendering()
    assert len(figure.axes) == 8 and not figure.axes[7].axison
    labelled = [bool(axis.get_xlabel()) for axis in figure.axes]
    assert labelled == [False] * 3 + [True] * 4 + [False]
    ticked = [any(tick.label1.get_visible() for tick in axis.xaxis.get_major_ticks())
              for axis in figure.axes[:7]]  # fmt: skip
    assert ticked == labelled[:7]


def report(values, organs=("lung", "brain", "lung")):
    """What `charts.scores` reads of a report."""
    images = [{"organ": organ, "dice": value} for organ, value in zip(organs, values, strict=True)]
    return {"images": images, "mean": {"dice": {"mean": 0.6, "low": 0.5, "high": 0.8}}}


def test_scores_join_the_models_of_each_image():
    reports = {"a": report((0.4, 0.6, 0.8)), "b": report((0.5, 0.6, 0.7))}
    figure = charts.scores(reports, {"dice": "Dice"}, "Title")
    (axis,) = figure.axes
    lines = [line.get_ydata().tolist() for line in axis.lines[:3]]
    assert lines == [[0.4, 0.5], [0.6, 0.6], [0.8, 0.7]]
    assert axis.lines[0].get_color() == axis.lines[2].get_color() != axis.lines[1].get_color()
    assert [text.get_text() for text in axis.get_xticklabels()] == ["a", "b"]
    keys = [text.get_text() for text in figure.legends[0].texts]
    assert keys == ["brain", "lung", "mean, 95% interval"]


def test_scores_of_more_organs_than_colours_are_drawn():
    organs = [f"organ {number}" for number in range(20)]
    figure = charts.scores({"a": report([0.5] * 20, organs)}, {"dice": "Dice"}, "Title")
    assert len(figure.axes[0].lines) >= 20


def test_costs_place_each_model_with_each_engine():
    models = {
        "a": (4, {"keras": (0.5, 0.8), "openvino-int8": (0.1, 0.79)}),
        "b": (1, {"keras": (2.0, 0.7)}),
    }
    figure = charts.costs(models, "Title", "Dice")
    (axis,) = figure.axes
    first, quick, second = axis.collections
    assert first.get_offsets().tolist() == [[0.5, 0.8]]
    assert quick.get_offsets().tolist() == [[0.1, 0.79]]
    assert second.get_offsets().tolist() == [[2.0, 0.7]]
    assert first.get_sizes()[0] == quick.get_sizes()[0] > second.get_sizes()[0]
    assert first.get_facecolor().tolist() == quick.get_facecolor().tolist()
    assert axis.get_xscale() == "log"
    assert [text.get_text() for text in figure.legends[0].texts] == [
        "a: 4.0 M parameters",
        "b: 1.0 M parameters",
        "keras",
        "openvino-int8",
    ]


def test_costs_have_a_colour_for_each_of_the_shipped_models_and_forget_none_of_many():
    models = {str(number): (1, {"keras": (1, 0.8)}) for number in range(20)}
    dots = charts.costs(models, "Title", "Dice").axes[0].collections
    assert len(dots) == len(models)
    shipped = len(outputs.models_of())
    assert len({tuple(dot.get_facecolor()[0]) for dot in dots[:shipped]}) == shipped


def test_the_best_the_median_and_the_worst_image_are_shown():
    samples, images = [], []
    for level, dice in ((51, 0.7), (102, 0.9), (204, 0.5), (153, 0.8), (255, 0.6)):
        image = np.full((60, 60, 3), level, np.uint8)
        samples.append(SimpleNamespace(image=image, mask=image[..., 0] < 0, organ=f"organ {level}"))
        images.append({"dice": dice})
    report = {"images": images, "threshold": 0.5}
    figure = tissue.best_median_worst(Red(), samples, report, "Title")
    rows = np.reshape(figure.axes[:12], (3, 4))
    assert [row[0].get_ylabel().split(",")[0] for row in rows] == [
        "organ 102",
        "organ 51",
        "organ 204",
    ]
    assert rows[0][0].get_ylabel().endswith("Dice 0.900\ny (pixels)")
    levels = [np.unique(row[2].images[0].get_array()) for row in rows]
    np.testing.assert_allclose(np.ravel(levels), [0.4, 0.2, 0.8], atol=1e-6)
    assert figure.get_suptitle() == "Title: best, median, worst"


@pytest.mark.parametrize("number", [0, 1, 60])
def test_the_density_lies_beside_the_tissue_in_the_colours_of_its_scale(rng, number, tmp_path):
    picture = rng.integers(0, 256, (40, 80, 3), dtype=np.uint8)
    x, y = np.full(number, 33.0), np.full(number, 5.0)  # all in one square, of 0.0001 mm²
    figure = density_map(picture, x, y, (20, 40), step=10)
    left, right, scale = figure.axes
    np.testing.assert_array_equal(left.images[0].get_array(), picture)
    assert left.get_xlim() == right.get_xlim() == (0, 40)
    assert left.get_ylim() == right.get_ylim() == (20, 0)
    (shown,) = right.images
    density = np.zeros((2, 4))
    density[0, 3] = number * 10_000
    np.testing.assert_allclose(shown.get_array().filled(0), density)
    colors = shown.to_rgba(shown.get_array())
    assert {to_hex(color).upper() for color in colors[density == 0]} == {EMPTY}
    steps = scale.get_yticks()
    assert not number or steps[0] <= number * 10_000 < steps[-1]

    saved = Image.open(save_figure(figure, tmp_path / "density.png")).convert("RGB")
    near = np.abs(np.asarray(saved, float) - np.multiply(255, colors[0, 3, :3])).max(axis=-1) < 3
    assert not number or near.mean() > 0.02  # no palette of the file takes it away
