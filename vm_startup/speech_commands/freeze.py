"""Turn a training's checkpoint into one frozen graph, from a WAV file to probabilities.

    python -m vm_startup.speech_commands.freeze --start_checkpoint=DIR/tiny_conv.ckpt-1200 \\
        --wanted_words=yes,no --preprocess=micro --window_stride=20 --quantize=1 \\
        --output_file=tiny_conv.pb

Give it the audio flags and words of the training. The graph's nodes have upstream's names:
`wav_data` (a WAV file's bytes), `decoded_sample_data` (its samples), `Reshape_1` (the features,
which are the input after conversion), `labels_softmax` (one probability per label).
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from vm_startup.speech_commands import flags as command_line
from vm_startup.speech_commands import runtime
from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.features import micro, spectral, to_int16
from vm_startup.speech_commands.files import write_bytes
from vm_startup.speech_commands.model import checkpoint, networks
from vm_startup.speech_commands.progress import log


def main(argv: Sequence[str] | None = None) -> None:
    flags = command_line.freezer().parse_args(argv)
    settings = command_line.audio_settings(flags)
    runtime.log_to_stdout()
    flags.start_checkpoint, values = checkpoint.find(
        flags.start_checkpoint, flags.model_architecture
    )
    check(values, flags, settings)
    best = checkpoint.best(values)
    graph = inference_graph(best, settings, flags.quantize, flags.model_architecture)
    output = Path(flags.output_file)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(output, graph.SerializeToString(deterministic=True))
    log.info("Saved frozen graph to %s", output)


def check(
    values: Mapping[str, np.ndarray], flags: argparse.Namespace, settings: AudioSettings
) -> None:
    """Raise DataError unless the checkpoint was trained with these flags."""
    model_flags = {name: getattr(flags, name) for name in checkpoint.MODEL_FLAGS}
    checkpoint.check_identity(flags.start_checkpoint, values, model_flags)
    words = flags.wanted_words.split(",")
    expected = networks.initial(settings, 2 + len(words), 0, flags.model_architecture)
    names = constants(flags.model_architecture, flags.quantize)
    for name in names:
        if name not in values:
            raise DataError(
                f"the checkpoint {flags.start_checkpoint} has no {name}: train with these flags"
            )
        if values[name].shape != expected[name].shape:
            raise DataError(
                f"the checkpoint {flags.start_checkpoint} has {name} of shape "
                f"{values[name].shape}, but these flags need {expected[name].shape}"
            )


def constants(architecture: str, quantize: bool) -> tuple[str, ...]:
    """The names of a checkpoint's values that a graph needs."""
    ranges = networks.range_names(architecture) if quantize else ()
    return networks.weight_names(architecture) + ranges


def inference_graph(
    values: Mapping[str, np.ndarray],
    settings: AudioSettings,
    quantize: bool,
    architecture: str = "tiny_conv",
) -> tf.compat.v1.GraphDef:
    """The graph with a checkpoint's values as constants; the same bytes for the same values."""
    with tf.Graph().as_default() as graph:
        features = tf.reshape(front_end(settings), [-1, settings.size], name="Reshape")
        held = {
            name: tf.constant(values[name], name=name) for name in constants(architecture, quantize)
        }
        numbers = Frozen(settings, held) if quantize else networks.Exact()
        logits = networks.logits(features, held, settings, numbers, architecture=architecture)
        tf.nn.softmax(logits, name="labels_softmax")
    return graph.as_graph_def()


class Frozen(networks.Quantized):
    """Eight-bit rounding with every range a constant, as a converter needs it."""

    def largest(self, weights: tf.Tensor) -> np.float32:
        return np.abs(tf.get_static_value(weights)).max()


def front_end(settings: AudioSettings) -> tf.Tensor:
    """From a WAV file's bytes to the features of its first second."""
    wav_data = tf.compat.v1.placeholder(tf.string, [], name="wav_data")
    audio, _ = tf.raw_ops.DecodeWav(
        contents=wav_data,
        desired_channels=1,
        desired_samples=settings.samples,
        name="decoded_sample_data",
    )
    if settings.preprocess == "micro":
        return micro(to_int16(tf.squeeze(audio, -1)), settings)
    return spectral(audio, settings)


if __name__ == "__main__":
    sys.exit(runtime.exit_code(main))
