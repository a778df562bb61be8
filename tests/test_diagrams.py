"""Diagrams show the network that they are given, and can be read."""

from itertools import combinations

import pytest
from keras import Input, Model, layers
from matplotlib.transforms import Bbox

from nuclei.diagrams import architecture, feature_maps
from nuclei.networks.segnet import segnet
from nuclei.networks.unet import unet
from nuclei.networks.upsampling import BilinearUpSampling2D


def test_every_stage_has_its_stride_and_channels():
    maps = feature_maps(unet(width=4, depth=3))
    down = [(1, 3), (1, 4), (2, 4), (2, 8), (4, 8), (4, 16), (8, 16), (8, 32)]
    # Up-convolution, concatenation, two convolutions.
    up = [(4, 16), (4, 32), (4, 16), (2, 8), (2, 16), (2, 8), (1, 4), (1, 8), (1, 4)]
    assert [(one.stride, one.channels) for one in maps] == [*down, *up, (1, 1)]


def test_every_operation_is_named_and_counted():
    maps = feature_maps(unet(width=4, depth=1))
    convolutions = ("3 × 3 convolution + batch normalisation + ReLU", 2)
    assert [(one.operation, one.times) for one in maps] == [
        ("input", 1),
        convolutions,
        ("2 × 2 max-pooling", 1),
        convolutions,
        ("2 × 2 up-convolution", 1),
        ("copy and concatenation", 1),
        convolutions,
        ("1 × 1 convolution + sigmoid", 1),
    ]


def test_every_layer_belongs_to_one_feature_map():
    network = unet(width=4, depth=3)
    named = [name for one in feature_maps(network) for name in one.layers]
    assert sorted(named) == sorted(layer.name for layer in network.layers)


def test_skip_connections_are_those_of_the_network():
    maps = feature_maps(unet(width=4, depth=3))
    skips = {one.layers[0]: one.sources for one in maps if len(one.sources) > 1}
    assert {name: [maps[i].layers[-1] for i in sources] for name, sources in skips.items()} == {
        f"decoder{stage}_concatenate": [f"encoder{stage}_relu2", f"decoder{stage}_up"]
        for stage in (1, 2, 3)
    }


def test_a_network_without_skip_connections_shows_none():
    image = Input((None, None, 3))
    x = layers.Conv2D(6, 5, strides=4, padding="same", activation="relu")(image)
    x = layers.Dropout(0.1)(x)
    x = BilinearUpSampling2D(4, name="larger")(x)
    maps = feature_maps(Model(image, x))
    assert [(one.stride, one.channels, one.sources) for one in maps] == [
        (1, 3, ()),
        (4, 6, (0,)),
        (1, 6, (1,)),
    ]
    assert [one.operation for one in maps[1:]] == ["5 × 5 convolution + relu", "up-sampling"]


def test_a_map_that_is_used_twice_is_not_merged_with_the_next():
    image = Input((None, None, 3))
    first = layers.Conv2D(6, 3, padding="same")(image)
    second = layers.Conv2D(6, 3, padding="same")(first)
    maps = feature_maps(Model(image, layers.Add()([first, second])))
    assert [(one.operation, one.sources) for one in maps[1:]] == [
        ("3 × 3 convolution", (0,)),
        ("3 × 3 convolution", (1,)),
        ("addition", (1, 2)),
    ]


def test_indices_go_from_each_pooling_to_its_unpooling():
    maps = feature_maps(segnet(width=1))
    unpoolings = [one for one in maps if one.indices is not None]
    assert {one.operation for one in unpoolings} == {"2 × 2 unpooling"}
    assert {one.layers[0]: maps[one.indices].layers[0] for one in unpoolings} == {
        f"decoder{stage}_unpool": f"encoder{stage}_pool" for stage in range(1, 6)
    }
    assert all(len(one.sources) == 1 for one in unpoolings)


def drawn(figure):
    """Texts of a drawing and its legend; check that nothing overlaps or is cut off."""
    figure.draw_without_rendering()
    (axis,), (legend,) = figure.axes, figure.legends
    texts = [text for text in axis.texts + legend.texts if text.get_text()]
    words = [text.get_text() for text in texts]
    arrows = [text for text in axis.texts if not text.get_text()]
    assert arrows and all(arrow.xyann[0] <= arrow.xy[0] for arrow in arrows)

    named = words + ["block"] * len(axis.patches)
    boxes = [shown.get_window_extent() for shown in [*texts, *axis.patches]]
    shrunk = [box.padded(-1) for box in boxes]  # blocks may touch
    pairs = combinations(zip(named, shrunk, strict=True), 2)
    assert not [(one, other) for (one, a), (other, b) in pairs if a.overlaps(b)]
    inside = Bbox.union(boxes)
    assert figure.bbox.contains(*inside.min) and figure.bbox.contains(*inside.max)
    return words


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_the_drawing_of_a_unet_is_complete(depth):
    network = unet(width=16 if depth < 5 else 4, depth=depth)
    figure = architecture(network, "UNet")
    words = drawn(figure)
    assert figure.get_suptitle() == f"UNet: {network.count_params():,} parameters"
    assert {"H × W", f"H/{2**depth} × W/{2**depth}", "image", "nucleus"} <= set(words)
    assert sum(word == "×2" for word in words) == 2 * depth + 1
    assert sum(" + " in text.get_text() for text in figure.axes[0].texts) == depth
    assert len(figure.legends[0].texts) == 6


@pytest.mark.parametrize("width", [2, 16, 64])
def test_the_drawing_of_a_segnet_is_complete(width):
    figure = architecture(segnet(width=width))
    words = drawn(figure)
    assert {"H × W", "H/32 × W/32", "image", "nucleus"} <= set(words)
    assert [words.count(f"×{times}") for times in (2, 3)] == [5, 4]
    assert "indices: where each maximum was" in words


def test_the_title_falls_back_on_the_name_of_the_model():
    assert architecture(unet(width=1, depth=1)).get_suptitle().startswith("unet: ")
