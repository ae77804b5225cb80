"""Train a model that spots spoken words: TensorFlow's speech_commands/train.py for today.

    python -m vm_startup.speech_commands.train --wanted_words=yes,no \\
        --model_architecture=tiny_conv --preprocess=micro --window_stride=20 --quantize=1 --data_dir=my_recordings

A training that was cut short goes on from the last checkpoint in --train_dir, and ends in the same
weights as if it had not been: every random choice follows from the seed and the step.
"""

import argparse
import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from vm_startup.speech_commands import flags as command_line
from vm_startup.speech_commands import runtime
from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.data import batches, dataset
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.evaluation import final_evaluation, metrics
from vm_startup.speech_commands.evaluation.summaries import Curves
from vm_startup.speech_commands.model import checkpoint, networks
from vm_startup.speech_commands.model.best_weights import Best
from vm_startup.speech_commands.model.training_step import Learner
from vm_startup.speech_commands.runtime import log, progress

EVALUATION_BATCH = 500
SAY_SECONDS = 0.5  # at most two lines a second, so that a log stays readable
SAVE_SECONDS = 60  # what a machine that is taken away costs at most, however long steps take

# What a checkpoint may differ in from the training that goes on with it: where things lie, how long
# and how fast to train, and what is said on the way.
FREE_FLAGS = {
    *("data_dir", "data_url", "data_sha256", "cache_dir", "train_dir", "summaries_dir"),
    *("how_many_training_steps", "learning_rate", "schedule", "warm_up", "start_checkpoint"),
    *("eval_step_interval", "early_stop", "save_step_interval", "check_nans", "verbosity"),
}

# What even a training that only starts from another's checkpoint shares with it.
MODEL_FLAGS = ("wanted_words", "model_architecture", "preprocess", "window_stride_ms")


def main(argv: Sequence[str] | None = None) -> None:
    flags = command_line.trainer().parse_args(argv)
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
    """Every clip that the flags name, decoded once into the cache."""
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
        cache_dir=cache,
        progress=progress,
    )


def archive_url(flags: argparse.Namespace) -> str:
    """The archive asked for; upstream's if no source is."""
    if flags.data_url is not None:
        return flags.data_url
    return "" if flags.data_dir or flags.synthetic_clips else command_line.ARCHIVE


