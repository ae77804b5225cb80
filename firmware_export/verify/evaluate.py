"""What a model answers in TensorFlow: the frozen graph, and the .tflite with reference kernels."""

from __future__ import annotations

import numpy as np

from firmware_export import quiet_tensorflow
from firmware_export.clips import shaped
from firmware_export.importers import frozen_graph as graphs
from vm_startup.speech_commands.evaluation.metrics import Score


def run_graph(graph: bytes, features, *, exact: bool = False):
    """The frozen graph's scores: float32 [n, inputs] fed at Reshape_1 → float32 [n, labels].

    exact: without its fake-quant nodes, as if it had been trained to stay float.
    """
    checked = graphs.load(graph)
    rows = shaped(features, checked.shape)
    graph_def = graphs.without_fake_quant(checked.graph_def) if exact else checked.graph_def
    with graphs.session(graph_def) as session:
        answer = session.make_callable(f"{graphs.OUTPUT}:0", [f"{graphs.INPUT}:0"])
        scores = [answer(row) for row in rows]
    return np.concatenate(scores) if scores else np.zeros((0, checked.labels), np.float32)


def run_model(model: bytes, features):
    """The .tflite's scores as it gives them: float32 [n, inputs] → int8 or uint8 [n, labels]."""
    loaded = quiet_tensorflow.interpreter(model)
    source, answer = loaded.get_input_details()[0], loaded.get_output_details()[0]
    scores = np.zeros((len(features), *answer["shape"][1:]), answer["dtype"])
    for index, row in enumerate(quantise(shaped(features, source["shape"]), source)):
        loaded.set_tensor(source["index"], row)
        loaded.invoke()
        scores[index] = loaded.get_tensor(answer["index"])[0]
    return scores


def quantise(features, tensor: dict):
    """Features on the grid of an interpreter's input tensor, rounded half up as fake-quant does."""
    if tensor["dtype"] is np.float32:
        return features
    scale, zero_point = tensor["quantization"]
    limits = np.iinfo(tensor["dtype"])
    steps = np.floor(np.asarray(features, np.float64) / scale + 0.5) + zero_point
    return np.clip(steps, limits.min, limits.max).astype(tensor["dtype"])


def accuracy(scores, labels) -> float | None:
    """The share of clips whose label scores highest; a label below 0 is none, None if all are."""
    labelled = np.asarray(labels) >= 0
    if not labelled.any():
        return None
    return float((scores.argmax(axis=1) == labels)[labelled].mean())


def confusion(scores, labels) -> list[list[int]]:
    """[i][j]: clips of label i whose label j scores highest; a label below 0 is none."""
    labelled = np.asarray(labels) >= 0
    answers = scores[labelled].argmax(axis=1)
    return Score.of(np.asarray(labels)[labelled], answers, scores.shape[1]).confusion.tolist()
