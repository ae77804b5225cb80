"""One step of a training: what a batch does to the weights.

Nothing here names a processor: where TensorFlow sees a GPU it puts variables and steps there.
Only operations are used that it can repeat bit for bit on either, which excludes the gradients of
its own rounding (see models.Observing).
"""

import argparse

import numpy as np
import tensorflow as tf

from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.data import batches
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.model import blocks, networks, optimizers


class Learner:
    """A network that learns: weights, observed ranges and the optimizer's memories by name.

    `mean` is that of all features, see _move.
    """

    def __init__(
        self, flags: argparse.Namespace, settings: AudioSettings, label_count: int, mean: float
    ) -> None:
        self._flags, self._settings, self._mean = flags, settings, mean
        self.architecture = flags.model_architecture
        self.weights = networks.weight_names(self.architecture)
        values = networks.initial(settings, label_count, flags.seed, self.architecture)
        if networks.ARCHITECTURES[self.architecture].centred:
            values["first_bias"] -= mean * values["first_weights"].sum((0, 1, 2))
        values |= optimizers.initial(flags.optimizer, {n: values[n] for n in self.weights})
        self.state = {name: tf.Variable(value, name=name) for name, value in values.items()}
        self.graph = tf.function(self._learn, reduce_retracing=True)

    def rate(self, step: int) -> float:
        """The learning rate of a step, from 1."""
        flags = self._flags
        stages = flags.how_many_training_steps, flags.learning_rate
        return optimizers.rate(step, *stages, flags.schedule, flags.warm_up)

    def learn(self, step: int, features: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
        """One step: its loss and its accuracy; raises DataError where the loss is no number.

        Labels are int32 [batch], or float32 [batch, labels] where a clip is of several.
        """
        rate = tf.constant(self.rate(step), tf.float32)
        loss, accuracy = self.graph(features, labels, rate, tf.constant(step))
        self.check(step, loss=float(loss))
        return float(loss), float(accuracy)

    def model(self) -> dict[str, np.ndarray]:
        """What the network is at this moment, without the optimizer's memories."""
        names = self.weights + networks.range_names(self.architecture)
        return {name: self.state[name].numpy() for name in names}

    def check(self, step: int, **values: np.ndarray | float) -> None:
        """Raise DataError unless all of these are numbers."""
        for name, value in values.items():
            if not np.isfinite(value).all():
                wrong = np.asarray(value)[~np.isfinite(value)].flat[0]
                raise DataError(
                    f"the {name} is {wrong} at step {step}: training has diverged; "
                    f"a --learning_rate below {self.rate(step):g} would keep it stable."
                )

    def _learn(self, features, labels, rate, step):
        numbers = networks.Exact()
        if self._flags.quantize:
            numbers = networks.Observing(self._settings, self.state, step)
        weights = {name: self.state[name] for name in self.weights}
        network = self._settings, numbers, self._kept(step), self.architecture, blocks.convolve
        with tf.GradientTape() as tape:
            logits = networks.logits(features, weights, *network)
            loss = tf.reduce_mean(cross_entropies(labels, logits, self._flags.label_smoothing))
        gradients = dict(zip(weights, tape.gradient(loss, list(weights.values())), strict=True))
        self._move(gradients, rate, step)
        truth = labels if labels.shape.rank == 1 else tf.argmax(labels, 1, tf.int32)
        right = tf.argmax(logits, 1, tf.int32) == truth
        return loss, tf.reduce_mean(tf.cast(right, tf.float32))

    def _kept(self, step: tf.Tensor) -> tf.Tensor | None:
        """What this step's dropout leaves, scaled to make up for the rest: [batch, dropout_size].

        Decided by random bytes: a share is met to a 512th.
        """
        share, batch = self._flags.dropout, self._flags.batch_size
        if not share:
            return None
        size = networks.dropout_size(self._settings, self.architecture)
        seed = tf.random.experimental.stateless_fold_in([self._flags.seed, batches.DROPOUT], step)
        words = tf.random.stateless_uniform([batch, -(-size // 4)], seed, None, None, tf.int32)
        drawn = tf.reshape(tf.bitcast(words, tf.uint8), [batch, -1])[:, :size]
        return tf.cast(drawn >= round(256 * share), tf.float32) / (1 - share)

    def _move(self, gradients, rate, step):
        """Move the weights as if features were centred on their mean.

        All features are positive, so filters and biases would pull against each other. A filter's
        bias is therefore moved as that of a network that is shown `feature - mean`.
        """
        filters, bias = self.state["first_weights"], self.state["first_bias"]
        before = tf.identity(filters)
        gradients["first_weights"] -= self._mean * gradients["first_bias"]
        rule, decay = self._flags.optimizer, self._flags.weight_decay
        optimizers.move(rule, self.state, gradients, rate, step, decay)
        bias.assign_sub(self._mean * tf.reduce_sum(filters - before, [0, 1, 2]))


def cross_entropies(labels: tf.Tensor, logits: tf.Tensor, share: float) -> tf.Tensor:
    """The cross entropy of each clip where a `share` of its label is spread over all labels.

    Labels are int32 [n] or float32 [n, labels], logits float32 [n, labels].
    """
    count = logits.shape[-1]
    wanted = tf.one_hot(labels, count) if len(labels.shape) == 1 else labels
    return tf.nn.softmax_cross_entropy_with_logits(wanted * (1 - share) + share / count, logits)
