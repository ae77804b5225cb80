"""A model that cannot be compiled is refused in one line that names the operation."""

import numpy as np
import pytest

from firmware_export import errors
from firmware_export.compiler import compile
from firmware_export.importers import tflite

CONV = 1  # the indices of tiny_conv's convolution, dense layer and softmax
DENSE = 3
SOFTMAX = 4


def refusal(model):
    with pytest.raises(errors.BadModel) as caught:
        compile.compile_model(model)
    text = str(caught.value)
    assert text[-1] != "." and "\n" not in text
    return text


@pytest.mark.parametrize("damage", [b"", b"no model", bytes(4000)])
def test_file_that_is_not_a_model_is_refused(damage):
    """An empty, foreign or blank file is not a .tflite."""
    assert "not a usable .tflite" in refusal(damage)


def test_truncated_model_is_refused(models):
    """A model that was cut anywhere is refused."""
    model = models("tiny_conv")
    for cut in (10, 400, len(model) // 2, len(model) - 2000):
        assert "not a usable .tflite" in refusal(model[:cut])


def test_float_model_is_refused(models):
    """A float model is refused, and the message says how to convert it."""
    text = refusal(models("image", None))
    assert "#0, DEPTHWISE_CONV_2D" in text and "float32" in text and "full-integer" in text


def test_unsupported_operation_is_refused_by_name(models, edit):
    """The message has the operation's name and index, and the supported operations."""

    def change(graph):
        code = graph.operatorCodes[graph.subgraphs[0].operators[SOFTMAX].opcodeIndex]
        code.builtinCode = code.deprecatedBuiltinCode = 50  # LOG_SOFTMAX

    text = refusal(edit(models("tiny_conv"), change))
    assert "#4, LOG_SOFTMAX, is not supported" in text and "FULLY_CONNECTED" in text


def test_custom_operation_is_refused_with_a_printable_name(models, edit):
    """A stranger's name cannot put control characters on the screen."""

    def change(graph):
        code = graph.operatorCodes[graph.subgraphs[0].operators[SOFTMAX].opcodeIndex]
        code.builtinCode = code.deprecatedBuiltinCode = 32
        code.customCode = "evil\x1b[2J*/"

    assert "#4, CUSTOM evil__2J_/" in refusal(edit(models("tiny_conv"), change))


CHANGES = {
    "refers to tensor 999": lambda g: g.subgraphs[0].operators[SOFTMAX].inputs.__setitem__(0, 999),
    "batch of 2": lambda g: (
        g.subgraphs[0].tensors[g.subgraphs[0].inputs[0]].shape.__setitem__(0, 2)
    ),
    "exactly one is supported": lambda g: setattr(
        g.subgraphs[0], "outputs", np.array([*g.subgraphs[0].outputs, 7], np.int32)
    ),
    "only chains are supported": lambda g: g.subgraphs[0].operators.pop(2),
    "gives 25x20, but the file says 26x20": lambda g: (
        g.subgraphs[0].tensors[g.subgraphs[0].operators[CONV].outputs[0]].shape.__setitem__(1, 26)
    ),
    "stride, dilation or window outside 1 to 4096": lambda g: setattr(
        g.subgraphs[0].operators[CONV].builtinOptions, "strideH", 0
    ),
    "not a clamp": lambda g: setattr(
        g.subgraphs[0].operators[CONV].builtinOptions, "fusedActivationFunction", 4
    ),
    "zero point other than 0": lambda g: setattr(
        g.subgraphs[0].tensors[g.subgraphs[0].operators[DENSE].inputs[1]].quantization,
        "zeroPoint",
        np.full(4, 3),
    ),
    "scale that is not positive": lambda g: (
        g.subgraphs[0]
        .tensors[g.subgraphs[0].operators[CONV].outputs[0]]
        .quantization.scale.__setitem__(0, np.float32("nan"))
    ),
}


@pytest.mark.parametrize("reason", CHANGES)
def test_inconsistent_model_is_refused(models, edit, reason):
    """Indices, shapes, scales and options that contradict each other are refused."""
    assert reason in refusal(edit(models("tiny_conv"), CHANGES[reason]))


def test_damaged_model_gives_no_other_error(models):
    """A model with a flipped bit either compiles or is refused."""
    model = bytearray(models("tiny_conv"))
    random = np.random.default_rng(3)
    for at in random.integers(0, len(model), 60):
        damaged = bytearray(model)
        damaged[at] ^= 1 << random.integers(8)
        try:
            compile.compile_model(bytes(damaged))
        except errors.BadModel as refused:
            assert "\n" not in str(refused)


def test_tensor_names_cannot_end_a_c_comment(models, edit):
    """A tensor whose name ends a C comment does not add code to model.c."""

    def change(graph):
        for tensor in graph.subgraphs[0].tensors:
            tensor.name = "*/ int x; /*"

    source = compile.compile_model(edit(models("tiny_conv"), change)).files["model.c"]
    assert "int x" not in source


def test_float_input_and_output_are_removed(models):
    """A model with float input and output gets the 8-bit tensors next to them."""
    loaded = tflite.load(models("tiny_depthwise", "float32"))
    assert [op.kind for op in loaded.ops][0] != "QUANTIZE"
    assert loaded.input.dtype == loaded.output.dtype == "int8"
