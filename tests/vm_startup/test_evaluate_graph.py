import numpy as np
import pytest
import tensorflow as tf

from vm_startup.speech_commands import evaluate_graph
from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.freeze import inference_graph
from vm_startup.speech_commands.model import networks

SETTINGS = AudioSettings(preprocess="micro", window_stride_ms=20)


@pytest.fixture(scope="module")
def graph():
    """A frozen graph that knows four labels and was trained with eight-bit numbers in the loop."""
    values = networks.initial(SETTINGS, label_count=4, seed=1)
    return inference_graph(values, SETTINGS, quantize=True)


def test_graph_scores_any_number_of_clips(graph):
    """Each clip gets the probabilities that it gets alone, and they sum to one."""
    rng = np.random.default_rng(0)
    features = rng.uniform(0, 26, (evaluate_graph.BATCH + 3, SETTINGS.size)).astype(np.float32)
    together = evaluate_graph.probabilities(graph, features, SETTINGS, 4)
    assert together.shape == (evaluate_graph.BATCH + 3, 4)
    assert np.allclose(together.sum(1), 1, atol=1e-5)
    for index in (0, evaluate_graph.BATCH, evaluate_graph.BATCH + 2):
        alone = evaluate_graph.probabilities(graph, features[index : index + 1], SETTINGS, 4)
        assert np.allclose(alone, together[index], atol=1e-6)
    assert evaluate_graph.probabilities(graph, features[:0], SETTINGS, 4).shape == (0, 4)


def test_graph_without_rounding(graph):
    """The exact graph rounds nothing, and the original graph does not change."""
    before = graph.SerializeToString(deterministic=True)
    exact = evaluate_graph.without_rounding(graph)
    assert any(node.op.startswith("FakeQuant") for node in graph.node)
    assert not any(node.op.startswith("FakeQuant") for node in exact.node)
    assert graph.SerializeToString(deterministic=True) == before
    features = np.full((1, SETTINGS.size), 13, np.float32)
    assert evaluate_graph.probabilities(exact, features, SETTINGS, 4).shape == (1, 4)


def test_graph_with_other_labels_is_refused(graph):
    """A graph is evaluated only with the number of labels of its training."""
    with pytest.raises(DataError, match="has 4 labels, not 5"):
        evaluate_graph.probabilities(graph, np.zeros((1, SETTINGS.size), np.float32), SETTINGS, 5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no graph at all", "is not a frozen graph"),
        (tf.compat.v1.GraphDef().SerializeToString(), "no node Reshape_1 and no node labels_s"),
    ],
)
def test_file_without_frozen_graph_is_refused(tmp_path, content, message):
    """The error names the file in one sentence."""
    path = tmp_path / "graph.pb"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        evaluate_graph.read(path)
