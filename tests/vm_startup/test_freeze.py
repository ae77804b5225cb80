import numpy as np
import pytest
import tensorflow as tf

from vm_startup.speech_commands import features, freeze
from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.model import architectures, checkpoint, networks
from vm_startup.speech_commands.sound import sound_file

FLAGS = "--wanted_words=yes,no --model_architecture=tiny_conv --window_stride=20 --quantize=1"


def settings_of(preprocess):
    return AudioSettings(preprocess=preprocess, window_stride_ms=20)


def trained(preprocess="micro"):
    """Values as a training would leave them."""
    values = networks.initial(settings_of(preprocess), 4, seed=3)
    return values | {
        "relu_max": np.float32(6),
        "logits_min": np.float32(-2),
        "logits_max": np.float32(3),
    }


def save(folder, values=None, identity=None):
    return checkpoint.save(folder, "tiny_conv", 10, values or trained(), identity or {})


def run(graph_def, fetch, feed):
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            return session.run(fetch, feed)


def frozen(folder, prefix, *more):
    output = folder / "out" / "tiny_conv.pb"
    freeze.main(
        [*FLAGS.split(), "--preprocess=micro", f"--start_checkpoint={prefix}"]
        + [f"--output_file={output}", *more]
    )
    return output.read_bytes()


def test_frozen_graph_has_upstreams_node_names(tmp_path):
    """Reshape_1, labels_softmax and others are where upstream's freeze.py puts them."""
    graph = tf.compat.v1.GraphDef.FromString(frozen(tmp_path, save(tmp_path)))
    ops = {node.name: node.op for node in graph.node}
    assert ops["wav_data"] == "Placeholder"
    assert ops["decoded_sample_data"] == "DecodeWav"
    assert ops["AudioMicrofrontend"] == "AudioMicrofrontend"
    assert ops["Reshape"] == ops["Reshape_1"] == ops["Reshape_2"] == "Reshape"
    assert ops["Conv2D"] == "Conv2D"
    assert ops["MatMul"] == "MatMul"
    assert ops["labels_softmax"] == "Softmax"
    assert graph.node[-1].name == "labels_softmax"
    assert {ops[name] for name in networks.weight_names()} == {"Const"}
    assert not any("Variable" in op for op in ops.values())
    assert not graph.library.function


def test_freeze_is_repeatable(tmp_path):
    """The same checkpoint gives the same bytes."""
    prefix = save(tmp_path)
    assert frozen(tmp_path, prefix) == frozen(tmp_path, prefix)


def test_freeze_takes_the_newest_checkpoint_of_a_folder(tmp_path):
    """A folder freezes as its newest checkpoint does; a folder without one is refused."""
    checkpoint.save(tmp_path, "tiny_conv", 9, networks.initial(settings_of("micro"), 4, 5), {})
    prefix = save(tmp_path)
    assert frozen(tmp_path, tmp_path) == frozen(tmp_path, prefix)
    with pytest.raises(DataError, match="has no readable checkpoint tiny_conv.ckpt-N"):
        frozen(tmp_path, tmp_path / "out")


@pytest.mark.parametrize("preprocess", ["micro", "average", "mfcc"])
def test_frozen_graph_computes_the_trainers_features(tmp_path, preprocess):
    """From WAV bytes, the graph's features equal features.extract's, loudest samples included."""
    settings = settings_of(preprocess)
    audio = np.random.default_rng(5).integers(-40000, 40000, 16000).clip(-32768, 32767)
    audio = audio.astype(np.int16)
    sound_file.write(tmp_path / "a.wav", audio)
    graph = freeze.inference_graph(trained(preprocess), settings, quantize=True)
    feed = {"wav_data:0": (tmp_path / "a.wav").read_bytes()}
    found, answer = run(graph, ["Reshape:0", "labels_softmax:0"], feed)
    expected = features.extract(audio[np.newaxis], settings)
    assert np.array_equal(found, expected)
    values = trained(preprocess)
    logits = networks.logits(expected, values, settings, networks.Quantized(settings, values))
    assert np.allclose(answer, tf.nn.softmax(logits), atol=1e-6)


@pytest.mark.parametrize("quantize", [True, False])
@pytest.mark.parametrize("architecture", architectures.ARCHITECTURES)
def test_every_network_freezes(tmp_path, architecture, quantize):
    """Each network's graph computes the logits of training, and has constants only."""
    settings = settings_of("micro")
    values = networks.initial(settings, 4, 3, architecture)
    values |= {name: np.float32(5) for name in networks.range_names(architecture)}
    values["logits_min"] = np.float32(-5)
    graph = freeze.inference_graph(values, settings, quantize, architecture)
    audio = np.random.default_rng(5).integers(-9000, 9000, 16000).astype(np.int16)
    sound_file.write(tmp_path / "a.wav", audio)
    feed = {"wav_data:0": (tmp_path / "a.wav").read_bytes()}
    found = run(graph, "labels_softmax:0", feed)
    numbers = networks.Quantized(settings, values) if quantize else networks.Exact()
    clip = features.extract(audio[np.newaxis], settings)
    logits = networks.logits(clip, values, settings, numbers, architecture=architecture)
    assert np.allclose(found, tf.nn.softmax(logits), atol=1e-6)
    assert not any("Variable" in node.op for node in graph.node)


def test_upstream_float_checkpoint_freezes(tmp_path):
    """Weights under upstream's names are enough without quantisation."""
    weights = {name: trained()[name] for name in networks.weight_names()}
    graph = tf.compat.v1.GraphDef.FromString(
        frozen(tmp_path, save(tmp_path, weights), "--quantize=0")
    )
    assert not any("FakeQuant" in node.op for node in graph.node)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--wanted_words=yes,no,up"], "final_fc_weights of shape"),
        (["--preprocess=average"], "of shape"),
        (["--start_checkpoint=nowhere.ckpt-3"], "nowhere.ckpt-3"),
    ],
)
def test_freeze_refuses_flags_of_another_training(tmp_path, changes, message):
    """A checkpoint is frozen only with the flags of its training."""
    with pytest.raises(DataError, match=message):
        frozen(tmp_path, save(tmp_path), *changes)
    assert not (tmp_path / "out").exists()


def test_freeze_refuses_words_in_another_order(tmp_path):
    """The checkpoint stores its words, because shapes cannot distinguish yes,no from no,yes."""
    prefix = save(tmp_path, identity={"wanted_words": "no,yes"})
    with pytest.raises(DataError, match="--wanted_words=no,yes, not yes,no"):
        frozen(tmp_path, prefix)


def test_freeze_needs_ranges_to_quantise(tmp_path):
    """A float training cannot be frozen as a quantised one."""
    weights = {name: trained()[name] for name in networks.weight_names()}
    with pytest.raises(DataError, match="has no relu_max"):
        frozen(tmp_path, save(tmp_path, weights))
