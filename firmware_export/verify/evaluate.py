"""Scores of the frozen graph in TensorFlow, and how many scores are right."""

import numpy as np
from numpy.typing import ArrayLike

from firmware_export.clips import shaped
from firmware_export.importers import frozen_graph as graphs
from vm_startup.speech_commands.evaluation.metrics import Score


def run_graph(graph: bytes, features: np.ndarray) -> np.ndarray:
    """The frozen graph's scores: float32 [n, inputs] fed at Reshape_1 → float32 [n, labels]."""
    checked = graphs.load(graph)
    rows = shaped(features, checked.shape)
    with graphs.session(checked.graph_def) as session:
        run = session.make_callable(f"{graphs.OUTPUT}:0", [f"{graphs.INPUT}:0"])
        scores = [run(row) for row in rows]
    return np.concatenate(scores) if scores else np.zeros((0, checked.labels), np.float32)


def accuracy(scores: np.ndarray, labels: ArrayLike) -> float | None:
    """The share of clips whose label has the highest score; a label below 0 is unknown. None where
    all labels are unknown."""
    labelled = np.asarray(labels) >= 0
    if not labelled.any():
        return None
    return float((scores.argmax(axis=1) == labels)[labelled].mean())


def confusion(scores: np.ndarray, labels: ArrayLike) -> list[list[int]]:
    """[i][j]: clips of label i whose label j has the highest score; labels below 0 are unknown."""
    truth = np.asarray(labels)
    labelled = truth >= 0
    found = scores[labelled].argmax(axis=1)
    return Score.of(truth[labelled], found, scores.shape[1]).confusion.tolist()
