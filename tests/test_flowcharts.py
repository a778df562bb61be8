"""Flow charts show the parts of the network that they are given, and how they hang together."""

from keras import Input, Model, layers

from nuclei.flowcharts import flowchart, parts

NAMES = {"image": "image", "a": "branch a", "b": "branch b", "joined": "both"}


def branched():
    """Two convolutions, two branches, and a skip connection from before them."""
    image = Input((None, None, 3), name="image")
    early = layers.Conv2D(4, 3, strides=2, padding="same")(image)
    late = layers.Conv2D(6, 3, strides=2, padding="same")(early)
    branches = [layers.Conv2D(2, 1, name=name)(late) for name in ("a1", "b1")]
    skip = layers.MaxPooling2D(2, name="skip")(early)
    return Model(image, layers.Concatenate(name="joined")([*branches, skip]))


def test_parts_have_shapes_layers_and_sources():
    found = parts(branched(), NAMES | {"skip": "skip"}, "rest")
    assert {part.label: (part.stride, part.channels, part.sources) for part in found} == {
        "image": (1, 3, set()),
        "rest,\nstride 2": (2, 4, {"image"}),
        "rest,\nstride 4": (4, 6, {"rest,\nstride 2"}),
        "branch a": (4, 2, {"rest,\nstride 4"}),
        "branch b": (4, 2, {"rest,\nstride 4"}),
        "skip": (4, 4, {"rest,\nstride 2"}),
        "both": (4, 8, {"branch a", "branch b", "skip"}),
    }
    assert sum(len(part.layers) for part in found) == 7


def test_the_drawing_names_every_part_and_nothing_overlaps():
    model = branched()
    figure = flowchart(model, NAMES | {"skip": "skip"}, "rest", "Branched")
    figure.draw_without_rendering()
    (axis,) = figure.axes
    assert figure.get_suptitle() == f"Branched: {model.count_params():,} parameters"
    words = {text.get_text() for text in axis.texts}
    assert {"image", "branch a", "branch b", "both", "skip", "H/4 × W/4 × 8"} <= words
    boxes = [patch.get_window_extent() for patch in axis.patches]
    assert len(boxes) == 7
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(figure.bbox.contains(*box.min) and figure.bbox.contains(*box.max) for box in boxes)
