"""The last judgement on a model, whoever trained it: metrics.json and test_features.npz."""

import argparse
import functools
from pathlib import Path
from typing import Protocol

import numpy as np

from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.augmentation.augment import Background, augment
from vm_startup.speech_commands.data import batches, dataset
from vm_startup.speech_commands.evaluation import detection, stream
from vm_startup.speech_commands.evaluation.metrics import Score, by_source, write_json
from vm_startup.speech_commands.features import extract_cached
from vm_startup.speech_commands.runtime import log, progress

MOST_TEST_CLIPS = 1000  # kept for the firmware's proof: 8 MB
MOST_SOUNDS = 48  # of them, with their sound: 1.5 MB

HeldOut = dict[str, tuple[np.ndarray, dataset.Split]]  # split: (features, clips)


class Scores(Protocol):
    """A model to be judged."""

    def __call__(self, features: np.ndarray, exact: bool) -> np.ndarray:
        """How much each picture (float32 [n, size]) is each label: float32 [n, labels], 0 to 1.

        With `exact` the weights and activations stay unrounded, whatever was trained.
        """


def hold_out(flags: argparse.Namespace, settings: AudioSettings, data: dataset.Dataset) -> HeldOut:
    """The clips nobody trains on, as features."""
    splits = ("validation", "testing")
    return {name: (_features(flags, settings, data, name), data.splits[name]) for name in splits}


def write(
    folder: Path,
    flags: argparse.Namespace,
    settings: AudioSettings,
    data: dataset.Dataset,
    held_out: HeldOut,
    steps: int,
    scores: Scores,
    kept_step: int | None = None,
) -> None:
    """Score a model after so many steps of training, say how good it is, and write it down.

    `kept_step` is the step whose weights it has, if it is not the last.
    """
    features, split = held_out["testing"]

    def score(name: str, exact: bool = False) -> Score:
        answers = scores(held_out[name][0], exact).argmax(1)
        return Score.of(held_out[name][1].label, answers, len(data.labels))

    answers = scores(features, False).argmax(1)
    testing = Score.of(split.label, answers, len(data.labels))
    sources = by_source(split.label, answers, split.source, data.labels)
    metrics = {
        "labels": list(data.labels),
        "steps": steps,
        "kept_step": steps if kept_step is None else kept_step,
        "validation": score("validation").as_json(data.labels),
        "testing": testing.as_json(data.labels) | {"by_source": sources},
        "float_testing": score("testing", exact=True).as_json(data.labels),
        "stream": _overheard(flags, settings, data, scores),
    }
    write_test_features(folder / "test_features.npz", features, split)
    write_json(folder / "metrics.json", metrics)
    log.warning("Confusion Matrix:\n %s", testing.confusion)
    log.warning("Final test accuracy = %.1f%% (N=%d)", testing.accuracy * 100, testing.count)


def _overheard(
    flags: argparse.Namespace, settings: AudioSettings, data: dataset.Dataset, scores: Scores
) -> dict:
    """How the model does on a long recording made of the testing clips."""
    rng = batches.stream(flags.seed, batches.SILENCE, 1)  # 0 is that of the held-out silence
    recording = stream.compose(data.splits["testing"], data.background, rng)
    heard = detection.listen(
        recording.audio,
        settings,
        functools.partial(scores, exact=False),
        functools.partial(progress, "Listening"),
    )
    found = detection.curve(heard, recording)
    point = found["operating_point"]
    log.info(
        "Heard %.1f%% of %d words at %.1f false accepts an hour, over %.2f hours",
        *(100 - 100 * point["misses"], found["keywords"]),
        *(point["false_accepts_per_hour"], found["hours"]),
    )
    return found


def _features(
    flags: argparse.Namespace, settings: AudioSettings, data: dataset.Dataset, name: str
) -> np.ndarray:
    """A split's features, its silence filled with background as upstream fills it."""
    split = data.splits[name]
    silent = split.label == dataset.SILENCE
    audio = split.audio.copy()
    audio[silent] = augment(
        audio[silent],
        silent[silent],
        Background(data.background, settings.samples),
        batches.stream(flags.seed, batches.SILENCE),
        time_shift=0,
        volume=0,
        frequency=0,
    )
    cache = Path(flags.cache_dir) if flags.cache_dir else None
    say = functools.partial(progress, f"Features of {name} clips")
    return extract_cached(audio, settings, cache, say)


def write_test_features(path: Path, features: np.ndarray, split: dataset.Split) -> None:
    """Write model inputs and what they are, evenly picked where there are too many; atomically.

    Of a few spoken ones the sound comes along: row audio_of[i] of the features is of audio[i].
    """
    picked = _evenly(np.arange(len(split)), MOST_TEST_CLIPS)
    sounding = _evenly(np.flatnonzero(split.label[picked] != dataset.SILENCE), MOST_SOUNDS)
    unfinished = path.with_name(path.name + ".tmp")
    with unfinished.open("wb") as file:
        np.savez(
            file,
            features=features[picked],
            labels=split.label[picked].astype(np.int32),
            sources=split.source[picked].astype("<U16"),
            names=split.name[picked].astype(str),
            audio=split.audio[picked[sounding]],
            audio_of=sounding.astype(np.int32),
        )
    unfinished.replace(path)


def _evenly(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the rows, in order."""
    if len(rows) <= most:
        return rows
    return rows[np.unique(np.linspace(0, len(rows) - 1, most).astype(int))]
