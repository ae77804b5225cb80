"""Frozen graph → quantised .tflite, with TensorFlow's own converter.

The input is quantised as in training: scale 26/255 (1/9.8077) for `micro` features, 1/2 for
`average`, zero point −128 in int8 and 0 in uint8. A graph without fake-quant nodes is quantised
after training: the features of real clips show which values occur.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from firmware_export import quiet_tensorflow
from firmware_export.clips import shaped
from firmware_export.errors import BadModel
from firmware_export.importers import frozen_graph as graphs
from vm_startup.speech_commands.progress import Progress, no_progress

LOWEST = {"int8": -128, "uint8": 0}


def convert(
    graph: bytes,
    inference: str = "int8",
    features: np.ndarray | None = None,
    progress: Progress = no_progress,
) -> bytes:
    """A frozen GraphDef as an integer-only .tflite; the same graph gives the same bytes.

    inference: "int8", or "uint8" as in 2019. features: float32 [n, inputs], used only if the graph
    has no fake-quant nodes. Raises BadModel.
    """
    if inference not in LOWEST:
        raise BadModel(f"inference type {inference!r} is unknown: expected int8 or uint8")
    progress("Converting", 0, 1)
    checked = graphs.load(graph)
    low, high = checked.range
    if checked.quantised:
        converter = _converter(
            _symmetric(checked.graph_def) if inference == "int8" else checked.graph_def
        )
        _follow_fake_quant(converter, inference, low, high)
    else:
        converter = _converter(checked.graph_def)
        _calibrate(converter, inference, checked, features, progress)
    model = _run(converter)
    _verify(model, inference, checked, (high - low) / 255)
    progress("Converting", 1, 1)
    return model


def _converter(graph_def: Any) -> Any:
    tf = quiet_tensorflow.tensorflow()
    scratch = tf.Graph()
    with scratch.as_default():
        tf.compat.v1.import_graph_def(graph_def, name="")
    ends = [scratch.get_tensor_by_name(f"{name}:0") for name in (graphs.INPUT, graphs.OUTPUT)]
    return tf.compat.v1.lite.TFLiteConverter(graph_def, ends[:1], ends[1:])


def _follow_fake_quant(converter: Any, inference: str, low: float, high: float) -> None:
    """Takes all ranges from the graph; the input's real value is (code − mean) / deviation."""
    converter.inference_type = getattr(quiet_tensorflow.tensorflow(), inference)
    mean = round(LOWEST[inference] - low * 255 / (high - low))
    converter.quantized_input_stats = {graphs.INPUT: (mean, 255 / (high - low))}


def _calibrate(
    converter: Any,
    inference: str,
    checked: graphs.KeywordGraph,
    features: np.ndarray | None,
    progress: Progress,
) -> None:
    """Lets the converter measure the ranges of a graph that has none on the features."""
    if features is None or not len(features):
        raise BadModel(
            "the graph has no fake-quant nodes (trained without --quantize=1), so its ranges must "
            "be measured on real clips",
            "give their features: --features FILE.npz",
        )
    tf = quiet_tensorflow.tensorflow()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = getattr(tf, inference)
    converter.representative_dataset = lambda: _representative(features, checked, progress)


def _representative(
    features: np.ndarray, checked: graphs.KeywordGraph, progress: Progress
) -> Iterator[list[np.ndarray]]:
    """The clips for the converter, clamped to the input's range. Each holds both ends of the range,
    so that the converter gives the input exactly this range."""
    low, high = checked.range
    for done, clip in enumerate(np.clip(shaped(features, checked.shape), low, high), 1):
        clip.flat[0], clip.flat[-1] = low, high
        yield [clip]
        progress("Calibrating", done, len(features))


def _run(converter: Any) -> bytes:
    try:
        with quiet_tensorflow.silenced_stderr():
            return converter.convert()
    except Exception as problem:  # the converter's own errors share no other base class
        reason = quiet_tensorflow.reason(problem)
        raise BadModel(f"TensorFlow cannot convert the graph: {reason}") from problem


def _symmetric(graph_def: Any) -> Any:
    """The graph with symmetric weight ranges: int8 kernels need weights of zero point 0.

    TensorFlow 1's rewriter trained uneven ranges. Such weights are first rounded to their trained
    steps. If 127 steps reach the largest weight, the step stays and nothing is lost; if not, the
    step grows until they do.
    """
    edited = type(graph_def)()
    edited.CopyFrom(graph_def)
    nodes = {node.name: node for node in edited.node}
    uneven = [node for node in _weight_quants(nodes) if not _is_symmetric(node, nodes)]
    with graphs.session(graph_def) as session:
        values = session.run([f"{node.name}:0" for node in uneven])
    for node, value in zip(uneven, values, strict=True):
        low, high = graphs.fake_quant_range(node, nodes)
        step = (high - low) / (254 if node.attr["narrow_range"].b else 255)
        bound = max(127 * step, float(np.abs(value).max()))
        for index, array in enumerate((value, np.float32(-bound), np.float32(bound))):
            node.input[index] = _add_constant(edited, f"{node.name}/symmetric_{index}", array)
        node.attr["narrow_range"].b = True
    return edited


def _weight_quants(nodes: graphs.Nodes) -> list[Any]:
    found = {}
    for node in nodes.values():
        if node.op in graphs.WEIGHTED:
            weights = graphs.resolve(nodes, node.input[1])
            if weights.op == "FakeQuantWithMinMaxVars":
                found[weights.name] = weights
    return list(found.values())


def _is_symmetric(node: Any, nodes: graphs.Nodes) -> bool:
    low, high = graphs.fake_quant_range(node, nodes)
    return low == -high and node.attr["narrow_range"].b


def _add_constant(graph_def: Any, name: str, array: np.ndarray | np.float32) -> str:
    tf = quiet_tensorflow.tensorflow()
    node = graph_def.node.add(name=name, op="Const")
    node.attr["dtype"].type = tf.float32.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array, tf.float32))
    return name


def _verify(model: bytes, inference: str, checked: graphs.KeywordGraph, scale: float) -> None:
    """Checks that no layer stayed float, and that the input has the scale of the features."""
    loaded = quiet_tensorflow.interpreter(model)
    for tensor in loaded.get_tensor_details():
        if tensor["dtype"].__name__ == "float32":
            raise BadModel(
                f"layer {graphs.show(tensor['name'])} stayed float: the graph has fake-quant nodes "
                "at some layers, but not at this one",
                "train with --quantize=1",
            )
    source, target = loaded.get_input_details()[0], loaded.get_output_details()[0]
    found = [(end["dtype"].__name__, tuple(end["shape"])) for end in (source, target)]
    expected = [(inference, checked.shape), (inference, (1, checked.labels))]
    if found != expected:
        raise BadModel(f"the converter gave {found} as input and output; expected {expected}")
    got = source["quantization"][0]
    if abs(got / scale - 1) > 1e-5:
        raise BadModel(f"the converter gave the input the scale {got:.7f}; expected {scale:.7f}")
