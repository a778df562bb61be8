"""Engine files of strangers are refused before they take memory."""

import pytest

from nuclei.errors import InputError
from nuclei.prediction.engines import files


@pytest.mark.parametrize("member", files.LARGEST)
def test_a_member_that_grows_too_large_is_refused(tmp_path, monkeypatch, member):
    facts = {"fingerprint": "0", "network": "unet", "openvino": "0"}
    path = tmp_path / "model.int8.zip"
    files.write(path, files.EngineContent(bytes(500), bytes(500), facts))
    assert files.read(path).facts == facts
    monkeypatch.setitem(files.LARGEST, member, 20)
    with pytest.raises(InputError, match="damaged"):
        files.read(path)
