"""Look through the structure of an OpenVINO model before OpenVINO reads it: it may be a stranger's.

OpenVINO takes operations from libraries that are loaded with it, and loops that need not end.
"""

import math
import re
from xml.parsers import expat

OPERATIONS = {
    "Add",
    "BatchToSpace",
    "Broadcast",
    "Clamp",
    "Concat",
    "Const",
    "Convert",
    "ConvertLike",
    "Convolution",
    "ConvolutionBackpropData",
    "Divide",
    "Equal",
    "FakeQuantize",
    "FloorMod",
    "Gather",
    "Greater",
    "GroupConvolution",
    "Less",
    "LogicalAnd",
    "LogicalXor",
    "MaxPool",
    "Maximum",
    "Mod",
    "Multiply",
    "NotEqual",
    "Pad",
    "Parameter",
    "ReLU",
    "ReduceMean",
    "Reshape",
    "Result",
    "Select",
    "ShapeOf",
    "Sigmoid",
    "Slice",
    "SpaceToBatch",
    "Split",
    "Squeeze",
    "StridedSlice",
    "Subtract",
    "Transpose",
    "Unsqueeze",
}
"""What the networks here become, in float32 and int8: none of them loops, branches, or runs code of
its own."""

WIDEST = 1024
"""Numbers that an operation may give for each pixel of a batch. The networks here give up to 128 at
full resolution."""


def check(structure):
    """Refuse a structure with other operations than the networks here.

    Parameters
    ----------
    structure : bytes
        The `.xml` of OpenVINO.

    Raises
    ------
    ValueError
        If there is another operation, in whatever part of it, or it is not plain XML in ASCII,
        which all parsers read alike.
    """

    def begin(tag, attributes):
        if tag != "layer":
            return
        kind, version = (attributes.get(name, "") for name in ("type", "version"))
        if kind not in OPERATIONS or not re.fullmatch(r"opset\d+", version):
            raise ValueError(f"it has the operation {kind!r} of {version!r}")

    def refuse(*_):
        raise ValueError("it declares entities")

    if not structure.isascii():
        raise ValueError("it is not in ASCII")
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.StartDoctypeDeclHandler = begin, refuse
    try:
        parser.Parse(structure, True)
    except expat.ExpatError as error:
        raise ValueError(f"it is no XML: {error}") from None


def check_sizes(model, pixels):
    """Refuse a model that takes far more memory than the networks here.

    Parameters
    ----------
    model : openvino.Model
        Reshaped to the batches that it will see.
    pixels : int
        Pixels of such a batch.

    Raises
    ------
    ValueError
        If an operation gives more than `WIDEST` numbers for each of them.
    """
    for operation in model.get_ops():
        if operation.get_type_name() == "Constant":  # as large as the weights in the file
            continue
        for output in operation.outputs():
            shape = output.get_partial_shape()
            if shape.is_static and math.prod(output.get_shape()) > WIDEST * pixels:
                raise ValueError(f"{operation.get_type_name()} gives numbers of the shape {shape}")
