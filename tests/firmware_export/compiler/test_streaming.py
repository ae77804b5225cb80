"""A model of a stream, compiled: frame after frame it gives the interpreter's scores."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from firmware_export import build
from firmware_export.boards.registry import DEFAULT
from firmware_export.compiler import sources
from firmware_export.compiler.compile import compile_stream
from firmware_export.compiler.memory_plan import LayerMemory
from firmware_export.compiler.streaming import stream
from firmware_export.errors import BadModel, Mismatch
from firmware_export.importers import tflite
from firmware_export.verify import reference
from firmware_export.verify.stream_proof import compare, on_host, prove_stream

# network, type of its ends, open batch: frames a row of scores needs, frames to the next one
STREAMS = {
    ("causal", "int8", 1): (21, 2),
    ("valid", "int8", 1): (25, 2),
    ("causal", "uint8", 1): (21, 2),
    ("whole", "uint8", 1): (29, 4),
    ("averaged", "int8", 1): (24, 1),
    ("averaged", "float32", 1): (24, 1),
}


def frames_of(interpreter, count, size):
    """Codes [count, size], extremes and quiet stretches among them."""
    random = np.random.default_rng(7)
    low, high = (0, 256) if interpreter.input.unsigned else (-128, 128)
    codes = random.integers(low, high, (count, size))
    codes[count // 3 : count // 2] = low + (codes[count // 3 : count // 2] - low) // 8
    codes[5], codes[6] = low, high - 1
    return codes.astype(interpreter.input.stored_type)


@pytest.fixture
def streamed(models):
    """`streamed(network, ends, batch)`: compiled model, frames, the interpreter's scores."""

    def make(network, ends="int8", batch=1, count=181):
        model = models(network, ends, True, batch)
        compiled, interpreter = compile_stream(model), reference.load(model)
        frames = frames_of(interpreter, count, compiled.model.input.size)
        return compiled, frames, interpreter.stream_scores(frames, compiled.model)

    return make


@pytest.mark.parametrize("variant", STREAMS, ids=str)
def test_stream_equals_the_interpreter_from_the_first_step(streamed, tmp_path, variant):
    """Convolutions, pools, dilations, zeros before the first frame, whole-clip layers and every
    type of ends give the interpreter's bits at each step of a stream."""
    network, ends, batch = variant
    compiled, frames, expected = streamed(network, ends, batch)
    for name, text in compiled.files.items():
        (tmp_path / name).write_text(text)
    assert (compiled.model.field, compiled.model.stride) == STREAMS[variant]
    assert len(expected) == compiled.model.scores_after(len(frames)) > 20
    assert len(np.unique(expected)) > 10
    np.testing.assert_array_equal(on_host(tmp_path, frames, expected), expected)


@pytest.mark.parametrize("network", ["causal", "valid", "whole"])
def test_stream_equals_one_long_run_of_the_interpreter(models, network):
    """The expected scores of a stream as long as the model's input are those of one run."""
    model = models(network)
    interpreter, found = reference.load(model), stream(tflite.load(model))
    frames = frames_of(interpreter, found.rows, found.input.size)
    whole = interpreter.interpreter
    whole.set_tensor(
        whole.get_input_details()[0]["index"],
        frames.reshape(whole.get_input_details()[0]["shape"]),
    )
    whole.invoke()
    once = whole.get_tensor(whole.get_output_details()[0]["index"])
    expected = once.reshape(-1, found.output.size)
    np.testing.assert_array_equal(interpreter.stream_scores(frames, found), expected)


def test_stream_on_the_chip_equals_the_interpreter(streamed, tmp_path):
    """The image for the chip gives the interpreter's scores; memory and time are its own."""
    compiled, frames, expected = streamed("causal", count=2000)
    sources.write_stream(tmp_path, compiled, frames[:9], expected[:5], DEFAULT)
    build.build(tmp_path, DEFAULT, image=build.STREAM)
    proof = prove_stream(compiled.model, tmp_path, frames, expected, DEFAULT)
    assert (proof.frames, proof.rows, proof.mismatches) == (2000, 1000, 0)
    assert proof.instructions < 16_000 and proof.ram < 800 and proof.flash < 7_000


