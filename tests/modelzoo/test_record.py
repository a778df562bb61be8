"""The record of a training: what the card needs, and which code it was."""

import json
import subprocess

import keras
import numpy as np
import pytest

from nuclei import model_card
from nuclei.data import monuseg
from nuclei.data.dataset import Sample
from nuclei.training import record
from nuclei.training.record import provenance, training_record


def test_the_record_of_a_training_holds_what_the_card_needs(trained, monkeypatch):
    monkeypatch.setattr(monuseg, "find", lambda: None)
    image = np.zeros((8, 8, 3), np.uint8)
    train, val = (
        [Sample(name, name, "synthetic", image, image[..., 0] > 0, None) for name in names]
        for names in (("a", "b"), ("c",))
    )
    history = [{"epoch": 1, "seconds": 90.0}, {"epoch": 2, "seconds": 30.0}]
    kept = training_record(
        trained, history, train, val, {"test": {"x": 1}}, {"device": "CPU"}, seed=7
    )
    assert kept["train_patients"] == ["a", "b"] and kept["val_patients"] == ["c"]
    assert (kept["minutes"], kept["seed"], kept["test"]) == (2.0, 7, {"x": 1})
    assert kept["data"] == "synthetic tissue" and kept["hardware"] == {"device": "CPU"}
    assert kept["parameters"] == trained.count_params() and "commit" in kept
    json.dumps(kept)


@pytest.mark.parametrize(
    ("start_data", "data", "words"),
    [
        ([], "MoNuSeg", ["commercially"]),
        ([], "synthetic tissue", ["comes with this code"]),
        (["MoNuSeg"], "synthetic tissue", ["commercially", "comes with this code"]),
        (["mine"], "MoNuSeg", ["owners of mine", "commercially"]),
        (["MoNuSeg", "mine"], "yours", ["commercially", "owners of mine", "owners of yours"]),
    ],
)
def test_the_licence_is_that_of_all_that_was_trained_on(start_data, data, words):
    sentences = model_card._licence({"start_data": start_data, "data": data})
    places = [sentences.find(word) for word in words]
    assert min(places) >= 0 and places == sorted(places)
    assert ("commercially" in sentences) == ("MoNuSeg" in [*start_data, data])


def test_the_card_names_the_backend_that_was_measured():
    scores = dict.fromkeys(["dice", "aji", "pq", "seconds_per_image"], 0.5)
    engines = {"keras": {"val": scores, "test": scores | {"backend": "jax"}}, "openvino": {}}
    rows = model_card.engine_rows({"engines": engines})
    assert [row[:2] for row in rows] == [
        ["test", "Keras, JAX"],
        ["validation", "Keras, TensorFlow"],
    ]


def test_provenance_names_code_and_software():
    found = provenance()
    assert found["versions"]["keras"] == keras.__version__
    assert found["versions"]["numpy"] == np.__version__
    assert set(found["versions"]) == {"python", "keras", keras.backend.backend(), "numpy"}
    assert found["commit"] is None or len(found["commit"].removesuffix("+")) >= 12


def test_a_commit_has_a_plus_where_code_differs_and_none_for_figures(tmp_path, monkeypatch):
    def git(*arguments):
        author = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", tmp_path, *author, *arguments], check=True)

    monkeypatch.setattr(record, "ROOT", tmp_path)
    assert provenance()["commit"] is None  # outside git
    for folder in ("nuclei", "Graphs"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_text("before")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    (tmp_path / "Graphs" / "file").write_text("after")
    assert len(provenance()["commit"].removesuffix("+")) == 12
    assert not provenance()["commit"].endswith("+")
    (tmp_path / "nuclei" / "file").write_text("after")
    assert provenance()["commit"].endswith("+")
