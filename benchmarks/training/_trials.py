"""Shared by the accuracy benchmarks: recordings in memory, a trained model, its score."""

import functools
import math
import os
import statistics
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

WANTED = ("yes", "no")
FLAGS = (
    "--wanted_words=yes,no",
    *("--preprocess=micro", "--window_stride=20", "--quantize=1"),
    *("--silence_percentage=25", "--unknown_percentage=25"),
    *("--eval_step_interval=1000000", "--save_step_interval=1000000", "--verbosity=ERROR"),
)


@dataclass(frozen=True)
class Score:
    """Of one model, in percent. Silence is digital zero, as upstream's."""

    all: float  # wanted words, a quarter as many unknown words, a quarter as many silences
    wanted: float  # wanted words that are recognised
    false: float  # other words that are classified as wanted ones


@functools.cache
def recordings(folder: Path):
    """Every clip of a folder as a dataset.Split, its speakers, and the folder's noises."""
    from vm_startup.speech_commands.data import dataset
    from vm_startup.speech_commands.data import folder as folders

    source = folders.FolderSource(folder)
    clips = source.clips()
    with source.reader() as read:
        audio = np.concatenate([piece for block in source.blocks() for piece in read(block)])
    split = dataset.Split(
        audio=audio,
        label=np.array([_label(clip.word) for clip in clips], np.int32),
        source=np.array([clip.source for clip in clips]),
        name=np.array([clip.name for clip in clips]),
    )
    return split, np.array([clip.speaker for clip in clips]), source.background()


def recipe(network: str, synthetic_only: bool = False) -> list[str]:
    """The flags that the launcher trains a network with by default."""
    from launcher.config.settings import RECIPES, SYNTHETIC_ONLY
    from launcher.jobs.plan import as_arguments

    return as_arguments(RECIPES[network] | (SYNTHETIC_ONLY if synthetic_only else {}))


def parsed(*given: str):
    """The trainer's flags: the network's recipe, and what is given."""
    from vm_startup.speech_commands import flags as command_line

    parse = command_line.trainer().parse_args
    flags = parse([*FLAGS, *given])
    synthetic_only = flags.synthetic_clips and not (flags.data_dir or flags.data_url)
    return parse([*recipe(flags.model_architecture, synthetic_only), *FLAGS, *given])


def trained(data, *more: str):
    """A trainer after all steps on the data's training split."""
    import tensorflow as tf

    from vm_startup.speech_commands import flags as command_line
    from vm_startup.speech_commands import runtime, train

    with tempfile.TemporaryDirectory() as place:
        folders = f"--train_dir={place}", f"--summaries_dir={place}/logs", f"--cache_dir={place}"
        flags = parsed(*folders, *more)
        command_line.check_training(flags)
        runtime.log_to_stdout(flags.verbosity)
        runtime.make_repeatable()
        tf.get_logger().setLevel("ERROR")  # each model needs its own graph
        trainer = train.Trainer(flags, command_line.audio_settings(flags), data)
        trainer.train(Path(place))
    return trainer


def score(trainer, split) -> Score:
    """The score of a model on recordings; unknown words are weighted."""
    from vm_startup.speech_commands import features
    from vm_startup.speech_commands.data import dataset

    def predict(audio: np.ndarray) -> np.ndarray:
        found = features.extract(np.asarray(audio), trainer.settings)
        return trainer.scores(found, False).argmax(1)

    predicted, wanted = predict(split.audio), split.label >= dataset.FIRST_WORD_INDEX
    correct = predicted == split.label
    (silence,) = predict(np.zeros((1, split.audio.shape[1]), np.int16)) == dataset.SILENCE_INDEX
    parts = correct[wanted].mean() + 0.25 * correct[~wanted].mean() + 0.25 * silence
    false = (predicted[~wanted] >= dataset.FIRST_WORD_INDEX).mean()
    return Score(100 * parts / 1.5, 100 * correct[wanted].mean(), 100 * false)


def mean(scores: list[Score]) -> str:
    """The mean of several models' scores, each with its 95 % half-width."""

    def one(values: list[float]) -> str:
        middle = statistics.fmean(values)
        if len(values) == 1:
            return f"{middle:.1f}"
        return f"{middle:.1f} ± {1.96 * statistics.stdev(values) / math.sqrt(len(values)):.1f}"

    columns = {
        field.name: [getattr(each, field.name) for each in scores] for field in fields(Score)
    }
    return ", ".join(f"{name} {one(values)}" for name, values in columns.items())


def seeds(default: int) -> range:
    """As many seeds as SEEDS says; fewer than the default take less time and are less certain."""
    return range(int(os.environ.get("SEEDS", default)))


def _label(word: str) -> int:
    from vm_startup.speech_commands.data import dataset

    is_wanted = word in WANTED
    return dataset.FIRST_WORD_INDEX + WANTED.index(word) if is_wanted else dataset.UNKNOWN_INDEX
