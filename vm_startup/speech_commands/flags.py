"""The command lines of trainer and freezer: upstream's flags, and a few more.

A name may be cut short if it stays unambiguous: `--window_stride=20` is common.
"""

import argparse
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from vm_startup.conventions import ARCHIVES, FEATURE_RANGES, SAMPLE_RATE
from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.batches import AUGMENTATIONS
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.model import optimizers
from vm_startup.speech_commands.model.architectures import ARCHITECTURES

ARCHIVE = ARCHIVES["v0.02"]
WORDS = "yes,no,up,down,left,right,on,off,stop,go"


def boolean(text: str) -> bool:
    """`1`, `true`, `yes` or their opposites; upstream's bool("0") is True."""
    value = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    try:
        return value[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 or 0") from None


def number(kind: type, least: float, most: float = float("inf")) -> Callable[[str], Any]:
    """A parser of numbers of that kind within bounds."""

    def parse(text: str) -> Any:
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not within {least} to {most}")
        return value

    parse.__name__ = kind.__name__
    return parse


def numbers(kind: type) -> Callable[[str], list]:
    """A parser of comma-separated lists of positive numbers."""

    def parse(text: str) -> list:
        values = [kind(part) for part in text.split(",")]
        if not all(0 < value < float("inf") for value in values):
            raise argparse.ArgumentTypeError(f"{text!r} has a number that is not positive")
        return values

    parse.__name__ = f"list of {kind.__name__}"
    return parse


def add_audio(parser: argparse.ArgumentParser) -> None:
    """The flags that decide how a clip becomes features."""
    flag = parser.add_argument
    flag("--sample_rate", type=int, default=SAMPLE_RATE, help="Hz of the clips")
    flag("--clip_duration_ms", type=int, default=1000, help="length of a clip")
    flag("--window_size_ms", type=float, default=30.0, help="length of a frame")
    flag("--window_stride_ms", type=float, default=10.0, help="from one frame to the next")
    flag("--feature_bin_count", type=int, default=40, help="features per frame")
    flag("--preprocess", default="mfcc", choices=FEATURE_RANGES, help="kind of features")
    flag("--quantize", type=boolean, default=False, metavar="0|1", help="for eight-bit deployment")


def add_model(parser: argparse.ArgumentParser) -> None:
    """The flags that decide which model is trained."""
    flag = parser.add_argument
    flag("--wanted_words", default=WORDS, help="comma-separated; others count as unknown")
    flag("--model_architecture", default="tiny_conv", choices=ARCHITECTURES)
    flag("--start_checkpoint", default="", help="checkpoint to begin with, e.g. tiny_conv.ckpt-100")


def trainer() -> argparse.ArgumentParser:
    """The parser of train.py."""
    parser = argparse.ArgumentParser("train", description="Train a model that spots spoken words.")
    add_audio(parser)
    add_model(parser)
    _add_data(parser)
    _add_training(parser)
    return parser


def freezer() -> argparse.ArgumentParser:
    """The parser of freeze.py."""
    parser = argparse.ArgumentParser("freeze", description="Turn a checkpoint into one graph.")
    add_audio(parser)
    add_model(parser)
    flag = parser.add_argument
    flag("--clip_stride_ms", type=int, default=30, help="without effect, as no network uses it")
    flag("--output_file", required=True, help="where to write the frozen graph")
    flag("--save_format", default="graph_def", choices=["graph_def"])
    return parser


def audio_settings(flags: argparse.Namespace) -> AudioSettings:
    """The audio flags as settings; raises DataError for values that are not supported."""
    return AudioSettings(*(getattr(flags, field.name) for field in fields(AudioSettings)))


def check_training(flags: argparse.Namespace) -> None:
    """Raise DataError if training flags contradict one another."""
    steps, rates = flags.how_many_training_steps, flags.learning_rate
    if len(steps) != len(rates):
        raise DataError(
            f"--how_many_training_steps has {len(steps)} numbers and --learning_rate has "
            f"{len(rates)}: give as many rates as numbers of steps"
        )
    both = flags.validation_percentage, flags.testing_percentage
    if min(both) <= 0 or sum(both) >= 100:
        raise DataError(
            f"--validation_percentage={both[0]:g} and --testing_percentage={both[1]:g} leave a "
            "split empty: each must be above 0 and their sum below 100"
        )


def _add_data(parser: argparse.ArgumentParser) -> None:
    percentage = number(float, 0, 1000)
    flag = parser.add_argument
    flag("--data_dir", default="", help="folder with one sub-folder of WAVs per word")
    flag(
        "--data_url",
        help='archive of such a folder, "" for none; if no source is named, Speech Commands v0.02',
    )
    flag("--data_sha256", default="", help="SHA-256 of an archive other than upstream's")
    flag(
        "--synthetic_clips",
        type=number(int, 0),
        default=0,
        help="clips of synthetic speech per wanted word",
    )
    flag(
        "--synthetic_share",
        type=number(float, 0, 1),
        default=0.3,
        help="of the training clips, if there are recordings too",
    )
    flag("--cache_dir", default="", help="for archives, clips and features; else in --train_dir")
    flag("--silence_percentage", type=percentage, default=10.0, help="of the wanted clips")
    flag("--unknown_percentage", type=percentage, default=10.0, help="of the wanted clips")
    flag("--testing_percentage", type=number(int, 0, 100), default=10)
    flag("--validation_percentage", type=number(int, 0, 100), default=10)
    flag("--time_shift_ms", type=number(float, 0, 1000), default=100.0, help="either way")
    flag("--background_volume", type=number(float, 0, 1), default=0.1, help="at most")
    flag("--background_frequency", type=number(float, 0, 1), default=0.8, help="share of clips")


def _add_training(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    flag("--how_many_training_steps", type=numbers(int), default=[15000, 3000], metavar="N,N")
    flag("--learning_rate", type=numbers(float), default=[0.001, 0.0001], metavar="R,R")
    schedules = optimizers.SCHEDULES
    flag("--schedule", default="stages", choices=schedules, help="cosine: each rate falls to zero")
    flag("--warm_up", type=number(float, 0, 1), default=0.0, help="share of steps to the full rate")
    flag("--label_smoothing", type=number(float, 0, 0.9), default=0.0, help="share of a label")
    flag("--dropout", type=number(float, 0, 0.9), default=0.5, help="share of the last inputs")
    flag("--time_mask", type=number(float, 0, 1000), default=0.0, help="frames masked, at most")
    flag("--frequency_mask", type=number(float, 0, 1000), default=0.0, help="channels masked")
    flag(
        "--augmentation",
        default="shift",
        choices=AUGMENTATIONS,
        help="room: also speed, pitch, room, microphone and level; hard: more of it, and noise",
    )
    share = number(float, 0, 1)
    flag("--mixup", type=share, default=0.0, help="share of the clips that are mixed with another")
    flag("--batch_size", type=number(int, 1, 10000), default=100)
    flag("--optimizer", default="gradient_descent", choices=optimizers.SLOTS)
    flag("--seed", type=number(int, 0, 2**31 - 1), default=0, help="decides every random choice")
    flag(
        "--echo",
        type=number(int, 1, 100),
        default=1,
        help="uses of each augmented clip before a new one is drawn",
    )
    flag("--weight_decay", type=number(float, 0, 100), default=0.0, help="times the learning rate")
    flag("--eval_step_interval", type=number(int, 1), default=400)
    flag(
        "--early_stop",
        type=number(int, 0),
        default=0,
        help="validations in a row without a lower cross entropy that end a training; 0 = never",
    )
    flag("--save_step_interval", type=number(int, 1), default=100)
    flag("--train_dir", default="/tmp/speech_commands_train", help="checkpoints and results")
    flag("--summaries_dir", default="/tmp/retrain_logs", help="for TensorBoard")
    flag("--check_nans", type=boolean, default=False, help="without effect: always checked")
    levels = ["DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
    flag("--verbosity", type=str.upper, default="INFO", choices=levels)
