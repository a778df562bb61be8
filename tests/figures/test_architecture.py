"""Figures show the network that they are given, and can be read."""

from itertools import combinations, permutations

import keras
import pytest
from matplotlib.colors import to_rgba
from matplotlib.path import Path
from matplotlib.transforms import Bbox

from nuclei.figures.architecture import architecture, blocks
from nuclei.networks.deeplabv3 import deeplabv3
from nuclei.networks.segnet import segnet
from nuclei.networks.unet import unet

FEATURES, SKIP, INDICES = "features", "skip connection", "pooling indices"
AFTER_THE_ENCODER = ("aspp_", "projection", "decoder_", "logits", "up", "nucleus")
BACKBONES = {"mobilenetv2": "MobileNetV2", "xception": "Xception"}


@pytest.fixture(scope="module", params=BACKBONES)
def deeplab(request):
    """A DeepLabv3 and what its encoder is called."""
    return deeplabv3(request.param, width=8, rates=(3, 6, 9)), BACKBONES[request.param]


def check_division(network):
    """Every layer is in one block, and blocks take features from whom their layers do."""
    found = blocks(network)
    home = {layer.name: block.name for block in found for layer in block.layers}
    names = [layer.name for block in found for layer in block.layers]
    assert sorted(names) == sorted(layer.name for layer in network.layers)
    assert len({block.name for block in found}) == len(found)
    for block in found:
        givers = set()
        for layer in block.layers:
            for x in keras.tree.flatten(layer.input):
                giver, _, output = x._keras_history
                if output == 0:  # not the indices of a pooling
                    givers.add(home[giver.name])
        features = {name for name, what in block.sources.items() if what != INDICES}
        assert features == givers - {block.name}


def test_every_stage_of_a_unet_has_its_stride_and_channels():
    assert [(block.name, block.stride, block.channels) for block in blocks(unet(4, depth=3))] == [
        ("image", 1, 3),
        ("encoder 1", 1, 4),
        ("encoder 2", 2, 8),
        ("encoder 3", 4, 16),
        ("bottleneck", 8, 32),
        ("decoder 3", 4, 16),
        ("decoder 2", 2, 8),
        ("decoder 1", 1, 4),
        ("nucleus", 1, 1),
    ]


@pytest.mark.parametrize("network", [unet(4, depth=3), segnet(1), segnet(1, indices=False)])
def test_the_blocks_are_a_division_of_the_network(network):
    check_division(network)


def test_the_blocks_are_a_division_of_a_deeplabv3(deeplab):
    check_division(deeplab[0])


def test_skip_connections_are_those_of_the_network():
    found = {block.name: block for block in blocks(unet(width=4, depth=3))}
    skips = {name: block.sources for name, block in found.items() if SKIP in block.sources.values()}
    assert skips == {
        "decoder 1": {"encoder 1": SKIP, "decoder 2": FEATURES},
        "decoder 2": {"encoder 2": SKIP, "decoder 3": FEATURES},
        "decoder 3": {"encoder 3": SKIP, "bottleneck": FEATURES},
    }
    assert found["encoder 2"].layers[0].name == "encoder1_pool"
    assert found["bottleneck"].layers[0].name == "encoder3_pool"


def test_indices_go_from_each_pooling_to_its_unpooling():
    network = segnet(width=1)
    found = {block.name: block for block in blocks(network)}
    assert [layer.name for layer in found["bottleneck"].layers] == ["encoder5_pool"]
    assert (found["encoder 5"].stride, found["bottleneck"].stride) == (16, 32)
    for stage in range(1, 6):
        block = found[f"decoder {stage}"]
        before = f"decoder {stage + 1}" if stage < 5 else "bottleneck"
        assert block.sources == {before: FEATURES, f"encoder {stage}": INDICES}
        unpooling = network.get_layer(f"decoder{stage}_unpool")
        pooling = unpooling.input[1]._keras_history.operation
        assert unpooling in block.layers
        # The maxima are in the map that the block named above gives to the pooling.
        assert pooling.input._keras_history.operation is found[f"encoder {stage}"].layers[-1]
    assert sum(INDICES in block.sources.values() for block in found.values()) == 5


def test_without_indices_nothing_goes_across_a_segnet():
    found = blocks(segnet(width=1, indices=False))
    assert all(set(block.sources.values()) <= {FEATURES} for block in found)
    assert all(len(block.sources) == 1 for block in found[1:])


