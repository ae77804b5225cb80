"""Train a model that spots spoken words: TensorFlow's speech_commands/train.py for today.

    python -m speech_commands.train --wanted_words=yes,no --model_architecture=tiny_conv \\
        --preprocess=micro --window_stride=20 --quantize=1 --data_dir=my_recordings

A training that was cut short goes on from the last checkpoint in --train_dir, and ends in the same
weights as if it had not been: every random choice follows from the seed and the step.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from . import batches, checkpoint, dataset, models, optimizers, results, runtime, verdict
from . import flags as command_line
from .errors import DataError
from .runtime import log, progress
from .settings import AudioSettings
from .summaries import Curves

EVALUATION_BATCH = 500
SAY_SECONDS = 0.5  # at most two lines a second, so that a log stays readable
SAVE_SECONDS = 60  # what a machine that is taken away costs at most, however long steps take

# What a checkpoint may differ in from the training that goes on with it: where things lie, how long
# and how fast to train, and what is said on the way.
FREE_FLAGS = {
    *("data_dir", "data_url", "data_sha256", "cache_dir", "train_dir", "summaries_dir"),
    *("how_many_training_steps", "learning_rate", "schedule", "warm_up", "start_checkpoint"),
    *("eval_step_interval", "save_step_interval", "check_nans", "verbosity"),
}

# What even a training that only starts from another's checkpoint shares with it.
MODEL_FLAGS = ("wanted_words", "model_architecture", "preprocess", "window_stride_ms")


def main(argv: Sequence[str] | None = None) -> None:
    flags = command_line.training(argv)
    command_line.check_training(flags)
    settings = command_line.audio_settings(flags)
    runtime.speak(flags.verbosity)
    runtime.be_repeatable()
    train_dir = Path(flags.train_dir)
    train_dir.mkdir(parents=True, exist_ok=True)

    data = load_data(flags)
    trainer = Trainer(flags, settings, data)
    trainer.resume(train_dir)
    write_labels(train_dir, flags.model_architecture, data.labels)
    trainer.train(train_dir)
    trainer.finish(train_dir)


def load_data(flags: argparse.Namespace) -> dataset.Dataset:
    """Every clip that the flags name, in memory."""
    words = flags.wanted_words.split(",")
    cache = Path(flags.cache_dir or Path(flags.train_dir) / "cache")
    sources = dataset.open_sources(
        words,
        data_dir=flags.data_dir,
        data_url=archive_url(flags),
        data_sha256=flags.data_sha256,
        synthetic_clips=flags.synthetic_clips,
        seed=flags.seed,
        validation_percentage=flags.validation_percentage,
        testing_percentage=flags.testing_percentage,
        cache_dir=cache,
        progress=progress,
    )
    return dataset.load(
        sources,
        words,
        silence_percentage=flags.silence_percentage,
        unknown_percentage=flags.unknown_percentage,
        seed=flags.seed,
        progress=progress,
    )


def archive_url(flags: argparse.Namespace) -> str:
    """The archive asked for; upstream's if no source is."""
    if flags.data_url is not None:
        return flags.data_url
    return "" if flags.data_dir or flags.synthetic_clips else command_line.ARCHIVE


