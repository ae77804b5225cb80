"""Frozen graphs as from upstream's speech_commands and from our freeze, with random weights."""

import math
import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="session")
def keyword_graph():
    """keyword_graph(**choices) → GraphDef bytes; see `_build`."""
    return _build


@pytest.fixture(scope="session")
def features():
    """float32 [300, 1960] on the grid of the micro front end (10/256), loud and quiet clips."""
    rng = np.random.default_rng(7)
    loudness = rng.random((300, 1))
    return ((rng.integers(0, 668, (300, 1960)) * loudness).astype(int) * (10 / 256)).astype(
        "float32"
    )


def _build(
    *,
    preprocess="micro",
    fake_quant=True,
    input_fake_quant=True,
    depthwise=False,
    flat_input=False,
    weight_range=(-1.0, 1.0),
    narrow=True,
    read_nodes=False,
    labels=4,
    mutate=None,
):
    """wav_data → … → Reshape_1 → … → labels_softmax.

    flat_input: Reshape_1 is [-1, 1960], as where the front end's wrapper flattens the audio.
    weight_range: how far weights, and the ranges of their fake-quant nodes, reach.
    read_nodes: constants are read through Identity, as variables frozen by TensorFlow 1 are.
    mutate: called with the GraphDef before it is serialised.
    """
    import tensorflow as tf

    tf1, rng = tf.compat.v1, np.random.default_rng(3)
    columns, ceiling = (43, 127.5) if preprocess == "average" else (40, 26.0)
    filters, cells = 8, math.ceil(49 / 2) * math.ceil(columns / 2)

    def constant(value):
        value = tf.constant(value, tf.float32)
        return tf.identity(value) if read_nodes else value

    def quantised(value, low, high, **options):
        if not fake_quant:
            return value
        ends = constant(low), constant(high)
        return tf.quantization.fake_quant_with_min_max_vars(value, *ends, **options)

    def weights(shape, spread):
        value = rng.normal(0, spread, shape).astype("float32")
        low, high = (end * float(abs(value).max()) for end in weight_range)
        value = np.where(value < 0, -value * weight_range[0], value * weight_range[1])
        return quantised(constant(value), low, high, narrow_range=narrow)

    graph = tf.Graph()
    with graph.as_default():
        x = tf.reshape(_front_end(tf, preprocess, flat_input), [-1, 49 * columns])
        x = tf.reshape(x, [-1, 49, columns, 1])
        if input_fake_quant:
            x = quantised(x, 0.0, ceiling)
        convolve = tf.nn.depthwise_conv2d if depthwise else tf.nn.conv2d
        x = convolve(x, weights((10, 8, 1, filters), 0.1), [1, 2, 2, 1], "SAME")
        x = tf.nn.relu(tf.nn.bias_add(x, constant(rng.normal(0, 1, filters))))
        x = tf.reshape(quantised(x, 0.0, ceiling), [-1, cells * filters])
        x = tf.matmul(x, weights((cells * filters, labels), 0.01 * 26 / ceiling))
        x = x + constant(rng.normal(0, 0.1, labels))
        tf.nn.softmax(quantised(x, -12.0, 12.0), name="labels_softmax")
    graph_def = tf1.GraphDef()
    graph_def.CopyFrom(graph.as_graph_def())
    if mutate:
        mutate(graph_def)
    return graph_def.SerializeToString(deterministic=True)


def _front_end(tf, preprocess, flat_input):
    from tensorflow.lite.experimental.microfrontend.python.ops import audio_microfrontend_op
    from tensorflow.python.ops import gen_audio_ops

    if preprocess == "none":
        return tf.compat.v1.placeholder(tf.float32, [None, 1960], name="fingerprint_input")
    wav = tf.compat.v1.placeholder(tf.string, [], name="wav_data")
    audio = gen_audio_ops.decode_wav(
        wav, desired_channels=1, desired_samples=16000, name="decoded_sample_data"
    ).audio
    if preprocess == "average":
        spectrogram = gen_audio_ops.audio_spectrogram(
            audio, window_size=480, stride=320, magnitude_squared=True
        )
        return tf.nn.pool(tf.expand_dims(spectrogram, -1), [1, 6], "AVG", [1, 6], "SAME")
    samples = tf.cast(tf.multiply(audio, 32767), tf.int16)
    return (10 / 256) * audio_microfrontend_op.audio_microfrontend(
        samples if flat_input else tf.squeeze(samples, -1),
        window_size=30.0,
        window_step=20.0,
        num_channels=40,
        out_scale=1,
        out_type=tf.float32,
    )
