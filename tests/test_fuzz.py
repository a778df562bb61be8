"""A short run of the fuzz test; `make fuzz` is the long one. And what it has found so far."""

import pytest
from fuzz import run
from fuzz_files import READERS

KERAS = ["models", "weights"]


def check(readers, count, folder):
    findings = run(readers, seed=1, count=count, kept=folder)
    assert not findings, "\n".join(f"{path}: {problem}" for path, problem in findings)


def test_damaged_files_get_a_sentence(tmp_path):
    check([reader for reader in READERS if reader not in KERAS], 60, tmp_path)


@pytest.mark.tensorflow
def test_damaged_models_get_a_sentence(tmp_path):
    check(KERAS, 30, tmp_path)
