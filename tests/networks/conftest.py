"""Files of weights in the place of ImageNet's."""

import pytest

from nuclei.networks import encoders


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """For each backbone, a file of weights in the place of ImageNet's."""
    paths = {}
    for name, kind in encoders.ENCODERS.items():
        model = kind.build(include_top=False, weights=None)
        paths[name] = tmp_path_factory.mktemp("pretrained") / f"{name}.weights.h5"
        model.save_weights(paths[name])
    return paths
