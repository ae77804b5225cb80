"""Evaluate another trainer's frozen graph: writes metrics.json and test_features.npz.

    python -m vm_startup.speech_commands.evaluate_graph --graph=tiny_conv.pb FLAGS OF THE TRAINING

The files are those that train.py writes to --train_dir. The graph's nodes have upstream's names:
`Reshape_1` (the features), `labels_softmax`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from vm_startup.speech_commands import flags as command_line
from vm_startup.speech_commands import runtime
from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.evaluation import results
from vm_startup.speech_commands.sources import load_data

BATCH = 500  # clips


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.trainer()
    parser.add_argument("--graph", required=True, help="the frozen graph")
    flags = parser.parse_args(argv)
    command_line.check_training(flags)
    settings = command_line.audio_settings(flags)
    runtime.log_to_stdout(flags.verbosity)
    runtime.make_repeatable()
    rounded = read(Path(flags.graph))
    unrounded = without_rounding(rounded)
    data = load_data(flags)
    held_out = results.hold_out(flags, settings, data)

    def scores(features: np.ndarray, exact: bool) -> np.ndarray:
        graph = unrounded if exact else rounded
        return probabilities(graph, features, settings, len(data.labels))

    steps = sum(flags.how_many_training_steps)
    results.evaluate(Path(flags.train_dir), flags, settings, data, held_out, scores, steps)


def read(path: Path) -> tf.compat.v1.GraphDef:
    """Read a frozen graph; raises DataError if the file is not one."""
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise DataError(f"{path} is not a frozen graph: {error}") from error
    missing = {"Reshape_1", "labels_softmax"} - {node.name for node in graph.node}
    if missing:
        raise DataError(f"{path} has no node {' and no node '.join(sorted(missing))}")
    return graph


def without_rounding(graph: tf.compat.v1.GraphDef) -> tf.compat.v1.GraphDef:
    """The same graph without its eight-bit rounding."""
    exact = tf.compat.v1.GraphDef()
    exact.CopyFrom(graph)
    for node in exact.node:
        if node.op.startswith("FakeQuantWithMinMax"):
            node.op = "Identity"
            del node.input[1:]
            node.attr.clear()
            node.attr["T"].type = tf.float32.as_datatype_enum
    return exact


def probabilities(
    graph: tf.compat.v1.GraphDef, features: np.ndarray, settings: AudioSettings, label_count: int
) -> np.ndarray:
    """A graph's probability of each label: float32 [n, size] → float32 [n, labels]."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        # Replaces the graph's own input, which may take one clip at a time.
        batch = tf.compat.v1.placeholder(tf.float32, [None, settings.frames, settings.width, 1])
        (softmax,) = tf.import_graph_def(
            graph, {"Reshape_1:0": batch}, ["labels_softmax:0"], name="frozen"
        )
        if softmax.shape[-1] != label_count:
            raise DataError(f"the graph has {softmax.shape[-1]} labels, not {label_count}")
        found = [np.zeros((0, label_count), np.float32)]
        for start in range(0, len(features), BATCH):
            part = features[start : start + BATCH].reshape(-1, *batch.shape[1:])
            found.append(session.run(softmax, {batch: part}))
    return np.concatenate(found)


if __name__ == "__main__":
    sys.exit(runtime.exit_code(main))
