import numpy as np
import pytest
import tensorflow as tf

from vm_startup.speech_commands import flags
from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.model import blocks, networks, optimizers, training_step

MICRO = AudioSettings(preprocess="micro", window_stride_ms=20)
BATCH = 10

# Operations for which TensorFlow has no kernel that repeats itself on a GPU (it says so, or their
# gradients scatter), and which an eight-bit network and its loss would use by themselves.
UNREPEATABLE = {
    *("FakeQuantWithMinMaxVarsGradient", "SparseSoftmaxCrossEntropyWithLogits"),
    *("UnsortedSegmentSum", "ScatterNd", "ResourceScatterAdd"),
}


def learner(*more, architecture="tiny_conv"):
    given = ["--preprocess=micro", "--window_stride=20", "--quantize=1", f"--batch_size={BATCH}"]
    given += [f"--model_architecture={architecture}", *more]
    return training_step.Learner(flags.trainer().parse_args(given), MICRO, 4, mean=7.0)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    features = rng.uniform(0, 26, (BATCH, 1960)).astype(np.float32)
    return features, np.arange(BATCH, dtype=np.int32) % 4


def weights_after(batch, *more, steps=3):
    one = learner(*more)
    for step in range(1, steps + 1):
        one.learn(step, *batch)
    return {name: variable.numpy() for name, variable in one.state.items()}


@pytest.mark.parametrize("architecture", networks.ARCHITECTURES)
def test_a_step_by_blocks_is_a_step_by_conv2d(batch, monkeypatch, architecture):
    """Logits and gradients of an unrounded network are the same to float rounding: a machine that
    convolves by blocks trains the same network."""
    monkeypatch.setattr(blocks, "has_onednn", lambda: False)
    values = networks.initial(MICRO, 4, 1, architecture)
    found = []
    for convolve in (networks.conv2d, blocks.convolve):
        weights = {n: tf.Variable(values[n]) for n in networks.weight_names(architecture)}
        with tf.GradientTape() as tape:
            network = MICRO, networks.Exact(), None, architecture, convolve
            logits = networks.logits(batch[0], weights, *network)
            loss = tf.reduce_mean(training_step.cross_entropies(batch[1], logits, 0.1))
        found.append([logits, *tape.gradient(loss, list(weights.values()))])
    for ours, theirs in zip(*found, strict=True):
        assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


def test_equal_steps_end_in_equal_bits(batch):
    """Dropout and all else follow from the seed and the step; another seed gives other weights."""
    first, again, other = (weights_after(batch, f"--seed={seed}") for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["final_fc_weights"], other["final_fc_weights"])


def test_dropout_keeps_its_share_and_makes_up_for_the_rest():
    """Half, or four fifths, of the numbers stay, larger by what is missing; each step's its own."""
    for share in (0.5, 0.2):
        one = learner(f"--dropout={share}")
        kept, later = one._kept(tf.constant(1)).numpy(), one._kept(tf.constant(2)).numpy()
        assert kept.shape == (BATCH, 4000)
        assert (kept > 0).mean() == pytest.approx(1 - share, abs=0.01)
        assert kept.max() == pytest.approx(1 / (1 - share))
        assert not np.array_equal(kept, later)
    assert learner("--dropout=0")._kept(tf.constant(1)) is None


@pytest.mark.parametrize("architecture", networks.ARCHITECTURES)
def test_a_step_can_be_repeated_on_a_gpu(batch, architecture):
    """No operation is in it that TensorFlow refuses or does otherwise each time on a GPU."""
    one = learner("--label_smoothing=0.1", architecture=architecture)
    traced = one.graph.get_concrete_function(*batch, tf.constant(0.1), tf.constant(1))
    graph = traced.graph.as_graph_def()
    used = {node.op for node in graph.node}
    used |= {node.op for function in graph.library.function for node in function.node_def}
    assert "FakeQuantWithMinMaxVars" in used
    assert not used & UNREPEATABLE


def test_rounding_lets_gradients_through(batch):
    """Where a value is within its range its gradient passes unchanged, beyond it stops."""
    ranges = {"relu_max": tf.Variable(2.0)}
    observing = networks.Observing(MICRO, ranges, tf.constant(10_000))
    hidden = tf.constant([0.0, 0.7, 1.9, 9.0])
    with tf.GradientTape() as tape:
        tape.watch(hidden)
        rounded = observing.relu(hidden, "relu_max")
    assert np.array_equal(tape.gradient(rounded, hidden), [1, 1, 1, 0])
    assert np.abs(rounded - np.minimum(hidden, ranges["relu_max"])).max() < 0.005


def test_a_clip_may_be_of_several_labels(batch):
    """Shares of labels are learned as labels are, and the largest counts as the truth."""
    shares = np.eye(4, dtype=np.float32)[batch[1]]
    assert learner().learn(1, *batch) == learner().learn(1, batch[0], shares)


def test_smoothed_labels_want_a_little_of_every_answer():
    """A share of the label is spread evenly; none leaves upstream's cross entropy."""
    labels, logits = np.array([0, 1]), np.array([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]], np.float32)
    log = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    plain = -log[[0, 1], labels]
    assert np.allclose(training_step.cross_entropies(labels, logits, 0.0), plain, atol=1e-6)
    smoothed = training_step.cross_entropies(labels, logits, 0.3)
    assert np.allclose(smoothed, 0.7 * plain - 0.1 * log.sum(1))


def test_weights_decay_and_biases_do_not(batch):
    """With nothing to learn, a step shrinks weights by the rate times the decay."""
    one = learner("--weight_decay=50", "--learning_rate=0.002,0.002")
    before = {name: variable.numpy() for name, variable in one.state.items()}
    zero = {name: tf.zeros_like(before[name]) for name in one.weights}
    rate, step = tf.constant(0.002), tf.constant(1)
    optimizers.move("gradient_descent", one.state, zero, rate, step, 50)
    for name in one.weights:
        left = 1.0 if name.endswith("bias") else 0.9
        assert np.allclose(one.state[name], left * before[name])


def test_what_is_no_number_is_told_with_a_way_out():
    """The sentence names the value, the step and a smaller learning rate."""
    message = "the relu_max is inf at step 7: training has diverged; a --learning_rate below 0.001 "
    with pytest.raises(DataError, match=message):
        learner().check(7, first_bias=np.zeros(8), relu_max=np.float32(np.inf))
