import numpy as np
import pytest
import tensorflow as tf

from vm_startup.speech_commands import evaluate
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


def test_a_graph_answers_any_number_of_pictures(graph):
    """Each picture gets the scores that it gets alone, and they are shares of one."""
    rng = np.random.default_rng(0)
    features = rng.uniform(0, 26, (evaluate.BATCH + 3, SETTINGS.size)).astype(np.float32)
    together = evaluate.answers(graph, features, SETTINGS, 4)
    assert together.shape == (evaluate.BATCH + 3, 4)
    assert np.allclose(together.sum(1), 1, atol=1e-5)
    for index in (0, evaluate.BATCH, evaluate.BATCH + 2):
        alone = evaluate.answers(graph, features[index : index + 1], SETTINGS, 4)
        assert np.allclose(alone, together[index], atol=1e-6)
    assert evaluate.answers(graph, features[:0], SETTINGS, 4).shape == (0, 4)


def test_rounding_can_be_taken_out(graph):
    """The exact graph rounds nothing, and the other stays as it was."""
    before = graph.SerializeToString(deterministic=True)
    exact = evaluate.without_rounding(graph)
    assert any(node.op.startswith("FakeQuant") for node in graph.node)
    assert not any(node.op.startswith("FakeQuant") for node in exact.node)
    assert graph.SerializeToString(deterministic=True) == before
    features = np.full((1, SETTINGS.size), 13, np.float32)
    assert evaluate.answers(exact, features, SETTINGS, 4).shape == (1, 4)


def test_another_number_of_labels_is_refused(graph):
    """A graph is only judged by the labels that it was trained for."""
    with pytest.raises(DataError, match="knows 4 labels, not 5"):
        evaluate.answers(graph, np.zeros((1, SETTINGS.size), np.float32), SETTINGS, 5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no graph at all", "is no frozen graph"),
        (tf.compat.v1.GraphDef().SerializeToString(), "no node Reshape_1 and no node labels_s"),
    ],
)
def test_what_is_no_frozen_graph_is_refused(tmp_path, content, message):
    """A file that holds something else is named in one sentence."""
    path = tmp_path / "graph.pb"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        evaluate.read(path)
