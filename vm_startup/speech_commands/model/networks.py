"""The networks of architectures.py in TensorFlow.

Training rounds every number as eight bits will hold it, so that conversion loses almost nothing:
weights to a grid symmetric about zero, activations to grids that follow the observed extremes.
"""

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.model.architectures import (
    ARCHITECTURES,
    hidden_size,
    shapes,
    weight_shapes,
)

RANGE_DECAY = 0.99  # share of an activation range that remains after a step
TRUNCATED = 0.88  # standard deviation of a normal distribution truncated at two of its deviations

Values = Mapping[str, tf.Tensor | tf.Variable | np.ndarray]


def weight_names(architecture: str = "tiny_conv") -> tuple[str, ...]:
    """The names of the trained values; tiny_conv's are upstream's."""
    layers = [layer.name for layer in ARCHITECTURES[architecture].layers] + ["final_fc"]
    return tuple(f"{name}_{kind}" for name in layers for kind in (("weights", "bias")))


def range_names(architecture: str = "tiny_conv") -> tuple[str, ...]:
    """The names of the observed activation ranges."""
    layers = ARCHITECTURES[architecture].layers
    return (*(layer.range for layer in layers), "logits_min", "logits_max")


def initial(
    settings: AudioSettings, label_count: int, seed: int, architecture: str = "tiny_conv"
) -> dict[str, np.ndarray]:
    """Initial weights and activation ranges, the same for the same seed."""
    forms = weight_shapes(settings, label_count, architecture)
    values = {
        name: tf.random.stateless_truncated_normal(
            form, [seed, index], stddev=_deviation(architecture, name, form)
        ).numpy()
        for index, (name, form) in enumerate(forms.items())
    }
    for name, form in forms.items():
        values[name.replace("weights", "bias")] = np.zeros(form[-1], np.float32)
    return values | {name: np.zeros((), np.float32) for name in range_names(architecture)}


def _deviation(architecture: str, name: str, form: tuple[int, ...]) -> float:
    """The deviation of a layer's initial weights, before their distribution is truncated."""
    start = ARCHITECTURES[architecture]
    if start.deviation:
        return start.deviation
    gain = 1.0 if name == "final_fc_weights" else 2.0  # a ReLU halves the variance
    share = start.first_share if name == "first_weights" else 1.0
    return share * math.sqrt(gain / math.prod(form[:-1])) / TRUNCATED


class Exact:
    """Float32 arithmetic: nothing is rounded to a grid."""

    def input(self, features: tf.Tensor) -> tf.Tensor:
        return features

    def weights(self, weights: tf.Tensor) -> tf.Tensor:
        return weights

    def relu(self, hidden: tf.Tensor, name: str) -> tf.Tensor:
        return hidden

    def logits(self, logits: tf.Tensor) -> tf.Tensor:
        return logits


