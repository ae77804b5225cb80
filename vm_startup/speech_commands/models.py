"""tiny_conv: ten frames by eight frequencies seen at a time, then one vote per label.

    picture [frames, width] → conv 10 × 8, 8 filters, stride 2 × 2 → ReLU → dense → logits

Training sees every number as eight bits will hold it, so that conversion loses almost nothing:
weights on a grid symmetric about zero, activations on grids that follow the observed extremes.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from .settings import AudioSettings

ARCHITECTURES = ("tiny_conv",)

FILTER_HEIGHT, FILTER_WIDTH, FILTERS, STRIDE = 10, 8, 8, 2
WEIGHT_DEVIATION = 0.01  # of the truncated normal distribution that weights start from
RANGE_DECAY = 0.99  # share of an activation range that survives a step

WEIGHTS = ("first_weights", "first_bias", "final_fc_weights", "final_fc_bias")  # upstream's names
RANGES = ("relu_max", "logits_min", "logits_max")

Values = Mapping[str, tf.Tensor | tf.Variable | np.ndarray]


def hidden_size(settings: AudioSettings) -> int:
    """Numbers between convolution and dense layer: 25 × 20 × 8 = 4000 for 49 × 40 features."""
    return -(-settings.frames // STRIDE) * -(-settings.width // STRIDE) * FILTERS


def initial(settings: AudioSettings, label_count: int, seed: int) -> dict[str, np.ndarray]:
    """Fresh weights and activation ranges, the same for the same seed."""
    shapes = {
        "first_weights": (FILTER_HEIGHT, FILTER_WIDTH, 1, FILTERS),
        "final_fc_weights": (hidden_size(settings), label_count),
    }
    values = {
        name: tf.random.stateless_truncated_normal(
            shape, [seed, index], stddev=WEIGHT_DEVIATION
        ).numpy()
        for index, (name, shape) in enumerate(shapes.items())
    }
    values["first_bias"] = np.zeros(FILTERS, np.float32)
    values["final_fc_bias"] = np.zeros(label_count, np.float32)
    return values | {name: np.zeros((), np.float32) for name in RANGES}


class Exact:
    """The network in float32, its weights not rounded to a grid."""

    def input(self, features: tf.Tensor) -> tf.Tensor:
        return features

    def weights(self, weights: tf.Tensor) -> tf.Tensor:
        return weights

    def relu(self, hidden: tf.Tensor) -> tf.Tensor:
        return hidden

    def logits(self, logits: tf.Tensor) -> tf.Tensor:
        return logits


class Quantized:
    """The network as eight bits hold it."""

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
        """The weight farthest from zero, which the grid's last step stands for."""
        return tf.stop_gradient(tf.reduce_max(tf.abs(weights)))

    def relu(self, hidden: tf.Tensor) -> tf.Tensor:
        return tf.quantization.fake_quant_with_min_max_vars(hidden, 0.0, self._ranges["relu_max"])

    def logits(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.quantization.fake_quant_with_min_max_vars(
            logits, self._ranges["logits_min"], self._ranges["logits_max"]
        )


class Observing(Quantized):
    """The same in training: activation ranges follow what passes through."""

    def __init__(self, settings: AudioSettings, ranges: Values, step: tf.Tensor) -> None:
        super().__init__(settings, ranges)
        # At first the plain average of what was seen: a range must not remember that it began at 0.
        step = tf.cast(step, tf.float32)
        self._decay = tf.minimum(RANGE_DECAY, (step - 1.0) / step)

    def relu(self, hidden: tf.Tensor) -> tf.Tensor:
        self._follow("relu_max", tf.reduce_max(hidden))
        return super().relu(hidden)

    def logits(self, logits: tf.Tensor) -> tf.Tensor:
        self._follow("logits_min", tf.reduce_min(logits))
        self._follow("logits_max", tf.reduce_max(logits))
        return super().logits(logits)

    def _follow(self, name: str, seen: tf.Tensor) -> None:
        seen = tf.stop_gradient(seen)
        self._ranges[name].assign(seen + self._decay * (self._ranges[name] - seen))


def logits(
    features: tf.Tensor,
    weights: Values,
    settings: AudioSettings,
    numbers: Exact | Quantized,
    kept: tf.Tensor | None = None,
) -> tf.Tensor:
    """The network: features float32 [n, size] → logits float32 [n, labels].

    `kept` (float32 [n, hidden_size]) is dropout's mask, already scaled; None keeps everything.
    """
    shape = [-1, settings.frames, settings.width, 1]
    picture = tf.reshape(numbers.input(features), shape, name="Reshape_1")
    filters = numbers.weights(weights["first_weights"])
    hidden = tf.nn.conv2d(picture, filters, STRIDE, "SAME", name="Conv2D")
    hidden = numbers.relu(tf.nn.relu(hidden + weights["first_bias"], name="Relu"))
    hidden = tf.reshape(hidden, [-1, hidden_size(settings)], name="Reshape_2")
    if kept is not None:
        hidden *= kept
    votes = tf.matmul(hidden, numbers.weights(weights["final_fc_weights"]), name="MatMul")
    return numbers.logits(votes + weights["final_fc_bias"])
