import numpy as np
import pytest
import tensorflow as tf

from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.model import blocks, networks


def answers_and_gradient(convolve, pictures, filters, stride):
    """What comes out, and how a sum that weighs every answer differently moves the filters."""
    with tf.GradientTape() as tape:
        made = convolve(tf.constant(pictures), filters, stride)
        weights = np.random.default_rng(1).normal(size=made.shape).astype(np.float32)
        total = tf.reduce_sum(weights * tf.nn.relu(made))
    return made.numpy(), tape.gradient(total, filters).numpy()


@pytest.mark.parametrize("architecture", networks.ARCHITECTURES)
@pytest.mark.parametrize("preprocess", ["micro", "average"])
def test_blocks_convolve_as_conv2d_does(architecture, preprocess):
    """Answers and gradients of every network's first layer are conv2d's to float rounding, also
    where the answers of a row (22 of 43 columns) are no multiple of a block."""
    settings = AudioSettings(preprocess=preprocess, window_stride_ms=20)
    layer = networks.ARCHITECTURES[architecture].layers[0]
    rng = np.random.default_rng(0)
    pictures = rng.normal(size=(5, settings.frames, settings.width, 1)).astype(np.float32)
    filters = tf.Variable(rng.normal(size=(layer.height, layer.width, 1, 8)).astype(np.float32))
    given = pictures, filters, layer.stride
    expected = answers_and_gradient(networks.conv2d, *given)
    made = answers_and_gradient(blocks.by_blocks, *given)
    for ours, theirs in zip(made, expected, strict=True):
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() < 1e-5 * np.abs(theirs).max()


def test_a_machine_without_onednn_trains_by_blocks(monkeypatch):
    """Eigen's kernels are given channels, oneDNN's the picture itself."""
    monkeypatch.setattr(blocks, "by_blocks", lambda *_: "blocks")
    picture, filters = tf.zeros([1, 49, 40, 1]), tf.zeros([10, 8, 1, 8])
    for machine, switch, expected in (
        *(("arm64", "1", True), ("x86_64", "0", True)),
        *(("x86_64", "1", False), ("AMD64", "1", False)),
    ):
        monkeypatch.setattr(blocks.platform, "machine", lambda machine=machine: machine)
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", switch)
        made = blocks.convolve(picture, filters, (2, 2))
        assert isinstance(made, str) == expected
