import numpy as np
import pytest
import tensorflow as tf

from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.model import architectures, networks, optimizers

MICRO = AudioSettings(preprocess="micro", window_stride_ms=20)


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 26, (16, 1960)).astype(np.float32)


@pytest.fixture
def state() -> dict[str, tf.Variable]:
    values = networks.initial(MICRO, 4, seed=1)
    return {name: tf.Variable(value) for name, value in values.items()}


def test_tiny_conv_has_its_known_size():
    """It has 8 filters of 10 × 8 and a dense layer of 4000 × labels, which fits the chip."""
    sizes = {name: value.size for name, value in networks.initial(MICRO, 4, seed=0).items()}
    assert [sizes[name] for name in networks.weight_names()] == [640, 8, 16000, 4]


def test_tiny_embedding_conv_equals_upstream():
    """Names and shapes are those of upstream's checkpoints; dropout follows both convolutions."""
    values = networks.initial(MICRO, 4, 0, "tiny_embedding_conv")
    assert {name: values[name].shape for name in networks.weight_names("tiny_embedding_conv")} == {
        **{"first_weights": (10, 8, 1, 8), "first_bias": (8,)},
        **{"second_weights": (10, 8, 8, 8), "second_bias": (8,)},
        **{"final_fc_weights": (96, 4), "final_fc_bias": (4,)},
    }
    assert architectures.dropout_size(MICRO, "tiny_embedding_conv") == 25 * 20 * 8 + 4 * 3 * 8
    assert architectures.dropout_size(MICRO) == architectures.hidden_size(MICRO) == 4000


def test_dropout_applies_to_both_convolutions(features):
    """If the mask of either layer is all zero, the logits do not depend on the features."""
    weights = networks.initial(MICRO, 4, 1, "tiny_embedding_conv")
    weights["second_bias"] += 1.0

    def answers(first, second):
        kept = np.repeat([[first, second]], 16, 0).repeat([4000, 96], 1).astype(np.float32)
        args = (features, weights, MICRO, networks.Exact(), kept, "tiny_embedding_conv")
        return networks.logits(*args).numpy()

    exact = (features, weights, MICRO, networks.Exact(), None, "tiny_embedding_conv")
    assert np.array_equal(answers(1, 1), networks.logits(*exact).numpy())
    assert len(np.unique(answers(1, 1), axis=0)) == 16
    assert len(np.unique(answers(0, 1), axis=0)) == 1 and answers(0, 1).any()
    assert not answers(1, 0).any()


def test_time_conv_has_its_known_size():
    """Three convolutions over time after a small one over frequency: 13,020 weights."""
    values = networks.initial(MICRO, 4, 0, "time_conv")
    assert values["second_weights"].shape == (3, 1, 80, 24)
    assert architectures.hidden_size(MICRO, "time_conv") == 32
    assert sum(values[name].size for name in networks.weight_names("time_conv")) == 13_020
    assert networks.range_names("time_conv")[:2] == ("relu_max", "second_relu_max")


def test_seed_decides_initial_weights():
    """Equal seeds give equal weights; others do not."""
    first, again, other = (networks.initial(MICRO, 4, seed)["first_weights"] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.abs(first).max() <= 2 * architectures.ARCHITECTURES["tiny_conv"].deviation


def test_quantised_weights_are_on_a_symmetric_grid(state):
    """At most 255 values, the same on both sides of zero, the largest weight among them."""
    numbers = networks.Quantized(MICRO, state)
    weights = state["final_fc_weights"]
    rounded = numbers.weights(weights).numpy()
    steps = rounded / (np.abs(weights).max() / 127)
    assert np.allclose(steps, np.rint(steps), atol=1e-3)
    assert np.abs(steps).max() == pytest.approx(127)


def test_quantised_logits_are_close_to_exact_ones(features, state):
    """Once ranges are observed, eight bits change logits by a small part of their range."""
    observing = networks.Observing(MICRO, state, tf.constant(1))
    networks.logits(features, state, MICRO, observing)
    exact = networks.logits(features, state, MICRO, networks.Exact()).numpy()
    quantised = networks.logits(features, state, MICRO, networks.Quantized(MICRO, state)).numpy()
    assert np.abs(exact - quantised).max() < 0.03 * (exact.max() - exact.min())


def test_ranges_forget_their_initial_value(state):
    """After the first step an activation's range is that step's, and later ones are averaged in."""
    for step, seen in ((1, 10.0), (2, 20.0)):
        observing = networks.Observing(MICRO, state, tf.constant(step))
        observing.relu(tf.constant([0.0, seen]), "relu_max")
    assert state["relu_max"].numpy() == pytest.approx(15)


def test_stage_has_its_constant_rate():
    """Without warm-up and cosine the rates are upstream's, stage by stage."""
    rates = [optimizers.rate(step, [2, 2], [0.1, 0.01], "stages", 0) for step in (1, 2, 3, 4)]
    assert rates == [0.1, 0.1, 0.01, 0.01]


def test_cosine_rate_rises_and_falls():
    """The rate grows linearly in the warm-up, then falls almost to zero."""
    rates = [optimizers.rate(step, [100], [0.1], "cosine", 0.1) for step in range(1, 101)]
    assert rates[0] == pytest.approx(0.01, rel=0.01)
    assert max(rates) == rates[9]
    assert rates[49] == pytest.approx(0.1 * 0.503)
    assert 0 < rates[-1] < 0.001


@pytest.mark.parametrize("optimizer", optimizers.SLOTS)
def test_every_optimizer_lowers_the_loss(features, state, optimizer):
    """A few steps on one batch lower its loss, even with rounded weights."""
    weights = {name: state[name] for name in networks.weight_names()}
    slots = optimizers.initial(optimizer, {name: w.numpy() for name, w in weights.items()})
    state |= {name: tf.Variable(value) for name, value in slots.items()}
    labels = np.arange(16) % 4
    losses = []
    for step in range(1, 11):
        with tf.GradientTape() as tape:
            numbers = networks.Observing(MICRO, state, tf.constant(step))
            logits = networks.logits(features, weights, MICRO, numbers)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        gradients = dict(zip(weights, tape.gradient(loss, list(weights.values())), strict=True))
        optimizers.move(optimizer, state, gradients, tf.constant(0.0005), tf.constant(step))
        losses.append(float(loss))
    assert losses[-1] < losses[0]
