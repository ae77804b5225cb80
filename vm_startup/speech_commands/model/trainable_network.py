"""A network with everything that training changes, and one training step.

The code does not name a processor: TensorFlow puts variables and steps on a GPU if it finds one.
It uses only operations that TensorFlow repeats bit for bit on either, which excludes the gradients
of TensorFlow's own rounding (see networks.Observing).
"""

import argparse

import numpy as np
import tensorflow as tf

from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.model import architectures, networks, optimizers
from vm_startup.speech_commands.random_streams import DROPOUT


class TrainableNetwork:
    """Weights, observed activation ranges and the optimizer's slots, all by name in `state`.

    `mean` is the mean of all features, see _move.
    """

    def __init__(
        self, flags: argparse.Namespace, settings: AudioSettings, label_count: int, mean: float
    ) -> None:
        self._flags, self._settings, self._mean = flags, settings, mean
        self.architecture = flags.model_architecture
        self.weights = networks.weight_names(self.architecture)
        values = networks.initial(settings, label_count, flags.seed, self.architecture)
        if architectures.ARCHITECTURES[self.architecture].centred:
            values["first_bias"] -= mean * values["first_weights"].sum((0, 1, 2))
        values |= optimizers.initial(flags.optimizer, {n: values[n] for n in self.weights})
        self.state = {name: tf.Variable(value, name=name) for name, value in values.items()}
        self.graph = tf.function(self._step, reduce_retracing=True)

    def rate(self, step: int) -> float:
        """The learning rate of a step, from 1."""
        flags = self._flags
        stages = flags.how_many_training_steps, flags.learning_rate
        return optimizers.rate(step, *stages, flags.schedule, flags.warm_up)

    def train_step(
        self, step: int, features: np.ndarray, labels: np.ndarray
    ) -> tuple[float, float]:
        """Do one step; its loss and its accuracy. Raises DataError if the loss is not a number.

        Labels are int32 [batch], or float32 [batch, labels] after mixup.
        """
        rate = tf.constant(self.rate(step), tf.float32)
        loss, accuracy = self.graph(features, labels, rate, tf.constant(step))
        self.check(step, loss=float(loss))
        return float(loss), float(accuracy)

    def model(self) -> dict[str, np.ndarray]:
        """The current weights and ranges, without the optimizer's slots."""
        names = self.weights + networks.range_names(self.architecture)
        return {name: self.state[name].numpy() for name in names}

    def check(self, step: int, **values: np.ndarray | float) -> None:
        """Raise DataError unless all of these are finite."""
        for name, value in values.items():
            if not np.isfinite(value).all():
                wrong = np.asarray(value)[~np.isfinite(value)].flat[0]
                raise DataError(
                    f"the training diverged: {name} is {wrong} at step {step}; use a "
                    f"--learning_rate below {self.rate(step):g}"
                )

    def _step(
        self, features: tf.Tensor, labels: tf.Tensor, rate: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        rounded, state = self._flags.quantize, self.state
        numbers = networks.Observing(self._settings, state, step) if rounded else networks.Exact()
        weights = {name: self.state[name] for name in self.weights}
        network = self._settings, numbers, self._dropout_mask(step), self.architecture
        with tf.GradientTape() as tape:
            logits = networks.logits(features, weights, *network)
            loss = tf.reduce_mean(cross_entropies(labels, logits, self._flags.label_smoothing))
        gradients = dict(zip(weights, tape.gradient(loss, list(weights.values())), strict=True))
        self._move(gradients, rate, step)
        truth = labels if labels.shape.rank == 1 else tf.argmax(labels, 1, tf.int32)
        correct = tf.argmax(logits, 1, tf.int32) == truth
        return loss, tf.reduce_mean(tf.cast(correct, tf.float32))

    def _dropout_mask(self, step: tf.Tensor) -> tf.Tensor | None:
        """The step's dropout mask, scaled to make up for the loss: float32 [batch, dropout_size].

        Random bytes decide it, so a share is exact to 1/512.
        """
        share, batch = self._flags.dropout, self._flags.batch_size
        if not share:
            return None
        size = architectures.dropout_size(self._settings, self.architecture)
        seed = tf.random.experimental.stateless_fold_in([self._flags.seed, DROPOUT], step)
        words = tf.random.stateless_uniform([batch, -(-size // 4)], seed, None, None, tf.int32)
        drawn = tf.reshape(tf.bitcast(words, tf.uint8), [batch, -1])[:, :size]
        return tf.cast(drawn >= round(256 * share), tf.float32) / (1 - share)

    def _move(self, gradients: dict[str, tf.Tensor], rate: tf.Tensor, step: tf.Tensor) -> None:
        """Move the weights as if the features were centred on their mean.

        All features are positive, so filters and biases would pull against each other. A filter's
        bias is therefore moved like that of a network whose input is `feature - mean`.
        """
        filters, bias = self.state["first_weights"], self.state["first_bias"]
        before = tf.identity(filters)
        gradients["first_weights"] -= self._mean * gradients["first_bias"]
        rule, decay = self._flags.optimizer, self._flags.weight_decay
        optimizers.move(rule, self.state, gradients, rate, step, decay)
        bias.assign_sub(self._mean * tf.reduce_sum(filters - before, [0, 1, 2]))


def cross_entropies(labels: tf.Tensor, logits: tf.Tensor, smoothing: float) -> tf.Tensor:
    """The cross entropy of each clip; a `smoothing` share of its label is spread over all labels.

    Labels are int32 [n] or float32 [n, labels], logits float32 [n, labels].
    """
    count = logits.shape[-1]
    wanted = tf.one_hot(labels, count) if len(labels.shape) == 1 else labels
    smoothed = wanted * (1 - smoothing) + smoothing / count
    return tf.nn.softmax_cross_entropy_with_logits(smoothed, logits)
