"""An untrusted frozen GraphDef → the checked sub-graph from `Reshape_1` to `labels_softmax`.

TensorFlow imports only that sub-graph. The audio front end before `Reshape_1` is checked for
foreign ops and then dropped, because the firmware's model takes features, not WAV files.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from firmware_export.errors import BadModel
from firmware_export.quiet_tensorflow import reason, tensorflow
from vm_startup.conventions import FEATURE_RANGES
from vm_startup.speech_commands.audio_settings import AudioSettings

INPUT, OUTPUT = "Reshape_1", "labels_softmax"

# A model that fits 64 KiB of flash has at most 256 KiB of float weights. The limit is sixteen times
# that, and bounds the memory for parsing: a protobuf can expand to 60 times its size.
MAX_BYTES = 4 * 2**20
MAX_NODES = 1000
# Of any tensor: a few bytes of GraphDef can describe petabytes.
MAX_ELEMENTS = 2**22
MAX_INPUT, MAX_LABELS = 2**16, 256

Nodes = dict[str, Any]  # name → NodeDef

WHOLE_FAKE_QUANT = {"FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxArgs"}  # one range for all
FAKE_QUANT = WHOLE_FAKE_QUANT | {"FakeQuantWithMinMaxVarsPerChannel"}
WEIGHTED = {"Conv2D", "DepthwiseConv2dNative", "MatMul"}
PASSING = {"Identity", "StopGradient"}
MODEL_OPS = (
    {"Const", "Placeholder", "Reshape", "BiasAdd", "Add", "AddV2", "Relu", "Relu6", "Softmax"}
    | {"AvgPool", "MaxPool", "Squeeze", "ExpandDims"}
    | FAKE_QUANT
    | WEIGHTED
    | PASSING
)
# The ops that upstream's freeze and freeze.py put between wav_data and Reshape_1.
AUDIO_OPS = {
    "DecodeWav", "AudioMicrofrontend", "AudioSpectrogram", "Mfcc",
    "Mul", "Cast", "Minimum", "Maximum", "ClipByValue", "StridedSlice", "PlaceholderWithDefault",
}  # fmt: skip


@dataclass(frozen=True)
class KeywordGraph:
    """`Reshape_1` (a placeholder of batch 1) → `labels_softmax`, safe to import.

    shape: of the input, (1, n) or (1, rows, columns, 1). range: of its values, from the graph's
    fake-quant node, or else upstream's. quantised: whether training simulated 8 bits after it.
    labels: how many scores it gives.
    """

    graph_def: Any
    shape: tuple[int, ...]
    range: tuple[float, float]
    quantised: bool
    labels: int

    @property
    def inputs(self) -> int:
        """The number of features of a clip."""
        return math.prod(self.shape)


def load(graph: bytes) -> KeywordGraph:
    """Parses and checks a frozen GraphDef. Raises BadModel, naming the node at fault."""
    nodes = _nodes(_parse(graph))
    for node in nodes.values():
        _check_node(node, nodes)
    for wanted in (INPUT, OUTPUT):
        if wanted not in nodes:
            raise BadModel(
                f"the graph has no node {wanted}: expected a frozen speech_commands graph, from "
                f"{INPUT} to {OUTPUT}"
            )
    shape = _input_shape(nodes)
    inside = _between(nodes)
    graph_def = _extract(inside, shape)
    labels = _check_shapes(graph_def)
    # The node that feeds Reshape_1 (as in freeze.py's graphs) or reads it.
    around = _around_input(nodes, inside)
    grid = next((node for node in around if node.op in WHOLE_FAKE_QUANT), None)
    quantised = any(node.op in FAKE_QUANT and node is not grid for node in inside.values())
    range_ = _usual_range(nodes, shape) if grid is None else fake_quant_range(grid, nodes)
    return KeywordGraph(graph_def, shape, range_, quantised, labels)


def _parse(graph: bytes) -> Any:
    from google.protobuf.message import DecodeError

    if len(graph) > MAX_BYTES:
        raise BadModel(f"the graph has {len(graph):,} bytes; at most {MAX_BYTES:,}")
    parsed = tensorflow().compat.v1.GraphDef()
    try:
        parsed.ParseFromString(graph)
    except DecodeError as problem:
        raise BadModel("the graph is truncated, or is not a frozen GraphDef (.pb)") from problem
    if len(parsed.node) > MAX_NODES:
        raise BadModel(f"the graph has {len(parsed.node):,} nodes; at most {MAX_NODES:,}")
    if parsed.library.function or parsed.library.gradient:
        raise BadModel("the graph has a function library; expected a graph without functions")
    return parsed


def _nodes(parsed: Any) -> Nodes:
    nodes: Nodes = {}
    for node in parsed.node:
        if node.name in nodes:
            raise BadModel(f"the graph has two nodes named {show(node.name)}")
        nodes[node.name] = node
    return nodes


def show(name: str) -> str:
    """A name from the graph, quoted, short and printable."""
    return ascii(name if len(name) <= 60 else name[:57] + "...")


def _check_node(node: Any, nodes: Nodes) -> None:
    where = f"node {show(node.name)}"
    if node.op not in MODEL_OPS | AUDIO_OPS:
        raise BadModel(f"{where} has the op {show(node.op)}, which no keyword model has")
    if any(value.HasField("func") or value.list.func for value in node.attr.values()):
        raise BadModel(f"{where} calls a function; expected a graph without functions")
    for name in _inputs(node):
        if name not in nodes:
            raise BadModel(
                f"{where} reads {show(name)}, which is not in the graph: is it truncated?"
            )
    if node.op in FAKE_QUANT and node.attr["num_bits"].i not in (0, 8):
        raise BadModel(f"{where} simulates {node.attr['num_bits'].i} bits; expected 8")
    if node.op == "Const":
        constant(node)


def _inputs(node: Any) -> list[str]:
    return [name.lstrip("^").partition(":")[0] for name in node.input]


def constant(node: Any) -> np.ndarray:
    """A Const's value as an array, after checks of its size and type and for NaN."""
    tf = tensorflow()
    value, where = node.attr["value"].tensor, f"constant {show(node.name)}"
    if value.dtype not in (tf.float32.as_datatype_enum, tf.int32.as_datatype_enum):
        raise BadModel(f"{where} is neither float32 nor int32")
    sizes = [dim.size for dim in value.tensor_shape.dim]
    if (
        value.tensor_shape.unknown_rank
        or min(sizes, default=0) < 0
        or math.prod(sizes) > MAX_ELEMENTS
    ):
        raise BadModel(f"{where} has the shape {sizes[:8]}; at most {MAX_ELEMENTS:,} elements")
    try:
        array = tf.make_ndarray(value)
    except (TypeError, ValueError) as problem:
        raise BadModel(f"{where} has fewer values than its shape {sizes[:8]}") from problem
    if not np.isfinite(array).all():
        raise BadModel(f"{where} holds NaN or infinity: the training diverged")
    return array


