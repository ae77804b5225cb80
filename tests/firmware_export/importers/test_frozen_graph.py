"""A frozen graph may come from a stranger: everything unexpected is refused by name."""

import struct

import pytest

from firmware_export.errors import BadModel
from firmware_export.importers import frozen_graph


def node(graph_def, name):
    return next(node for node in graph_def.node if node.name == name)


def refusal(data):
    with pytest.raises(BadModel) as caught:
        frozen_graph.load(data)
    message = str(caught.value)
    assert message[-1] != "." and "\n" not in message and len(message) < 400
    return message


def test_audio_front_end_is_dropped(keyword_graph):
    """Only the nodes from Reshape_1 on are kept, with Reshape_1 as a placeholder of batch 1."""
    loaded = frozen_graph.load(keyword_graph())
    ops = {n.op for n in loaded.graph_def.node}
    assert not ops & frozen_graph.AUDIO_OPS
    assert loaded.shape == (1, 49, 40, 1) and loaded.labels == 4
    assert loaded.quantised and loaded.range == (0.0, 26.0)


@pytest.mark.parametrize("name", ["Reshape_1", "labels_softmax"])
def test_missing_input_or_output_is_named(keyword_graph, name):
    """A graph without its input or output node is refused by that node's name."""

    def rename(graph_def):
        node(graph_def, name).name = "elsewhere"
        for other in graph_def.node:
            inputs = ["elsewhere" if source == name else source for source in other.input]
            other.input[:] = inputs

    assert f"no node {name}" in refusal(keyword_graph(mutate=rename))


@pytest.mark.parametrize("op", ["PyFunc", "ReadFile", "WriteFile", "While", "LSTMBlockCell"])
@pytest.mark.parametrize("name", ["Relu", "Mul"])
def test_foreign_op_is_refused_by_name(keyword_graph, op, name):
    """An op that no keyword model has is refused anywhere in the graph, with its node's name."""

    def replace(graph_def):
        node(graph_def, name).op = op

    message = refusal(keyword_graph(mutate=replace))
    assert op in message and repr(name) in message


def test_function_library_is_refused(keyword_graph):
    """A graph with functions is refused, even if they are not used."""

    def add(graph_def):
        graph_def.library.function.add().signature.name = "evil"

    assert "function library" in refusal(keyword_graph(mutate=add))


def test_function_attribute_is_refused(keyword_graph):
    """A node that calls a function is refused, even if the function does not exist."""

    def add(graph_def):
        node(graph_def, "Relu").attr["f"].func.name = "evil"

    assert "'Relu' calls a function" in refusal(keyword_graph(mutate=add))


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_truncated_graph_is_refused(keyword_graph, part):
    """A graph cut anywhere is refused."""
    data = keyword_graph()
    assert "truncated" in refusal(data[: int(len(data) * part)])


@pytest.mark.parametrize("data", [b"", b"\x00" * 100, b"not a graph", b"\x0a\x00" * 1000])
def test_other_files_are_refused(data):
    """Empty files and files of another kind are refused without a traceback."""
    refusal(data)


def test_too_large_graph_is_refused_before_parsing():
    """A graph with more bytes than any keyword model is refused with its size."""
    assert f"{frozen_graph.MAX_BYTES + 1:,} bytes" in refusal(
        b"\x0a" * (frozen_graph.MAX_BYTES + 1)
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_constant_that_is_not_finite_is_refused(keyword_graph, value):
    """NaN or infinity among the weights is refused with the constant's name."""

    def spoil(graph_def):
        weights = next(
            n for n in graph_def.node if len(n.attr["value"].tensor.tensor_content) > 999
        )
        content = weights.attr["value"].tensor.tensor_content
        weights.attr["value"].tensor.tensor_content = struct.pack("<f", value) + content[4:]

    assert "NaN or infinity" in refusal(keyword_graph(mutate=spoil))


def test_constant_with_huge_shape_is_refused(keyword_graph):
    """A constant of a few bytes with a shape of 10^15 elements is refused before allocation."""

    def inflate(graph_def):
        bias = next(n for n in graph_def.node if n.op == "Const" and n.attr["dtype"].type == 1)
        bias.attr["value"].tensor.ClearField("tensor_content")
        bias.attr["value"].tensor.float_val[:] = [1.0]
        del bias.attr["value"].tensor.tensor_shape.dim[:]
        for _ in range(3):
            bias.attr["value"].tensor.tensor_shape.dim.add().size = 10**5

    assert "elements" in refusal(keyword_graph(mutate=inflate))


def test_constant_shorter_than_its_shape_is_refused(keyword_graph):
    """A constant whose bytes do not fill its shape is refused."""

    def cut(graph_def):
        weights = next(
            n for n in graph_def.node if len(n.attr["value"].tensor.tensor_content) > 999
        )
        content = weights.attr["value"].tensor.tensor_content
        weights.attr["value"].tensor.tensor_content = content[:-4]

    assert "fewer values than its shape" in refusal(keyword_graph(mutate=cut))


@pytest.mark.parametrize("shape", [[-1, -1, 40, 1], [7, 49, 40, 1], [0, 0], [-1, 10**6], [-1]])
def test_wrong_input_shape_is_refused(keyword_graph, shape):
    """A Reshape_1 that is neither [1, n] nor [1, rows, columns, 1] is refused with its shape."""
    import tensorflow as tf

    def reshape(graph_def):
        constant = node(graph_def, node(graph_def, "Reshape_1").input[1])
        constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(shape, tf.int32))

    assert "node Reshape_1 has the shape" in refusal(keyword_graph(mutate=reshape))


def test_contradicting_shapes_are_refused(keyword_graph):
    """Layers whose shapes contradict each other are refused by TensorFlow's own inference."""
    import tensorflow as tf

    def reshape(graph_def):
        constant = node(graph_def, node(graph_def, "Reshape_1").input[1])
        constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto([-1, 49, 30, 1], tf.int32))

    assert "cannot import" in refusal(keyword_graph(mutate=reshape))


def test_output_that_ignores_the_input_is_refused(keyword_graph):
    """A graph whose output does not depend on its features is refused."""

    def cut(graph_def):
        flatten = node(graph_def, "Reshape_2")
        for other in graph_def.node:
            if flatten.name in other.input:
                other.input[list(other.input).index(flatten.name)] = "Const"

    message = refusal(keyword_graph(mutate=cut))
    assert "ignores its features" in message or "cannot import" in message


def test_cycle_is_refused(keyword_graph):
    """Nodes that feed each other in a cycle are refused."""

    def tie(graph_def):
        relu = node(graph_def, "Relu")
        bias = node(graph_def, "BiasAdd")
        bias.input[0] = relu.name

    refusal(keyword_graph(mutate=tie))


def test_empty_fake_quant_range_is_refused(keyword_graph):
    """An input range whose ends are equal is refused with the node's name."""
    import tensorflow as tf

    def collapse(graph_def):
        fake_quant = node(graph_def, "FakeQuantWithMinMaxVars")
        for name in fake_quant.input[1:]:
            constant = node(graph_def, name)
            constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(3.0, tf.float32))

    assert "'FakeQuantWithMinMaxVars' has the empty range" in refusal(
        keyword_graph(mutate=collapse)
    )


def test_node_names_show_no_control_characters(keyword_graph):
    """A node's name is shown quoted, shortened and without control characters."""

    def rename(graph_def):
        graph_def.node.add(name="\x1b[2J\n" + "x" * 500, op="Evil\x07")

    message = refusal(keyword_graph(mutate=rename))
    assert message.isprintable()