def test_the_branches_of_a_deeplabv3_have_their_sources(deeplab):
    network, encoder = deeplab
    found = {block.name: block for block in blocks(network)}
    fine, coarse = f"{encoder}, stride 4", f"{encoder}, stride 16"
    branches = [*(f"ASPP, atrous {i}" for i in (1, 2, 3)), "ASPP, 1 × 1", "ASPP, whole image"]
    assert {name: block.sources for name, block in found.items()} == {
        "image": {},
        f"{encoder}, stride 2": {"image": FEATURES},
        fine: {f"{encoder}, stride 2": FEATURES},
        f"{encoder}, stride 8": {fine: FEATURES},
        coarse: {f"{encoder}, stride 8": FEATURES},
        **dict.fromkeys(branches, {coarse: FEATURES}),
        "ASPP, projection": dict.fromkeys(branches, FEATURES),
        "low-level features": {fine: SKIP},
        "decoder": {"ASPP, projection": FEATURES, "low-level features": SKIP},
        "nucleus": {"decoder": FEATURES},
    }
    shapes = {name: (block.stride, block.channels) for name, block in found.items()}
    assert {shapes[branch] for branch in branches[:-1]} == {(16, 8)}
    assert shapes["ASPP, whole image"] == (512, 8)
    assert [shapes[name] for name in ("low-level features", "decoder", "nucleus")] == [
        (4, 48),
        (4, 8),
        (1, 1),
    ]