class Trainer:
    """One model in training, from its first step to its judgement."""

    def __init__(
        self, flags: argparse.Namespace, settings: AudioSettings, data: dataset.Dataset
    ) -> None:
        self.flags, self.settings, self.data = flags, settings, data
        self.step = 0
        self.best = Best()
        self.held_out = final_evaluation.hold_out(flags, settings, data)
        mean = float(self.held_out["validation"][0].mean(dtype=np.float64))
        self.learner = Learner(flags, settings, len(data.labels), mean)
        self.answer = tf.function(self._answer, reduce_retracing=True)

    @property
    def steps(self) -> int:
        """Steps in all."""
        return sum(self.flags.how_many_training_steps)

    @property
    def ended(self) -> bool:
        """Whether every step is done, or more of them seem to be no use."""
        patience = self.flags.early_stop
        return self.step >= self.steps or 0 < patience <= self.best.waited

    # -- going on ---------------------------------------------------------------------------------

    def resume(self, train_dir: Path) -> None:
        """Take up the newest checkpoint of this training, or the one to start from."""
        name, same = self.flags.model_architecture, self.identity()
        if found := checkpoint.latest(train_dir, name):
            self.best = Best.of(found[1])
        elif self.flags.start_checkpoint:
            found = checkpoint.find(self.flags.start_checkpoint, name)
            same = {name: same[name] for name in MODEL_FLAGS}
        else:
            return
        prefix, values = found
        check_identity(prefix, checkpoint.identity(values), same)
        self._take(prefix, values)
        log.info("Training from step: %d", self.step + 1)

    def _take(self, prefix: Path, values: Mapping[str, np.ndarray]) -> None:
        for name, variable in self.learner.state.items():
            if name not in values and name in self.learner.weights:
                raise DataError(
                    f"the checkpoint {prefix} holds no {name}: it is not of the network "
                    f"{self.flags.model_architecture}."
                )
            value = values.get(name, variable)
            if value.shape != variable.shape:
                raise DataError(
                    f"the checkpoint {prefix} holds {name} of shape {value.shape}, not "
                    f"{tuple(variable.shape)}: it was trained for other words or features."
                )
            variable.assign(value)
        self.step = int(values.get(checkpoint.STEP, 0))

    def identity(self) -> dict:
        """The flags that make this training what it is."""
        return {k: v for k, v in vars(self.flags).items() if k not in FREE_FLAGS}

    # -- training ---------------------------------------------------------------------------------

    def train(self, train_dir: Path) -> None:
        """All steps that are still to be done."""
        summaries = Path(self.flags.summaries_dir)
        training, validation = Curves(summaries / "train"), Curves(summaries / "validation")
        is_time_to_say, is_time_to_save = runtime.Pace(SAY_SECONDS), runtime.Pace(SAVE_SECONDS)
        with contextlib.closing(self._batches().from_step(self.step + 1)) as stream:
            while not self.ended:
                self.step += 1
                loss, accuracy = self.learner.learn(self.step, *next(stream))
                training.add(self.step, cross_entropy=loss, accuracy=accuracy)
                if self.step == self.steps or is_time_to_say():
                    self._say_step(loss, accuracy)
                if self.step == self.steps or self.step % self.flags.eval_step_interval == 0:
                    self.validate(validation)
                due = self.step % self.flags.save_step_interval == 0 or is_time_to_save()
                if due or self.ended:
                    self.save(train_dir)
        training.flush()

    def save(self, train_dir: Path) -> None:
        """Write a checkpoint; the line that tells of it comes once it is complete.

        A diverged training is not saved: lower rates can go on from the checkpoint before.
        """
        values = {name: variable.numpy() for name, variable in self.learner.state.items()}
        self.learner.check(self.step, **values)
        values |= self.best.as_values()
        name = self.flags.model_architecture
        prefix = checkpoint.save(train_dir, name, self.step, values, self.identity())
        log.info('Saving to "%s"', prefix)

    def _say_step(self, loss: float, accuracy: float) -> None:
        rate = self.learner.rate(self.step)
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

    # -- judging ----------------------------------------------------------------------------------

    def validate(self, curves: Curves) -> None:
        """Score the validation clips, for people and TensorBoard, and keep what deserves it."""
        score, cross_entropy = self.score("validation")
        curves.add(self.step, cross_entropy=cross_entropy, accuracy=score.accuracy)
        curves.flush()
        log.info("Confusion Matrix:\n %s", score.confusion)
        log.info(
            "Step %d: Validation accuracy = %.1f%% (N=%d)",
            *(self.step, score.accuracy * 100, score.count),
        )
        model = self.learner.model()
        self.learner.check(self.step, **model)  # eight-bit answers do not tell: they are clamped
        self.best.see(self.step, score.accuracy, score.count, cross_entropy, model)

    def finish(self, train_dir: Path) -> None:
        """The last judgement, on the weights kept: metrics.json and test_features.npz."""
        for name, value in self.best.model.items():
            self.learner.state[name].assign(value)
        judged = self.flags, self.settings, self.data, self.held_out
        final_evaluation.write(train_dir, *judged, self.step, self.scores, self.best.step or None)

    def score(self, name: str) -> tuple[metrics.Score, float]:
        """The score of one held-out split and its mean cross entropy."""
        features, split = self.held_out[name]
        logits = self.answers(features)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(split.label, logits).numpy()
        score = metrics.Score.of(split.label, logits.argmax(1), len(self.data.labels))
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
        numbers = networks.Exact()
        if self.flags.quantize and not exact:
            numbers = networks.Quantized(self.settings, self.learner.state)
        network = {"numbers": numbers, "architecture": self.learner.architecture}
        return networks.logits(features, self.learner.state, self.settings, **network)


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
    metrics.write_bytes(train_dir / f"{architecture}_labels.txt", text)
    metrics.write_bytes(train_dir / "labels.txt", text)


if __name__ == "__main__":
    sys.exit(runtime.exit_code(main))