class Quantized(Exact):
    """Every number rounded as eight bits hold it."""

    def __init__(self, settings: AudioSettings, ranges: Values) -> None:
        self._settings, self._ranges = settings, ranges

    def input(self, features: tf.Tensor) -> tf.Tensor:
        return tf.quantization.fake_quant_with_min_max_args(features, *self._settings.range)

    def weights(self, weights: tf.Tensor) -> tf.Tensor:
        # Symmetric and narrow: -127 to 127 about a zero point of exactly zero.
        largest = self.largest(weights)
        return tf.quantization.fake_quant_with_min_max_vars(
            weights, -largest, largest, narrow_range=True
        )

    def largest(self, weights: tf.Tensor) -> tf.Tensor:
        """The weight farthest from zero, which is the end of the grid."""
        return tf.stop_gradient(tf.reduce_max(tf.abs(weights)))

    def relu(self, hidden: tf.Tensor, name: str) -> tf.Tensor:
        return tf.quantization.fake_quant_with_min_max_vars(hidden, 0.0, self._ranges[name])

    def logits(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.quantization.fake_quant_with_min_max_vars(
            logits, self._ranges["logits_min"], self._ranges["logits_max"]
        )


class Observing(Quantized):
    """The same in training: activation ranges follow the observed values.

    Gradients pass as if nothing were rounded, and are zero where a value is outside its range.
    TensorFlow's own gradients of these roundings cannot be repeated bit for bit on a GPU.
    """

    def __init__(
        self, settings: AudioSettings, ranges: Mapping[str, tf.Variable], step: tf.Tensor
    ) -> None:
        super().__init__(settings, ranges)
        self._variables = ranges
        # At first the plain average of all observations: a range must forget that it began at 0.
        step = tf.cast(step, tf.float32)
        self._decay = tf.minimum(RANGE_DECAY, (step - 1.0) / step)

    def weights(self, weights: tf.Tensor) -> tf.Tensor:
        return _straight_through(weights, super().weights(weights))

    def relu(self, hidden: tf.Tensor, name: str) -> tf.Tensor:
        self._follow(name, tf.reduce_max(hidden))
        return _straight_through(hidden, super().relu(hidden, name), hidden <= self._ranges[name])

    def logits(self, logits: tf.Tensor) -> tf.Tensor:
        self._follow("logits_min", tf.reduce_min(logits))
        self._follow("logits_max", tf.reduce_max(logits))
        low, high = self._ranges["logits_min"], self._ranges["logits_max"]
        return _straight_through(logits, super().logits(logits), (low <= logits) & (logits <= high))

    def _follow(self, name: str, seen: tf.Tensor) -> None:
        seen = tf.stop_gradient(seen)
        self._variables[name].assign(seen + self._decay * (self._variables[name] - seen))


def _straight_through(
    exact: tf.Tensor, rounded: tf.Tensor, inside: tf.Tensor | None = None
) -> tf.Tensor:
    """The rounded values; their gradients pass to the exact ones, where bool `inside` is true."""

    def back(gradient: tf.Tensor) -> tf.Tensor:
        return gradient if inside is None else gradient * tf.cast(inside, tf.float32)

    return tf.custom_gradient(lambda _: (tf.identity(rounded), back))(tf.convert_to_tensor(exact))


def logits(
    features: tf.Tensor,
    weights: Values,
    settings: AudioSettings,
    numbers: Exact,
    kept: tf.Tensor | None = None,
    architecture: str = "tiny_conv",
) -> tf.Tensor:
    """The network: features float32 [n, size] → logits float32 [n, labels].

    `kept` (float32 [n, dropout_size]) is the scaled dropout mask; None is no dropout.
    """
    shape = [-1, settings.frames, settings.width, 1]
    hidden = tf.reshape(numbers.input(features), shape, name="Reshape_1")
    for layer, given, made in shapes(settings, architecture):
        if tuple(hidden.shape[1:]) != given:
            hidden = tf.reshape(hidden, [-1, *given], name="Frequencies")
        filters = numbers.weights(weights[f"{layer.name}_weights"])
        hidden = tf.nn.conv2d(hidden, filters, layer.stride, "SAME", name="Conv2D")
        hidden = tf.nn.relu(hidden + weights[f"{layer.name}_bias"], name="Relu")
        hidden = numbers.relu(hidden, layer.range)
        if layer.dropout and kept is not None:
            mask, kept = tf.split(kept, [math.prod(made), -1], 1)
            hidden *= tf.reshape(mask, [-1, *made])
    if ARCHITECTURES[architecture].averaged:
        hidden = tf.nn.avg_pool2d(hidden, [hidden.shape[1], 1], 1, "VALID", name="AvgPool")
    hidden = tf.reshape(hidden, [-1, hidden_size(settings, architecture)], name="Reshape_2")
    if kept is not None:
        hidden *= kept
    sums = tf.matmul(hidden, numbers.weights(weights["final_fc_weights"]), name="MatMul")
    return numbers.logits(sums + weights["final_fc_bias"])