def resolve(nodes: Nodes, name: str) -> Any:
    """The node that feeds an input, past any Identity."""
    node = nodes[name.lstrip("^").partition(":")[0]]
    for _ in range(len(nodes)):
        if node.op not in PASSING or not node.input:
            break
        node = nodes[_inputs(node)[0]]
    return node


def _input_shape(nodes: Nodes) -> tuple[int, ...]:
    node = nodes[INPUT]
    if node.op == "Placeholder":
        dims = [dim.size for dim in node.attr["shape"].shape.dim]
    elif (
        node.op == "Reshape" and len(node.input) > 1 and resolve(nodes, node.input[1]).op == "Const"
    ):
        dims = [int(size) for size in constant(resolve(nodes, node.input[1])).ravel()]
    else:
        raise BadModel(f"node {INPUT} is not a Reshape to a constant shape")
    shape = (1, *dims[1:])
    known = (
        len(dims) in (2, 4) and dims[0] in (-1, 1) and min(shape) > 0 and shape[3:] in ((), (1,))
    )
    if not known or math.prod(shape) > MAX_INPUT:
        raise BadModel(
            f"node {INPUT} has the shape {dims[:8]}; expected [1, n] or [1, rows, columns, 1]"
        )
    return shape


def _between(nodes: Nodes) -> Nodes:
    """The nodes that OUTPUT depends on, up to and with INPUT."""
    found: Nodes = {}
    waiting = [OUTPUT]
    while waiting:
        node = nodes[waiting.pop()]
        if node.name not in found:
            found[node.name] = node
            waiting += _inputs(node) if node.name != INPUT else []
    if INPUT not in found:
        raise BadModel(f"node {OUTPUT} does not depend on {INPUT}: the graph ignores its features")
    for node in found.values():
        if node.name != INPUT and (node.op not in MODEL_OPS or node.op == "Placeholder"):
            raise BadModel(
                f"node {show(node.name)}, {node.op}, is between {INPUT} and {OUTPUT}; expected "
                "only a network's layers there"
            )
    return found


