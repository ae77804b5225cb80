"""Train a model that spots spoken words: TensorFlow's speech_commands/train.py for today.

    python -m vm_startup.speech_commands.train --wanted_words=yes,no \\
        --model_architecture=tiny_conv --preprocess=micro --window_stride=20 --quantize=1 \\
        --data_dir=my_recordings

An interrupted training continues from the last checkpoint in --train_dir, and ends with the same
weights as an uninterrupted one: every random choice follows from the seed and the step.
"""

import argparse
import contextlib
import functools
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from vm_startup.conventions import LABELS_FILE, checkpoint_line
from vm_startup.speech_commands import flags as command_line
from vm_startup.speech_commands import runtime
from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.batches import Batches, Recipe
from vm_startup.speech_commands.data import dataset
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.evaluation import intervals, metrics, results
from vm_startup.speech_commands.evaluation.summaries import Curves
from vm_startup.speech_commands.files import write_bytes
from vm_startup.speech_commands.model import checkpoint, networks
from vm_startup.speech_commands.model.best_weights import BestWeights
from vm_startup.speech_commands.model.trainable_network import TrainableNetwork
from vm_startup.speech_commands.progress import LINE_SECONDS, Interval, log, log_progress
from vm_startup.speech_commands.sources import load_data

EVALUATION_BATCH = 500
SAVE_SECONDS = 60  # the most that a preempted machine loses, however long steps take

# A checkpoint's training may differ in these flags from the training that continues it: paths, the
# number of steps and their rates, and what is logged.
FREE_FLAGS = {
    *("data_dir", "data_url", "data_sha256", "cache_dir", "train_dir", "summaries_dir"),
    *("how_many_training_steps", "learning_rate", "schedule", "warm_up", "start_checkpoint"),
    *("eval_step_interval", "early_stop", "save_step_interval", "check_nans", "verbosity"),
}


def main(argv: Sequence[str] | None = None) -> None:
    flags = command_line.trainer().parse_args(argv)
    command_line.check_training(flags)
    settings = command_line.audio_settings(flags)
    runtime.log_to_stdout(flags.verbosity)
    runtime.make_repeatable()
    train_dir = Path(flags.train_dir)
    train_dir.mkdir(parents=True, exist_ok=True)

    data = load_data(flags)
    trainer = Trainer(flags, settings, data)
    trainer.resume(train_dir)
    write_labels(train_dir, flags.model_architecture, data.labels)
    trainer.train(train_dir)
    trainer.finish(train_dir)