def drawn(network, title=None):
    """Draw a network, and check that the figure can be read and shows every arrow.

    Returns
    -------
    Figure, dict of str to Bbox, dict of str to list of str
        The latter two by block: its box in pixels, and the lines below its name.
    """
    found, figure = {block.name: block for block in blocks(network)}, architecture(network, title)
    figure.draw_without_rendering()
    (axis,), (legend,) = figure.axes, figure.legends
    texts = [text for text in axis.texts if text.get_text()]
    arrows = [text for text in axis.texts if not text.get_text()]
    boxes = [patch.get_window_extent() for patch in axis.patches]
    extents = [text.get_window_extent() for text in texts]
    assert len(texts) == 3 * len(boxes)
    assert [text.get_text() for text in texts[::3]] == list(found)

    # Texts are inside their boxes, nothing overlaps, and nothing is cut off.
    assert not any(a.padded(3).overlaps(b) for a, b in combinations(boxes, 2))
    assert not any(a.padded(-1).overlaps(b.padded(-1)) for a, b in combinations(extents, 2))
    for i, extent in enumerate(extents):
        assert inside(extent, boxes[i // 3].padded(-3)), texts[i].get_text()
    around = [text.get_window_extent() for text in [*legend.texts, *figure.texts]]
    assert len(around) > 1
    assert all(inside(extent, figure.bbox) for extent in [*boxes, *around])
    assert not any(extent.overlaps(Bbox.union(boxes)) for extent in around)

    boxes = dict(zip(found, boxes, strict=True))
    for a, b in permutations(found, 2):
        assert found[a].stride >= found[b].stride or boxes[a].y0 > boxes[b].y1  # coarser is lower

    # Arrows lead from the edge of one box to that of another, and through no box.
    edges = [(source, name) for name, block in found.items() for source in block.sources]
    keys = {line.get_label(): line for line in legend.get_lines()}
    for arrow, edge in zip(arrows, edges, strict=True):
        key, patch = keys[found[edge[1]].sources[edge[0]]], arrow.arrow_patch
        assert patch.get_linestyle() == key.get_linestyle(), edge
        assert patch.get_edgecolor() == to_rgba(key.get_color()), edge
        for end, name in zip(axis.transData.transform([arrow.xyann, arrow.xy]), edge, strict=True):
            assert boxes[name].padded(2).contains(*end), edge
        path = Path(arrow.arrow_patch.get_path().vertices[:3])  # tail, corner, head
        crossed = (path.intersects_bbox(box.padded(-2), filled=False) for box in boxes.values())
        assert not any(crossed), edge
        tail, corner, head = path.vertices
        for end, name in zip((tail, head), edge, strict=True):  # not along the edge of a box
            assert not boxes[name].padded(1).contains(*(0.75 * end + 0.25 * corner)), edge
        if (
            found[edge[0]].stride != found[edge[1]].stride
        ):  # level, upright, or first one, then the other
            for way in (corner - tail, head - corner):
                assert min(abs(way)) == pytest.approx(0, abs=0.01), edge
    kinds = {what for block in found.values() for what in block.sources.values()}
    assert {text.get_text() for text in legend.texts} == set(keys) == kinds
    assert len({key.get_linestyle() for key in keys.values()}) == len(kinds)
    parameters = f"{network.count_params():,} parameters"
    assert figure.get_suptitle() == f"{title or network.name}: {parameters}"
    lines = [text.get_text().replace("\xa0", " ").split("\n") for text in texts]
    return figure, boxes, {n: lines[3 * i + 1] + lines[3 * i + 2] for i, n in enumerate(found)}


def inside(inner, outer):
    return outer.contains(*inner.min) and outer.contains(*inner.max)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_the_drawing_of_a_unet_is_complete(depth):
    _, boxes, lines = drawn(unet(width=16 if depth < 5 else 4, depth=depth), "UNet")
    assert len(boxes) == 2 * depth + 3
    for stage in range(1, depth + 1):
        encoder, decoder = boxes[f"encoder {stage}"], boxes[f"decoder {stage}"]
        assert encoder.intervaly == pytest.approx(decoder.intervaly)  # so that the skip is level
        assert encoder.x1 < boxes["bottleneck"].x0 < boxes["bottleneck"].x1 < decoder.x0
    assert lines["bottleneck"][0].startswith(f"H/{2**depth} × W/{2**depth} × ")


def test_the_drawing_of_a_unet_says_what_every_block_does():
    *_, lines = drawn(unet(width=16, depth=2, channels=2))
    convolutions = "2 × (3 × 3 convolution, normalisation, ReLU)"
    assert lines == {
        "image": ["H × W × 3", "input layer, rescaling"],
        "encoder 1": ["H × W × 16", convolutions],
        "encoder 2": ["H/2 × W/2 × 32", "2 × 2 max pooling,", convolutions],
        "bottleneck": ["H/4 × W/4 × 64", "2 × 2 max pooling,", convolutions],
        "decoder 2": ["H/2 × W/2 × 32", "2 × 2 up-convolution, concatenate,", convolutions],
        "decoder 1": ["H × W × 16", "2 × 2 up-convolution, concatenate,", convolutions],
        "nucleus": ["H × W × 2", "1 × 1 convolution, sigmoid"],
    }


@pytest.mark.parametrize("width", [2, 16, 64])
def test_the_drawing_of_a_segnet_is_complete(width):
    _, boxes, lines = drawn(segnet(width=width), "SegNet")
    assert len(boxes) == 13
    assert lines["bottleneck"] == [f"H/32 × W/32 × {8 * width}", "max pooling with indices"]
    repeats = [lines[f"decoder {stage}"][-1][:1] for stage in range(1, 6)]
    assert repeats == ["2", "2", "3", "3", "3"]


def test_the_drawing_of_a_deeplabv3_is_complete(deeplab):
    network, encoder = deeplab
    figure, boxes, lines = drawn(network, "DeepLabv3")
    assert len(boxes) == 14
    branches = [*(f"ASPP, atrous {i}" for i in (1, 2, 3)), "ASPP, 1 × 1", "ASPP, whole image"]
    for name in branches:
        assert boxes[f"{encoder}, stride 16"].x1 < boxes[name].x0
        assert boxes[name].x1 < boxes["ASPP, projection"].x0
    row = [boxes[name].intervaly for name in branches[:-1]]
    for name in (f"{encoder}, stride 16", "ASPP, projection"):
        assert boxes[name].intervaly.mean() == pytest.approx(sum(y.mean() for y in row) / len(row))
    rates = [" ".join(lines[name]) for name in branches[:3]]
    assert all(f"convolution at rate {3 * i}," in words for i, words in enumerate(rates, start=1))
    assert lines["ASPP, whole image"][0] == "1 × 1 × 8"
    assert " ".join(lines["decoder"][1:]) == (
        "bilinear up sampling, concatenate, 2 × (3 × 3 depthwise convolution, normalisation, ReLU, "
        "1 × 1 convolution, normalisation, ReLU)"
    )
    layers = sum(int(words[1].split()[0]) for name, words in lines.items() if encoder in name)
    known = [layer for layer in network.layers if layer.name in ("image", "scale", "pad")]
    after = [layer for layer in network.layers if layer.name.startswith(AFTER_THE_ENCODER)]
    assert layers == len(network.layers) - len(known) - len(after)
    assert figure.get_size_inches()[0] < 10  # a README is not wider
