"""The compiled C gives the scores of TensorFlow Lite's interpreter, bit for bit."""

import ctypes
import itertools

import numpy as np
import pytest

from firmware_export import build
from firmware_export.compiler import arithmetic, compile
from firmware_export.importers import convert
from firmware_export.verify import reference

VARIANTS = [
    *itertools.product(
        ("tiny_conv", "tiny_depthwise", "separable", "pools", "image"), ["int8"], [True], [1]
    ),
    ("separable", "int8", False, 1),
    ("pools", "int8", False, 1),
    ("tiny_conv", "uint8", True, 1),
    ("tiny_depthwise", "float32", True, 1),
    ("image", "float32", True, 1),
    ("image", "uint8", True, 1),
    ("separable", "int8", True, None),
    ("tiny_conv", "float32", True, None),
    ("relu", "int8", True, None),
]


def on_host(model, codes, expected, folder):
    """The scores of the compiled model on this computer, in the shape and type of `expected`."""
    for name, text in compile.compile_model(model).files.items():
        (folder / name).write_text(text)
    build.build_host(folder, folder / "model.so")
    invoke = ctypes.CDLL(str(folder / "model.so")).msl_model_invoke
    got = np.zeros_like(expected)
    for clip, scores in zip(np.ascontiguousarray(codes), got, strict=True):
        invoke(ctypes.c_void_p(clip.ctypes.data), ctypes.c_void_p(scores.ctypes.data))
    return got


@pytest.mark.parametrize("variant", VARIANTS)
def test_scores_equal_the_interpreters(models, clips, tmp_path, variant):
    """Every layer, padding, stride, dilation, input type and open batch gives the interpreter's
    bits."""
    model = models(*variant)
    interpreter = reference.load(model)
    codes = clips(interpreter, 200)
    expected = interpreter.scores(codes)
    assert len(np.unique(expected)) > 2
    np.testing.assert_array_equal(on_host(model, codes, expected, tmp_path), expected)


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("inference", ["int8", "uint8"])
def test_fake_quant_graph_is_exact(keyword_graph, clips, tmp_path, inference, depthwise):
    """A quantisation-aware frozen graph, signed or unsigned throughout as in 2019, is exact too."""
    model = convert.convert(keyword_graph(depthwise=depthwise), inference)
    interpreter = reference.load(model)
    codes = clips(interpreter, 200)
    expected = interpreter.scores(codes)
    assert expected.dtype == inference
    np.testing.assert_array_equal(on_host(model, codes, expected, tmp_path), expected)


@pytest.mark.parametrize("inference", ["int8", "uint8"])
@pytest.mark.parametrize("real", [0.25, 1 / 6, 1.7, 2.0**-4])
def test_ties_round_as_in_the_interpreter(keyword_graph, edit, clips, tmp_path, inference, real):
    """A dense layer's sums that scale to exactly half a step round the interpreter's way."""
    zero = 128 if inference == "uint8" else 0

    def dense_only(graph):
        subgraph = graph.subgraphs[0]
        dense = [op for op in subgraph.operators if len(op.inputs) == 3][-1]
        subgraph.operators = [dense]
        subgraph.inputs, subgraph.outputs = [dense.inputs[0]], [dense.outputs[0]]
        ends = [*dense.inputs, dense.outputs[0]]
        for index, scale in zip(ends, [1.0, real, real, 1.0], strict=True):
            subgraph.tensors[index].quantization.scale = np.array([scale], np.float32)
        subgraph.tensors[dense.inputs[0]].quantization.zeroPoint = [zero]
        weights = graph.buffers[subgraph.tensors[dense.inputs[1]].buffer]
        centred = np.asarray(weights.data).view(inference).astype(int) - zero
        few = np.sign(centred) * (np.arange(centred.size) % 100 == 0) + zero
        weights.data = few.astype(inference).view(np.uint8)

    model = edit(convert.convert(keyword_graph(), inference), dense_only)
    interpreter = reference.load(model)
    codes = clips(interpreter, 2000)
    expected = interpreter.scores(codes)
    assert len(np.unique(expected)) > 10
    np.testing.assert_array_equal(on_host(model, codes, expected, tmp_path), expected)


@pytest.mark.parametrize("scale", [0.003, 0.0625, 0.19604957, 0.7, 4.0, 30.0])
def test_softmax_is_exact_at_every_scale(keyword_graph, edit, clips, tmp_path, scale):
    """Softmax is exact for equal inputs and for inputs so far apart that exponentials vanish."""

    def softmax_only(graph):
        subgraph = graph.subgraphs[0]
        softmax = subgraph.operators[-1]
        subgraph.operators = [softmax]
        subgraph.inputs = [softmax.inputs[0]]
        subgraph.tensors[softmax.inputs[0]].quantization.scale = np.array([scale], np.float32)

    model = edit(convert.convert(keyword_graph()), softmax_only)
    interpreter = reference.load(model)
    codes = clips(interpreter, 20_000)
    expected = interpreter.scores(codes)
    assert len(np.unique(expected)) > 2
    np.testing.assert_array_equal(on_host(model, codes, expected, tmp_path), expected)


def test_exact_multiplier_at_every_step():
    """The integer for a real scale puts each of 256 steps at the sum that binary64 does."""
    random = np.random.default_rng(7)
    for real in [1 / 6, 0.1, 0.25, 3.0, *2.0 ** random.uniform(-13, 1, 50)]:
        multiplier, shift = arithmetic.exact_multiplier(real)
        near = np.arange(1, 257) - 0.5
        sums = np.unique((near[:, None] / real + np.arange(-2, 3)).astype(int).clip(0))
        product = sums * float(real)
        whole = np.floor(product)
        wanted = whole + (product - whole >= 0.5)
        bits = 31 - shift
        got = [(int(v) * multiplier + (1 << (bits - 1))) >> bits for v in sums]
        np.testing.assert_array_equal(got, wanted)