def test_wrong_frames_in_the_image_fail_the_proof(streamed, tmp_path):
    """A proof fails where the firmware's own test expects other scores than it gives."""
    compiled, frames, expected = streamed("valid", count=100)
    sources.write_stream(tmp_path, compiled, frames[:30], expected[:3] ^ 1, DEFAULT)
    build.build(tmp_path, DEFAULT, image=build.STREAM)
    with pytest.raises(Mismatch, match="built-in frames failed"):
        prove_stream(compiled.model, tmp_path, frames, expected, DEFAULT)


@pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-gcc") and shutil.which("make")), reason="needs GCC and make"
)
def test_makefile_gives_the_image_of_build(streamed, tmp_path):
    """`make` in a stream's folder needs nothing else, and gives build.py's image."""
    compiled, frames, expected = streamed("valid", count=100)
    for name in ("made", "built"):
        sources.write_stream(tmp_path / name, compiled, frames[:30], expected[:3], DEFAULT)
    subprocess.run(["make", "all"], cwd=tmp_path / "made", check=True)
    build.build(tmp_path / "built", DEFAULT, "arm-none-eabi-gcc", build.STREAM)
    made, built = ((tmp_path / name / "stream.bin").read_bytes() for name in ("made", "built"))
    assert made == built


def test_compare_names_the_first_row_that_differs():
    """A mismatch says which row differs, what was expected and how many rows differ."""
    expected = np.arange(12, dtype=np.int8).reshape(6, 2)
    got = expected.copy()
    got[4:, 1] = 0
    message = "row 4 of the stream: expected [8, 9], but it gives [8, 0]; 2 mismatches in 6 rows"
    with pytest.raises(Mismatch, match=re.escape(message)):
        compare("it", expected, got)
    with pytest.raises(Mismatch, match="it gives 5 rows of scores; expected 6"):
        compare("it", expected, got[:5])


def test_streams_memory_is_its_windows(streamed):
    """A layer's RAM is the rows of its window, and the row that it computes."""
    compiled, _, _ = streamed("causal")
    assert compiled.layers == (
        LayerMemory("conv_1", 2400 + 12 * 12, 5 * 40 + 12),
        LayerMemory("conv_2", 288 + 8 * 12, 9 * 12 + 8),
        *compiled.layers[2:],
    )


REFUSED = {
    "lookahead": "operation #1, CONV_2D, looks ahead: it pads 1 rows after the last frame (SAME)",
    "tiny_conv": "operation #1, CONV_2D, looks ahead: it pads 5 rows after the last frame (SAME)",
    "image": "operation #0, DEPTHWISE_CONV_2D, looks ahead: it pads 2 rows after the last frame",
}


@pytest.mark.parametrize("network", REFUSED)
def test_layer_that_looks_ahead_is_named(models, network):
    """A model with a layer that needs later frames is refused with that layer's name."""
    with pytest.raises(BadModel, match=re.escape(REFUSED[network])):
        compile_stream(models(network))


def test_dilated_layer_of_an_open_batch_is_refused_with_a_hint(models):
    """Where a converter made several operations of a dilated convolution, the message says how it
    stays one."""
    with pytest.raises(BadModel, match="SPACE_TO_BATCH_ND, is not supported") as refused:
        compile_stream(models("valid", "int8", True, None))
    assert "batch of 1" in refused.value.hint


def test_input_of_one_row_is_no_stream(models, edit):
    """A model whose input has no frames is refused."""

    def one_row(graph):
        subgraph = graph.subgraphs[0]
        dense = [op for op in subgraph.operators if len(op.inputs) == 3][-1]
        subgraph.operators = [dense]
        subgraph.inputs, subgraph.outputs = [dense.inputs[0]], [dense.outputs[0]]

    with pytest.raises(BadModel, match="is one row: a stream needs frames"):
        compile_stream(edit(models("whole"), one_row))