class Trainer:
    """One model in training."""

    def __init__(
        self, flags: argparse.Namespace, settings: AudioSettings, data: dataset.Dataset
    ) -> None:
        self.flags, self.settings, self.data = flags, settings, data
        self.architecture = flags.model_architecture
        self.names = models.weight_names(self.architecture)
        self.step = 0
        self.held_out = verdict.hold_out(flags, settings, data)
        self.mean = float(self.held_out["validation"][0].mean(dtype=np.float64))
        values = models.initial(settings, len(data.labels), flags.seed, self.architecture)
        if models.ARCHITECTURES[self.architecture].centred:
            values["first_bias"] -= self.mean * values["first_weights"].sum((0, 1, 2))
        values |= optimizers.initial(flags.optimizer, {n: values[n] for n in self.names})
        self.state = {name: tf.Variable(value, name=name) for name, value in values.items()}
        self.learn = tf.function(self._learn, reduce_retracing=True)
        self.answer = tf.function(self._answer, reduce_retracing=True)

    @property
    def steps(self) -> int:
        """Steps in all."""
        return sum(self.flags.how_many_training_steps)

    def rate(self, step: int) -> float:
        """The learning rate of a step, from 1."""
        flags = self.flags
        stages = flags.how_many_training_steps, flags.learning_rate
        return optimizers.rate(step, *stages, flags.schedule, flags.warm_up)

    # -- going on ---------------------------------------------------------------------------------

    def resume(self, train_dir: Path) -> None:
        """Take up the newest checkpoint of this training, or the one to start from."""
        start, same = self.flags.start_checkpoint, self.identity()
        found = checkpoint.latest(train_dir, self.flags.model_architecture)
        if found is None and start:
            found = Path(start), checkpoint.load(start)
            same = {name: same[name] for name in MODEL_FLAGS}
        if found is None:
            return
        prefix, values = found
        check_identity(prefix, checkpoint.identity(values), same)
        for name, variable in self.state.items():
            if name in values and values[name].shape != variable.shape:
                raise DataError(
                    f"the checkpoint {prefix} holds {name} of shape {values[name].shape}, not "
                    f"{tuple(variable.shape)}: it was trained for other words or features."
                )
            variable.assign(values.get(name, variable))
        self.step = int(values.get(checkpoint.STEP, 0))
        log.info("Training from step: %d", self.step + 1)

    def identity(self) -> dict:
        """The flags that make this training what it is."""
        return {k: v for k, v in vars(self.flags).items() if k not in FREE_FLAGS}

    # -- training ---------------------------------------------------------------------------------

    def train(self, train_dir: Path) -> None:
        """All steps that are still to be done."""
        summaries = Path(self.flags.summaries_dir)
        training, validation = Curves(summaries / "train"), Curves(summaries / "validation")
        stream = self._batches().from_step(self.step + 1)
        is_time_to_say, is_time_to_save = runtime.Pace(SAY_SECONDS), runtime.Pace(SAVE_SECONDS)
        while self.step < self.steps:
            self.step += 1
            loss, accuracy = self.learn_one(*next(stream))
            training.add(self.step, cross_entropy=loss, accuracy=accuracy)
            last = self.step == self.steps
            if last or is_time_to_say():
                self._say_step(loss, accuracy)
            if last or self.step % self.flags.eval_step_interval == 0:
                self.validate(validation)
            if last or self.step % self.flags.save_step_interval == 0 or is_time_to_save():
                self.save(train_dir)
        training.flush()

    def learn_one(self, features: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
        """One step: its loss and its accuracy; raises DataError where the loss is no number."""
        rate = self.rate(self.step)
        loss, accuracy = self.learn(
            features, labels, self._dropout(), tf.constant(rate), tf.constant(self.step)
        )
        if not np.isfinite(loss):
            raise DataError(
                f"the loss is {float(loss)} at step {self.step}: training has diverged; "
                f"a --learning_rate below {rate:g} would keep it stable."
            )
        return float(loss), float(accuracy)

    def save(self, train_dir: Path) -> None:
        """Write a checkpoint; the line that tells of it comes once it is complete."""
        name = self.flags.model_architecture
        prefix = checkpoint.save(train_dir, name, self.step, self.state, self.identity())
        log.info('Saving to "%s"', prefix)

    def _say_step(self, loss: float, accuracy: float) -> None:
        rate = self.rate(self.step)
        log.info(
            "Step #%d/%d: rate %f, accuracy %.1f%%, cross entropy %f",
            *(self.step, self.steps, rate, accuracy * 100, loss),
        )

    def _batches(self) -> batches.Batches:
        flags = self.flags
        recipe = batches.Recipe(
            seed=flags.seed,
            batch_size=flags.batch_size,
            echo=flags.echo,
            silence_percentage=flags.silence_percentage,
            unknown_percentage=flags.unknown_percentage,
            time_shift=int(flags.time_shift_ms * flags.sample_rate / 1000),
            background_volume=flags.background_volume,
            background_frequency=flags.background_frequency,
            time_mask=flags.time_mask,
            frequency_mask=flags.frequency_mask,
            augmentation=flags.augmentation,
            synthetic_share=flags.synthetic_share,
            mixup=flags.mixup,
        )
        return batches.Batches(self.data, self.settings, recipe)

    def _dropout(self) -> np.ndarray:
        """Which hidden numbers this step keeps: bool [batch, hidden]."""
        size = models.dropout_size(self.settings, self.architecture)
        rng = batches.stream(self.flags.seed, batches.DROPOUT, self.step)
        drawn = rng.integers(256, size=(self.flags.batch_size, size), dtype=np.uint8)
        return drawn >= 256 * self.flags.dropout

    def _learn(self, features, labels, kept, rate, step):
        numbers = models.Exact()
        if self.flags.quantize:
            numbers = models.Observing(self.settings, self.state, step)
        weights = {name: self.state[name] for name in self.names}
        with tf.GradientTape() as tape:
            scaled = tf.cast(kept, tf.float32) / (1 - self.flags.dropout)
            logits = self._logits(features, weights, numbers, scaled)
            losses = smoothed(labels, logits, self.flags.label_smoothing)
            loss = tf.reduce_mean(losses)
        gradients = dict(zip(weights, tape.gradient(loss, list(weights.values())), strict=True))
        self._move(gradients, rate, step)
        right = tf.argmax(logits, 1, tf.int32) == labels
        return loss, tf.reduce_mean(tf.cast(right, tf.float32))

    def _move(self, gradients, rate, step):
        """Move the weights as if features were centred on their mean.

        All features are positive, so filters and biases would pull against each other. A filter's
        bias is therefore moved as that of a network that is shown `feature - mean`.
        """
        filters, bias = self.state["first_weights"], self.state["first_bias"]
        before = tf.identity(filters)
        gradients["first_weights"] -= self.mean * gradients["first_bias"]
        optimizers.move(self.flags.optimizer, self.state, gradients, rate, step)
        bias.assign_sub(self.mean * tf.reduce_sum(filters - before, [0, 1, 2]))

    # -- judging ----------------------------------------------------------------------------------

    def validate(self, curves: Curves) -> None:
        """Score the validation clips, for people and for TensorBoard."""
        score, cross_entropy = self.score("validation")
        curves.add(self.step, cross_entropy=cross_entropy, accuracy=score.accuracy)
        curves.flush()
        log.info("Confusion Matrix:\n %s", score.confusion)
        log.info(
            "Step %d: Validation accuracy = %.1f%% (N=%d)",
            *(self.step, score.accuracy * 100, score.count),
        )

    def finish(self, train_dir: Path) -> None:
        """The last judgement: metrics.json and test_features.npz."""
        judged = self.flags, self.settings, self.data, self.held_out
        verdict.write(train_dir, *judged, self.step, self.scores)

    def score(self, name: str) -> tuple[results.Score, float]:
        """The score of one held-out split and its mean cross entropy."""
        features, split = self.held_out[name]
        logits = self.answers(features)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(split.label, logits).numpy()
        score = results.Score.of(split.label, logits.argmax(1), len(self.data.labels))
        return score, float(losses.sum() / max(1, len(losses)))

    def scores(self, features: np.ndarray, exact: bool) -> np.ndarray:
        """How much each picture (float32 [n, size]) is each label: float32 [n, labels], 0 to 1.

        With `exact` the weights and activations stay unrounded, whatever was trained.
        """
        return tf.nn.softmax(self.answers(features, exact)).numpy()

    def answers(self, features: np.ndarray, exact: bool = False) -> np.ndarray:
        """The logits behind the scores: float32 [n, labels]."""
        answers = [np.zeros((0, len(self.data.labels)), np.float32)]
        for start in range(0, len(features), EVALUATION_BATCH):
            part = features[start : start + EVALUATION_BATCH]
            answers.append(self.answer(part, exact).numpy())
        return np.concatenate(answers)

    def _answer(self, features, exact: bool):
        numbers = models.Exact()
        if self.flags.quantize and not exact:
            numbers = models.Quantized(self.settings, self.state)
        return self._logits(features, self.state, numbers)

    def _logits(self, features, weights, numbers, kept=None):
        return models.logits(features, weights, self.settings, numbers, kept, self.architecture)


def smoothed(labels: tf.Tensor, logits: tf.Tensor, share: float) -> tf.Tensor:
    """The cross entropy of each clip where a `share` of its label is spread over all labels."""
    if not share:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    count = logits.shape[-1]
    wanted = tf.one_hot(labels, count, 1 - share + share / count, share / count)
    return tf.nn.softmax_cross_entropy_with_logits(wanted, logits)


def check_identity(prefix: Path, theirs: dict, ours: dict) -> None:
    """Raise DataError where a checkpoint's flags are not ours."""
    for name, value in ours.items():
        if name in theirs and theirs[name] != value:
            raise DataError(
                f"the checkpoint {prefix} was trained with --{name}={theirs[name]}, not "
                f"{value}: train in another --train_dir, or with the same flags."
            )


def write_labels(train_dir: Path, architecture: str, labels: Sequence[str]) -> None:
    """One label a line, under upstream's name and a plain one."""
    text = "".join(f"{label}\n" for label in labels).encode()
    results.write_bytes(train_dir / f"{architecture}_labels.txt", text)
    results.write_bytes(train_dir / "labels.txt", text)


if __name__ == "__main__":
    sys.exit(runtime.exit_code(main))
