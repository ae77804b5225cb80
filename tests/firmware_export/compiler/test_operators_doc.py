"""docs/operators.md says what the compiler supports and refuses; the tests try its claims."""

from pathlib import Path

import numpy as np
import pytest

from firmware_export.compiler.compile import compile_model
from firmware_export.compiler.layers import MAX_STEP
from firmware_export.errors import BadModel
from firmware_export.importers import tflite

TEXT = (Path(__file__).parents[3] / "docs" / "operators.md").read_text("utf-8")
ROWS = {
    name: (cells[1], cells[2])
    for line in TEXT.partition("## The operators")[2].splitlines()
    if line.startswith("| ") and not line.startswith("| operator")
    for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    for name in cells[0].split(", ")
}
SUPPORTED, REFUSED = 0, 1
TANH, SIGN_BIT = 4, 5  # of the schema's ActivationFunctionType
ACTIVATIONS = {"none": 0, "RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}


def operation(graph, kind):
    """The first operation of a kind, among those of the models in conftest.py."""
    from tensorflow.lite.python import schema_py_generated as schema

    number = getattr(schema.BuiltinOperator, kind)
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in graph.operatorCodes]
    return next(op for op in graph.subgraphs[0].operators if codes[op.opcodeIndex] == number)


def option(kind, **options):
    """A change of an operation's options."""

    def change(graph):
        for name, value in options.items():
            assert hasattr(operation(graph, kind).builtinOptions, name)
            setattr(operation(graph, kind).builtinOptions, name, value)

    return change


def of_output(kind, **quantization):
    """A change of the scale or zero point of an operation's output."""

    def change(graph):
        tensor = graph.subgraphs[0].tensors[operation(graph, kind).outputs[0]]
        for name, value in quantization.items():
            setattr(tensor.quantization, name, value)

    return change


def without_bias(kind):
    """A change that leaves an operation's bias out."""

    def change(graph):
        operation(graph, kind).inputs[2] = -1

    return change


def weights_zero_point(graph):
    tensor = graph.subgraphs[0].tensors[operation(graph, "CONV_2D").inputs[1]]
    tensor.quantization.zeroPoint = np.full(len(tensor.quantization.scale), 3)


def variable_weights(graph):
    tensor = graph.subgraphs[0].tensors[operation(graph, "CONV_2D").inputs[1]]
    graph.buffers[tensor.buffer].data = None


def weights_shape(kind, *shape):
    """A change of the shape of an operation's weights, of the same size."""

    def change(graph):
        graph.subgraphs[0].tensors[operation(graph, kind).inputs[1]].shape = np.array(shape, "i4")

    return change


# operator, column, words in that column, network of conftest.py, change
CASES = [
    *(
        ("CONV_2D", SUPPORTED, word, "pools", option("CONV_2D", fusedActivationFunction=number))
        for word, number in ACTIVATIONS.items()
    ),
    *(
        ("CONV_2D", REFUSED, word, "pools", option("CONV_2D", fusedActivationFunction=number))
        for word, number in (("TANH", TANH), ("SIGN_BIT", SIGN_BIT))
    ),
    ("CONV_2D", SUPPORTED, "with or without bias", "pools", without_bias("CONV_2D")),
    ("CONV_2D", REFUSED, "1 to 4096", "pools", option("CONV_2D", strideH=MAX_STEP + 1)),
    ("CONV_2D", REFUSED, "1 to 4096", "pools", option("CONV_2D", dilationWFactor=0)),
    ("CONV_2D", REFUSED, "zero point other than 0", "pools", weights_zero_point),
    ("CONV_2D", REFUSED, "weights that are not constants", "pools", variable_weights),
    ("FULLY_CONNECTED", REFUSED, "shuffled", "pools", option("FULLY_CONNECTED", weightsFormat=1)),
    ("FULLY_CONNECTED", SUPPORTED, "bias", "pools", without_bias("FULLY_CONNECTED")),
    (
        "AVERAGE_POOL_2D",
        REFUSED,
        "change of scale",
        "separable",
        of_output("AVERAGE_POOL_2D", scale=np.float32([9])),
    ),
    ("CONV_2D", REFUSED, "grouped", "pools", weights_shape("CONV_2D", 18, 3, 3, 1)),
    (
        "FULLY_CONNECTED",
        REFUSED,
        "several vectors",
        "pools",
        weights_shape("FULLY_CONNECTED", 5, 30),
    ),
    ("AVERAGE_POOL_2D", REFUSED, "1 to 4096", "separable", option("AVERAGE_POOL_2D", strideW=0)),
    ("SOFTMAX", SUPPORTED, "any beta", "pools", option("SOFTMAX", beta=0.25)),
    ("SOFTMAX", REFUSED, "1/256", "pools", of_output("SOFTMAX", zeroPoint=np.array([0]))),
    ("RESHAPE", REFUSED, "change of scale", "pools", of_output("RESHAPE", scale=np.float32([9]))),
]


def test_table_lists_every_known_operator():
    """The table has one row for each operator that the importer knows, and no other."""
    known = tflite.KINDS + tflite.RESHAPES + tflite.SHAPE_KINDS
    assert set(ROWS) == set(known)


@pytest.mark.parametrize(
    "kind, column, words, network, change", CASES, ids=[f"{c[0]}-{c[2]}" for c in CASES]
)
def test_claim_of_the_table(models, edit, kind, column, words, network, change):
    """A model with one changed parameter is compiled or refused, as the operator's row says."""
    stated = ROWS[kind][SUPPORTED if words == "1 to 4096" else column]
    assert words in stated
    model = edit(models(network, per_channel=False), change)
    if column == SUPPORTED:
        assert compile_model(model).files["model.c"]
    else:
        with pytest.raises(BadModel, match=kind):
            compile_model(model)


@pytest.mark.parametrize(
    "network, ends, batch, kinds",
    [
        ("pools", "int8", 1, {"CONV_2D", "MAX_POOL_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX"}),
        ("separable", "uint8", 1, {"DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "QUANTIZE"}),
        ("tiny_conv", "float32", None, {"SHAPE", "STRIDED_SLICE", "PACK", "DEQUANTIZE"}),
        ("relu", "int8", None, {"EXPAND_DIMS", "RELU6"}),
    ],
)
def test_supported_operators_compile(models, network, ends, batch, kinds):
    """Models of TensorFlow Lite's converter with these operators compile."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = models(network, ends, True, batch)
    names = {number: name for name, number in vars(schema.BuiltinOperator).items()}
    graph = schema.ModelT.InitFromPackedBuf(bytearray(model), 0)
    assert kinds <= {names[code.builtinCode] for code in graph.operatorCodes}
    assert compile_model(model).files["model.c"]


def test_limits_are_those_of_the_code():
    """The limits in the text are the constants of the importer and the compiler."""
    assert f"1 to {MAX_STEP}" in TEXT and f"{tflite.MAX_OPS} operations" in TEXT
    assert f"{tflite.MAX_BYTES >> 20} MiB" in TEXT
