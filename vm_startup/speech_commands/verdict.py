"""The last judgement on a model, whoever trained it: metrics.json and test_features.npz."""

import argparse
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from . import batches, dataset, results
from .augment import Background, augment
from .features import extract_cached
from .runtime import log, progress
from .settings import AudioSettings

HeldOut = dict[str, tuple[np.ndarray, dataset.Split]]  # split: (features, clips)


def hold_out(flags: argparse.Namespace, settings: AudioSettings, data: dataset.Dataset) -> HeldOut:
    """The clips nobody trains on, as features."""
    splits = ("validation", "testing")
    return {name: (_features(flags, settings, data, name), data.splits[name]) for name in splits}


def write(
    folder: Path,
    labels: Sequence[str],
    steps: int,
    held_out: HeldOut,
    answer: Callable[[str, bool], np.ndarray],
) -> None:
    """Score a model after so many steps of training, say how good it is, and write it down.

    `answer(split, exact)` gives the model's label (int64) for each clip of a split; with `exact`
    its weights and activations stay unrounded, whatever was trained.
    """
    features, split = held_out["testing"]

    def score(name: str, exact: bool = False) -> results.Score:
        return results.Score.of(held_out[name][1].label, answer(name, exact), len(labels))

    testing = score("testing")
    log.warning("Confusion Matrix:\n %s", testing.confusion)
    log.warning("Final test accuracy = %.1f%% (N=%d)", testing.accuracy * 100, testing.count)
    answers = answer("testing", False)
    sources = results.by_source(split.label, answers, split.source, len(labels))
    metrics = {
        "labels": list(labels),
        "steps": steps,
        "validation": score("validation").as_json(),
        "testing": testing.as_json() | {"by_source": sources},
        "float_testing": score("testing", exact=True).as_json(),
    }
    results.write_test_features(
        folder / "test_features.npz", features, split.label, split.source, split.name
    )
    results.write_json(folder / "metrics.json", metrics)


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
