"""Stands for TensorFlow's train.py: its flags and its words, but with another trainer inside."""

import os
import sys

sys.path[0] = os.environ["TRAINER"]

from vm_startup.speech_commands import runtime, train  # noqa: E402

KNOWN = {
    '--data_url', '--data_dir', '--background_volume', '--background_frequency',
    '--silence_percentage', '--unknown_percentage', '--time_shift_ms', '--testing_percentage',
    '--validation_percentage', '--window_stride_ms', '--how_many_training_steps',
    '--eval_step_interval', '--learning_rate', '--batch_size', '--summaries_dir',
    '--wanted_words', '--train_dir', '--save_step_interval', '--start_checkpoint',
    '--model_architecture', '--quantize', '--preprocess',
}  # fmt: skip


class Trainer(train.Trainer):
    """Tells of a checkpoint before it writes it, and leaves no judgement behind."""

    def save(self, train_dir):
        path = train_dir / f"{self.flags.model_architecture}.ckpt-{self.step}"
        print(f'INFO:tensorflow:Saving to "{path}"', flush=True)
        super().save(train_dir)

    def finish(self, train_dir):
        score, _ = self.score("testing")
        print(f"WARNING:tensorflow:Final test accuracy = {score.accuracy:.1%} (N={score.count})")


def write_labels(train_dir, architecture, labels):
    (train_dir / f"{architecture}_labels.txt").write_text("\n".join(labels))


if __name__ == "__main__":
    unknown = {flag.split("=")[0] for flag in sys.argv[1:]} - KNOWN
    assert not unknown, f"unknown flags {unknown}"
    train.Trainer, train.write_labels = Trainer, write_labels
    sys.exit(runtime.exit_code(lambda: train.main([*sys.argv[1:], "--verbosity=WARN"])))
