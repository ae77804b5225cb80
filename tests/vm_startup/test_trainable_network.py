import numpy as np
import pytest
import tensorflow as tf

from vm_startup.speech_commands import flags
from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.model import architectures, networks, optimizers, trainable_network

MICRO = AudioSettings(preprocess="micro", window_stride_ms=20)
BATCH = 10

# Operations without a repeatable kernel on a GPU (TensorFlow says so, or their gradients scatter),
# which an eight-bit network and its loss would use by default.
UNREPEATABLE = {
    *("FakeQuantWithMinMaxVarsGradient", "SparseSoftmaxCrossEntropyWithLogits"),
    *("UnsortedSegmentSum", "ScatterNd", "ResourceScatterAdd"),
}


def network(*more, architecture="tiny_conv"):
    given = ["--preprocess=micro", "--window_stride=20", "--quantize=1", f"--batch_size={BATCH}"]
    given += [f"--model_architecture={architecture}", *more]
    return trainable_network.TrainableNetwork(flags.trainer().parse_args(given), MICRO, 4, mean=7.0)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    features = rng.uniform(0, 26, (BATCH, 1960)).astype(np.float32)
    return features, np.arange(BATCH, dtype=np.int32) % 4


def weights_after(batch, *more, steps=3):
    one = network(*more)
    for step in range(1, steps + 1):
        one.train_step(step, *batch)
    return {name: variable.numpy() for name, variable in one.state.items()}


def test_training_steps_are_repeatable(batch):
    """Everything, dropout included, follows from the seed and the step; another seed gives other
    weights."""
    first, again, other = (weights_after(batch, f"--seed={seed}") for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["final_fc_weights"], other["final_fc_weights"])


def test_dropout_keeps_its_share_and_scales_the_rest():
    """The kept share is scaled up by the dropped share; each step has its own mask."""
    for share in (0.5, 0.2):
        one = network(f"--dropout={share}")
        kept, later = (one._dropout_mask(tf.constant(step)).numpy() for step in (1, 2))
        assert kept.shape == (BATCH, 4000)
        assert (kept > 0).mean() == pytest.approx(1 - share, abs=0.01)
        assert kept.max() == pytest.approx(1 / (1 - share))
        assert not np.array_equal(kept, later)
    assert network("--dropout=0")._dropout_mask(tf.constant(1)) is None


@pytest.mark.parametrize("architecture", architectures.ARCHITECTURES)
def test_training_step_is_repeatable_on_a_gpu(batch, architecture):
    """It has no operation that TensorFlow refuses or does not repeat on a GPU."""
    one = network("--label_smoothing=0.1", architecture=architecture)
    traced = one.graph.get_concrete_function(*batch, tf.constant(0.1), tf.constant(1))
    graph = traced.graph.as_graph_def()
    used = {node.op for node in graph.node}
    used |= {node.op for function in graph.library.function for node in function.node_def}
    assert "FakeQuantWithMinMaxVars" in used
    assert not used & UNREPEATABLE


def test_rounding_passes_gradients(batch):
    """Within its range a value's gradient passes unchanged; outside it is zero."""
    ranges = {"relu_max": tf.Variable(2.0)}
    observing = networks.Observing(MICRO, ranges, tf.constant(10_000))
    hidden = tf.constant([0.0, 0.7, 1.9, 9.0])
    with tf.GradientTape() as tape:
        tape.watch(hidden)
        rounded = observing.relu(hidden, "relu_max")
    assert np.array_equal(tape.gradient(rounded, hidden), [1, 1, 1, 0])
    assert np.abs(rounded - np.minimum(hidden, ranges["relu_max"])).max() < 0.005


def test_clip_may_have_several_labels(batch):
    """Shares of labels train like labels, and the largest is the truth of the accuracy."""
    shares = np.eye(4, dtype=np.float32)[batch[1]]
    assert network().train_step(1, *batch) == network().train_step(1, batch[0], shares)


def test_label_smoothing_spreads_a_share_over_all_labels():
    """A share of the label is spread evenly; a share of 0 is upstream's cross entropy."""
    labels, logits = np.array([0, 1]), np.array([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]], np.float32)
    log = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    plain = -log[[0, 1], labels]
    assert np.allclose(trainable_network.cross_entropies(labels, logits, 0.0), plain, atol=1e-6)
    smoothed = trainable_network.cross_entropies(labels, logits, 0.3)
    assert np.allclose(smoothed, 0.7 * plain - 0.1 * log.sum(1))


def test_weights_decay_and_biases_do_not(batch):
    """With zero gradients, a step shrinks weights by the rate times the decay."""
    one = network("--weight_decay=50", "--learning_rate=0.002,0.002")
    before = {name: variable.numpy() for name, variable in one.state.items()}
    zero = {name: tf.zeros_like(before[name]) for name in one.weights}
    rate, step = tf.constant(0.002), tf.constant(1)
    optimizers.move("gradient_descent", one.state, zero, rate, step, 50)
    for name in one.weights:
        left = 1.0 if name.endswith("bias") else 0.9
        assert np.allclose(one.state[name], left * before[name])


def test_divergence_error_names_value_step_and_rate():
    """The error names the value, the step and a smaller learning rate."""
    message = "the training diverged: relu_max is inf at step 7; use a --learning_rate below 0.001"
    with pytest.raises(DataError, match=message):
        network().check(7, first_bias=np.zeros(8), relu_max=np.float32(np.inf))
