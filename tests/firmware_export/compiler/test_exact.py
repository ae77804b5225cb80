"""The compiled C answers as TensorFlow Lite's interpreter does, bit for bit, on this computer."""

import ctypes
import itertools

import numpy as np
import pytest

from firmware_export import arithmetic, build, compile, reference

VARIANTS = [
    *itertools.product(("tiny_conv", "tiny_depthwise", "separable", "pools", "image"), ["int8"], [True]),
    ("separable", "int8", False),
    ("pools", "int8", False),
    ("tiny_conv", "uint8", True),
    ("tiny_depthwise", "float32", True),
    ("image", "float32", True),
    ("image", "uint8", True),
]


def on_host(model, codes, answers, folder):
    """The answers of the compiled model, in the shape and type of `answers`."""
    for name, text in compile.compile_model(model).items():
        (folder / name).write_text(text)
    build.build_host(folder, folder / "model.so")
    invoke = ctypes.CDLL(str(folder / "model.so")).model_invoke
    got = np.zeros_like(answers)
    for clip, scores in zip(np.ascontiguousarray(codes), got, strict=True):
        invoke(ctypes.c_void_p(clip.ctypes.data), ctypes.c_void_p(scores.ctypes.data))
    return got


@pytest.mark.parametrize(("network", "ends", "per_channel"), VARIANTS)
def test_every_answer_is_the_interpreters(models, clips, tmp_path, network, ends, per_channel):
    """Every kind of layer, padding, stride, dilation and input type gives the interpreter's bits."""
    model = models(network, ends, per_channel)
    interpreter = reference.load(model)
    codes = clips(interpreter, 200)
    expected = interpreter.answers(codes)
    assert len(np.unique(expected)) > 2
    np.testing.assert_array_equal(on_host(model, codes, expected, tmp_path), expected)
