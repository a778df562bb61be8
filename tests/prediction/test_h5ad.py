"""AnnData files and pandas tables of nuclei, where the optional packages are installed."""

import numpy as np
import pytest
from red import Red

from nuclei.__main__ import main
from nuclei.data import synthetic
from nuclei.data.targets import targets
from nuclei.errors import InputError
from nuclei.images import write_png
from nuclei.prediction import engines, h5ad, measures
from nuclei.prediction.instances import separate

MISSING = "an optional package: pip install anndata"


@pytest.fixture(scope="module")
def tissue():
    image, labels = synthetic.tissue(seed=5, shape=(200, 250))
    return image, separate(targets(labels))[0]


@pytest.mark.parametrize("choice", ["basic", "all"])
def test_an_image_gives_an_anndata_file(tissue, tmp_path, monkeypatch, choice):
    anndata = pytest.importorskip("anndata", reason=MISSING)
    monkeypatch.setattr(engines, "load", lambda *_: engines.KerasEngine(Red()))
    monkeypatch.setattr(engines, "choose", lambda *_: "keras")
    monkeypatch.setattr(engines, "fingerprint", lambda *_: "red")
    image = np.where(tissue[1][..., None] > 0, np.uint8(200), np.uint8(90)).repeat(3, axis=-1)
    write_png(tmp_path / "a b.png", image)
    words = ["predict", "red", tmp_path / "a b.png", "--out", tmp_path / "out", "--instances"]
    assert main([*map(str, words), "--anndata", "--measures", choice]) == 0
    found = anndata.read_h5ad(tmp_path / "out" / "a b.h5ad")
    table = np.genfromtxt(tmp_path / "out" / "a b.csv", delimiter=",", names=True)
    assert found.var_names.to_list() == [*measures.COLUMNS[choice][3:]]
    assert found.obs_names.to_list() == [f"{label:.0f}" for label in table["label"]]
    places = np.stack([table["x_um"], table["y_um"]], axis=1)
    np.testing.assert_allclose(found.obsm["spatial"], places)
    for name in found.var_names:
        np.testing.assert_allclose(found[:, name].X[:, 0], table[name], rtol=1e-6)
    settings = dict(found.uns["nuclei"])
    assert settings["unit_of_spatial"] == "um" and settings["mpp"] == 0.25
    assert settings["image"] == "a b.png" and settings["measures"] == choice


def test_the_summary_tells_names_and_no_paths():
    chosen = dict.fromkeys(h5ad.SETTINGS, 0) | {"model": "/home/me/my_unet", "content": ["ab"]}
    told = h5ad.summary("/patients/a.svs", chosen)
    assert (told.pop("image"), told.pop("model")) == ("a.svs", "my_unet")
    assert told.keys() == set(h5ad.SETTINGS)
    together = chosen | {"model": "unet+/home/me/my_unet"}
    assert h5ad.summary("/patients/a.svs", together)["model"] == "unet+my_unet"


def test_no_nuclei_and_no_neighbour_are_written_too(tmp_path):
    anndata = pytest.importorskip("anndata", reason=MISSING)
    columns = {name: [1] for name in measures.COLUMNS["all"]} | {"nearest_nucleus_um": [None]}
    h5ad.write(tmp_path / "one.h5ad", columns, {"mpp": None})
    found = anndata.read_h5ad(tmp_path / "one.h5ad")
    assert np.isnan(found[:, "nearest_nucleus_um"].X).all()
    assert dict(found.uns["nuclei"]) == {"unit_of_spatial": "um"}
    h5ad.write(tmp_path / "none.h5ad", dict.fromkeys(measures.COLUMNS["basic"], []), {})
    assert anndata.read_h5ad(tmp_path / "none.h5ad").shape == (0, 5)


def test_a_missing_package_is_said_before_the_work(tmp_path, monkeypatch, capsys):
    write_png(tmp_path / "a.png", np.zeros((9, 9, 3), np.uint8))
    words = ["predict", "unet", str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(h5ad, "find_spec", lambda _: object())
    assert main([*words, "--anndata"]) == 1
    assert "--anndata holds separate nuclei: add --instances." in capsys.readouterr().err
    monkeypatch.setattr(h5ad, "find_spec", lambda _: None)
    assert main([*words, "--anndata", "--instances"]) == 1
    assert "pip install anndata" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="not installed"):
        h5ad.write(tmp_path / "a.h5ad", {}, {})


def test_rows_are_a_table_of_pandas(tissue):
    pandas = pytest.importorskip("pandas", reason="an optional package: pip install pandas")
    image, labels = tissue
    scores = np.linspace(0, 1, labels.max())
    table = pandas.DataFrame(measures.measure(labels, image, choice="all", scores=scores))
    assert tuple(table.columns) == measures.COLUMNS["all"]
    assert len(table) == labels.max()
    assert all(column.kind in "if" for column in table.dtypes)  # numbers, not objects