class Trainer:
    """One training, from its first step to its evaluation."""

    def __init__(
        self, flags: argparse.Namespace, settings: AudioSettings, data: dataset.Dataset
    ) -> None:
        self.flags, self.settings, self.data = flags, settings, data
        self.step = 0
        self.best = BestWeights()
        self.held_out = results.hold_out(flags, settings, data)
        mean = float(self.held_out["validation"][0].mean(dtype=np.float64))
        self.network = TrainableNetwork(flags, settings, len(data.labels), mean)
        self._logits_graph = tf.function(self._logits, reduce_retracing=True)

    @property
    def steps(self) -> int:
        """Steps in all."""
        return sum(self.flags.how_many_training_steps)

    @property
    def ended(self) -> bool:
        """Whether every step is done, or --early_stop ends the training."""
        patience = self.flags.early_stop
        return self.step >= self.steps or 0 < patience <= self.best.waited

    # -- resuming ---------------------------------------------------------------------------------

    def resume(self, train_dir: Path) -> None:
        """Load the newest checkpoint of this training, or the one to start from."""
        name, same = self.flags.model_architecture, self.identity()
        if found := checkpoint.latest(train_dir, name):
            self.best = BestWeights.of(found[1])
        elif self.flags.start_checkpoint:
            found = checkpoint.find(self.flags.start_checkpoint, name)
            same = {name: same[name] for name in checkpoint.MODEL_FLAGS}
        else:
            return
        prefix, values = found
        checkpoint.check_identity(prefix, values, same)
        self._load(prefix, values)
        log.info("Training from step: %d", self.step + 1)

    def _load(self, prefix: Path, values: Mapping[str, np.ndarray]) -> None:
        for name, variable in self.network.state.items():
            if name not in values and name in self.network.weights:
                raise DataError(
                    f"the checkpoint {prefix} has no {name}: it is not of the network "
                    f"{self.flags.model_architecture}"
                )
            value = values.get(name, variable)
            if value.shape != variable.shape:
                raise DataError(
                    f"the checkpoint {prefix} has {name} of shape {value.shape}, not "
                    f"{tuple(variable.shape)}: it was trained for other words or features"
                )
            variable.assign(value)
        self.step = int(values.get(checkpoint.STEP, 0))

    def identity(self) -> dict:
        """The flags that a checkpoint of this training must share."""
        return {k: v for k, v in vars(self.flags).items() if k not in FREE_FLAGS}

    # -- training ---------------------------------------------------------------------------------

    def train(self, train_dir: Path) -> None:
        """Do all remaining steps."""
        summaries = Path(self.flags.summaries_dir)
        training, validation = Curves(summaries / "train"), Curves(summaries / "validation")
        is_time_to_log, is_time_to_save = Interval(LINE_SECONDS), Interval(SAVE_SECONDS)
        prepared = functools.partial(log_progress, "Preparing batches")
        batches = Batches(self.data, self.settings, Recipe.of(self.flags))
        with contextlib.closing(batches.from_step(self.step + 1, prepared)) as stream:
            while not self.ended:
                self.step += 1
                loss, accuracy = self.network.train_step(self.step, *next(stream))
                training.add(self.step, cross_entropy=loss, accuracy=accuracy)
                if self.step == self.steps or is_time_to_log():
                    self._log_step(loss, accuracy)
                if self.step == self.steps or self.step % self.flags.eval_step_interval == 0:
                    self.validate(validation)
                due = self.step % self.flags.save_step_interval == 0 or is_time_to_save()
                if due or self.ended:
                    self.save(train_dir)
        training.flush()

    def save(self, train_dir: Path) -> None:
        """Write a checkpoint, and log its line once it is complete.

        A diverged training is not saved: lower rates can continue from the checkpoint before.
        """
        values = {name: variable.numpy() for name, variable in self.network.state.items()}
        self.network.check(self.step, **values)
        values |= self.best.as_values()
        name = self.flags.model_architecture
        prefix = checkpoint.save(train_dir, name, self.step, values, self.identity())
        log.info("%s", checkpoint_line(str(prefix)))

    def _log_step(self, loss: float, accuracy: float) -> None:
        rate = self.network.rate(self.step)
        log.info(
            "Step #%d/%d: rate %f, accuracy %.1f%%, cross entropy %f",
            *(self.step, self.steps, rate, accuracy * 100, loss),
        )

    # -- evaluation -------------------------------------------------------------------------------

    def validate(self, curves: Curves) -> None:
        """Evaluate on the validation clips, log it, and update the best weights."""
        score, cross_entropy = self.score("validation")
        curves.add(self.step, cross_entropy=cross_entropy, accuracy=score.accuracy)
        curves.flush()
        log.info("Confusion Matrix:\n %s", score.confusion)
        log.info("Step %d: Validation %s", self.step, score.text(self.data.labels))
        model = self.network.model()
        self.network.check(self.step, **model)  # eight-bit logits are clamped and would hide it
        self.best.update(self.step, score.accuracy, score.count, cross_entropy, model)
        if self.best.exploded == self.step:
            self._report_explosion(score, cross_entropy)

    def _report_explosion(self, score: metrics.Score, cross_entropy: float) -> None:
        """Log a loss that exploded. Raises DataError if no validation was better than chance: only
        weights that learnt nothing are kept, and more steps cost money."""
        what = (
            f"cross entropy is {cross_entropy:.2g} at step {self.step}, and a model that guesses "
            f"has {math.log(len(self.data.labels)):.2g}; use a --learning_rate below "
            f"{max(self.flags.learning_rate):g}"
        )
        low, _ = intervals.wilson(round(self.best.accuracy * score.count), score.count)
        if low <= score.chance:
            raise DataError(f"the training diverged: {what}")
        log.warning("The loss exploded: %s. The weights of step %d are kept", what, self.best.step)

    def finish(self, train_dir: Path) -> None:
        """Evaluate the best weights: writes metrics.json and test_features.npz."""
        for name, value in self.best.model.items():
            self.network.state[name].assign(value)
        evaluated = self.flags, self.settings, self.data, self.held_out
        steps = self.step, self.best.step or None, self.best.exploded or None
        results.evaluate(train_dir, *evaluated, self.scores, *steps)

    def score(self, name: str) -> tuple[metrics.Score, float]:
        """The score of one held-out split and its mean cross entropy."""
        features, split = self.held_out[name]
        logits = self.logits(features)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(split.label, logits).numpy()
        score = metrics.Score.of(split.label, logits.argmax(1), len(self.data.labels))
        return score, float(losses.sum() / max(1, len(losses)))

    def scores(self, features: np.ndarray, exact: bool) -> np.ndarray:
        """The probability of each label, see results.Scores."""
        return tf.nn.softmax(self.logits(features, exact)).numpy()

    def logits(self, features: np.ndarray, exact: bool = False) -> np.ndarray:
        """The logits behind the scores: float32 [n, labels]."""
        found = [np.zeros((0, len(self.data.labels)), np.float32)]
        for start in range(0, len(features), EVALUATION_BATCH):
            part = features[start : start + EVALUATION_BATCH]
            found.append(self._logits_graph(part, exact).numpy())
        return np.concatenate(found)

    def _logits(self, features: tf.Tensor, exact: bool) -> tf.Tensor:
        state, architecture = self.network.state, self.network.architecture
        rounded = self.flags.quantize and not exact
        numbers = networks.Quantized(self.settings, state) if rounded else networks.Exact()
        return networks.logits(features, state, self.settings, numbers, architecture=architecture)


def write_labels(train_dir: Path, architecture: str, labels: Sequence[str]) -> None:
    """Write one label a line, under upstream's file name and under labels.txt."""
    text = "".join(f"{label}\n" for label in labels).encode()
    write_bytes(train_dir / f"{architecture}_labels.txt", text)
    write_bytes(train_dir / LABELS_FILE, text)


if __name__ == "__main__":
    sys.exit(runtime.exit_code(main))