def _extract(inside: Nodes, shape: tuple[int, ...]) -> Any:
    tf = tensorflow()
    graph_def = tf.compat.v1.GraphDef()
    for name, node in inside.items():
        copy = graph_def.node.add(name=name, op="Placeholder" if name == INPUT else node.op)
        if name == INPUT:
            copy.attr["dtype"].type = tf.float32.as_datatype_enum
            copy.attr["shape"].shape.CopyFrom(tf.TensorShape(shape).as_proto())
            continue
        copy.input.extend(source for source in node.input if not source.startswith("^"))
        for key, value in node.attr.items():
            if not key.startswith("_"):
                copy.attr[key].CopyFrom(value)
    return graph_def


def _check_shapes(graph_def: Any) -> int:
    """Lets TensorFlow infer every shape and runs nothing; returns the number of labels."""
    tf = tensorflow()
    scratch = tf.Graph()
    try:
        with scratch.as_default():
            tf.compat.v1.import_graph_def(graph_def, name="")
    except (ValueError, TypeError, tf.errors.OpError) as problem:
        raise BadModel(f"TensorFlow cannot import the graph: {reason(problem)}") from problem
    for op in scratch.get_operations():
        for tensor in op.outputs:
            if not tensor.shape.is_fully_defined() or tensor.shape.num_elements() > MAX_ELEMENTS:
                raise BadModel(
                    f"node {show(op.name)} has the shape {tensor.shape}, unknown or too large"
                )
    answer = scratch.get_tensor_by_name(f"{OUTPUT}:0").shape.as_list()
    if len(answer) != 2 or answer[0] != 1 or not 2 <= answer[1] <= MAX_LABELS:
        raise BadModel(f"node {OUTPUT} has the shape {answer}; expected [1, number of labels]")
    return answer[1]


def _usual_range(nodes: Nodes, shape: tuple[int, ...]) -> tuple[float, float]:
    """Upstream's range for the graph's front end or, without one, for its width."""
    if any(node.op == "Mfcc" for node in nodes.values()):
        return FEATURE_RANGES["mfcc"]
    average = AudioSettings(preprocess="average", window_stride_ms=20.0)
    fits = shape[2:3] == (average.width,) or shape[1:] == (average.size,)
    return FEATURE_RANGES["average" if fits else "micro"]


def _around_input(nodes: Nodes, inside: Nodes) -> Iterator[Any]:
    """The nodes before and after Reshape_1 that only reshape, and the next ones."""
    carrying = PASSING | {"Reshape"}
    node = nodes[INPUT]
    for _ in nodes:  # bounded, as an untrusted graph may have a cycle
        if node.op not in carrying or not node.input:
            break
        node = nodes[_inputs(node)[0]]
        yield node
    name: str | None = INPUT
    for _ in inside:
        readers = [node for node in inside.values() if _inputs(node)[:1] == [name]]
        yield from readers
        name = next((node.name for node in readers if node.op in carrying), None)


@contextlib.contextmanager
def session(graph_def: Any) -> Iterator[Any]:
    """A TensorFlow session on the graph. Raises BadModel where TensorFlow cannot compute it."""
    tf = tensorflow()
    scratch = tf.Graph()
    with scratch.as_default():
        tf.compat.v1.import_graph_def(graph_def, name="")
    try:
        with tf.compat.v1.Session(graph=scratch) as opened:
            yield opened
    except tf.errors.OpError as problem:
        node = show(problem.op.name if problem.op is not None else OUTPUT)
        raise BadModel(f"TensorFlow cannot run the graph: it failed at node {node}") from problem


def fake_quant_range(node: Any, nodes: Nodes) -> tuple[float, float]:
    """(min, max) of a fake-quant node. Raises BadModel unless both are constants."""
    if node.op == "FakeQuantWithMinMaxArgs":
        low, high = node.attr["min"].f, node.attr["max"].f
    else:
        ends = [resolve(nodes, name) for name in node.input[1:3]]
        values = [constant(end) for end in ends if end.op == "Const"]
        if [value.size for value in values] != [1, 1]:
            raise BadModel(f"node {show(node.name)} has no constant range: the graph is not frozen")
        low, high = (float(value.ravel()[0]) for value in values)
    if not -math.inf < low < high < math.inf:
        raise BadModel(f"node {show(node.name)} has the empty range {low:g} to {high:g}")
    return low, high
