"""Evaluates a trained model on held-out clips: writes metrics.json and test_features.npz."""

import argparse
import functools
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vm_startup.arrays import packed
from vm_startup.conventions import METRICS_FILE, TEST_FEATURES_FILE
from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.augmentation.augment import Background, augment
from vm_startup.speech_commands.data.dataset import SILENCE_INDEX, UNKNOWN_INDEX, Dataset, Split
from vm_startup.speech_commands.evaluation import detection, evidence, stream
from vm_startup.speech_commands.evaluation.metrics import Score, by_source
from vm_startup.speech_commands.features import extract_cached
from vm_startup.speech_commands.files import write_bytes, write_json
from vm_startup.speech_commands.progress import log, log_progress
from vm_startup.speech_commands.random_streams import SILENCE, random_stream

MAX_TEST_CLIPS = 1000  # kept for the firmware's proof: 8 MB
MAX_TEST_AUDIO = 48  # of them, with their audio: 1.5 MB

HeldOut = dict[str, tuple[np.ndarray, Split]]  # split: (features, clips)


class Scores(Protocol):
    """A trained model."""

    def __call__(self, features: np.ndarray, exact: bool) -> np.ndarray:
        """The probability of each label: float32 [n, size] → float32 [n, labels].

        With `exact` the weights and activations are not rounded, even if training rounded them.
        """


def hold_out(flags: argparse.Namespace, settings: AudioSettings, data: Dataset) -> HeldOut:
    """The validation and testing clips with their features."""
    splits = ("validation", "testing")
    return {name: (_features(flags, settings, data, name), data.splits[name]) for name in splits}


def evaluate(
    folder: Path,
    flags: argparse.Namespace,
    settings: AudioSettings,
    data: Dataset,
    held_out: HeldOut,
    scores: Scores,
    steps: int,
    kept_step: int | None = None,
    exploded_step: int | None = None,
) -> None:
    """Evaluate a model after `steps` steps of training, and write the results to `folder`.

    `kept_step` is the step of its weights, if it is not the last; `exploded_step` that of the last
    validation whose loss had exploded.
    """
    features, split = held_out["testing"]

    def score(name: str, exact: bool = False) -> Score:
        predicted = scores(held_out[name][0], exact).argmax(1)
        return Score.of(held_out[name][1].label, predicted, len(data.labels))

    predicted = scores(features, False).argmax(1)
    testing = Score.of(split.label, predicted, len(data.labels))
    sources = by_source(split.label, predicted, split.source, data.labels)
    metrics: dict[str, Any] = {
        "labels": list(data.labels),
        "steps": steps,
        "kept_step": steps if kept_step is None else kept_step,
        "exploded_step": exploded_step,
        "validation": score("validation").as_json(data.labels),
        "testing": testing.as_json(data.labels) | {"by_source": sources},
        "float_testing": score("testing", exact=True).as_json(data.labels),
        "stream": _evaluate_stream(flags, settings, data, scores),
        "voices": {facts.source: facts.voices for facts in data.facts},
    }
    write_test_features(folder / TEST_FEATURES_FILE, features, split)
    write_json(folder / METRICS_FILE, metrics)
    log.warning("Confusion Matrix:\n %s", testing.confusion)
    if chance := evidence.chance(metrics["testing"]):
        log.warning("The model is %s", chance)
    log.warning("Final test %s", testing.text(data.labels))


def _evaluate_stream(
    flags: argparse.Namespace, settings: AudioSettings, data: Dataset, scores: Scores
) -> dict:
    """The model's detections in a long recording made of the testing clips, without an operating
    point if they show none."""
    rng = random_stream(flags.seed, SILENCE, 1)  # 0 is for the held-out silence
    split = data.splits["testing"]
    recording = stream.compose(split, data.background, rng)
    scored = detection.score_recording(
        recording.audio,
        settings,
        functools.partial(scores, exact=False),
        functools.partial(log_progress, "Evaluating the stream"),
    )
    found = detection.curve(scored, recording)
    others = int((split.label == UNKNOWN_INDEX).sum())
    noises = sum(bool(noise.any()) for noise in data.background)
    missing = evidence.stream(found["keywords"], others, noises, found["hours"])
    if missing:
        log.info("Stream: not judged: %s", missing)
        return found | {"operating_point": None, "missing": missing}
    point = found["operating_point"]
    log.info(
        "Stream: miss rate %.1f%% of %d words at %.1f false accepts per hour, over %.2f hours",
        *(100 * point["miss_rate"], found["keywords"]),
        *(point["false_accepts_per_hour"], found["hours"]),
    )
    return found | {"missing": None}


def _features(
    flags: argparse.Namespace, settings: AudioSettings, data: Dataset, name: str
) -> np.ndarray:
    """A split's features; its silence is filled with background as upstream does it."""
    split = data.splits[name]
    silent = split.label == SILENCE_INDEX
    audio = np.array(split.audio)
    audio[silent] = augment(
        audio[silent],
        silent[silent],
        Background(data.background, settings.samples),
        random_stream(flags.seed, SILENCE),
        time_shift=0,
        volume=0,
        frequency=0,
    )
    cache = Path(flags.cache_dir) if flags.cache_dir else None
    count = functools.partial(log_progress, f"Features of {name} clips")
    return extract_cached(audio, settings, cache, count)


def write_test_features(path: Path, features: np.ndarray, split: Split) -> None:
    """Write model inputs with their labels, at most MAX_TEST_CLIPS evenly picked; atomically.

    Some clips that are not silence keep their audio: row audio_of[i] of the features is of
    audio[i].
    """
    picked = _evenly(np.arange(len(split)), MAX_TEST_CLIPS)
    with_audio = _evenly(np.flatnonzero(split.label[picked] != SILENCE_INDEX), MAX_TEST_AUDIO)
    content = packed(
        features=features[picked],
        labels=split.label[picked].astype(np.int32),
        sources=split.source[picked].astype("<U16"),
        names=split.name[picked].astype(str),
        groups=split.group[picked].astype(str),
        audio=split.audio[picked[with_audio]],
        audio_of=with_audio.astype(np.int32),
    )
    write_bytes(path, content)


def _evenly(rows: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of the rows, in order."""
    if len(rows) <= most:
        return rows
    return rows[np.unique(np.linspace(0, len(rows) - 1, most).astype(int))]
