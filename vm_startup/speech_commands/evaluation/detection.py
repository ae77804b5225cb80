"""Detections in a long recording: the miss rate against false accepts per hour.

The model scores the last second ten times a second. Scores become detections as micro_speech does
it on a chip (TensorFlow Lite Micro's examples/micro_speech/recognize_commands.cc, with its
averaging window and its suppression). A detection is correct up to upstream's tolerance
(test_streaming_accuracy.py) after the word's clip.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from vm_startup.conventions import CLIP_SAMPLES, SAMPLE_RATE
from vm_startup.speech_commands import features
from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.data.dataset import FIRST_WORD_INDEX
from vm_startup.speech_commands.evaluation import intervals
from vm_startup.speech_commands.evaluation.evidence import MAX_FALSE_ACCEPTS_PER_HOUR
from vm_startup.speech_commands.evaluation.stream import Stream
from vm_startup.speech_commands.progress import Count

HOP = 0.1  # seconds from one scored window to the next
AVERAGE = 1.0  # seconds of scores that are averaged
SUPPRESSION = 1.5  # seconds in which the same word is not detected again
TOLERANCE = 0.75  # seconds
THRESHOLDS = np.arange(1, 51) / 50
BATCH = 2000  # windows scored together: 16 MB of features


@dataclass(frozen=True)
class AveragedScores:
    """The averaged scores of a recording's windows."""

    time: np.ndarray  # float64 [n]: seconds at the end of the window
    top: np.ndarray  # int64 [n]: the label with the highest score
    score: np.ndarray  # float64 [n]: its score, 0 to 1


def score_recording(
    audio: np.ndarray,
    settings: AudioSettings,
    scores: Callable[[np.ndarray], np.ndarray],
    progress: Count,
) -> AveragedScores:
    """Score every window of int16 [samples] with `scores`: float32 [n, size] → [n, labels].

    Each window is its own clip, as on the chip: the front end's noise estimate starts again.
    `progress` is called as progress(done, total).
    """
    hop = round(HOP * settings.sample_rate)
    windows = sliding_window_view(audio, settings.samples)[::hop]
    found = []
    for start in range(0, len(windows), BATCH):
        some = windows[start : start + BATCH]
        found.append(scores(features.extract(some, settings)))
        progress(start + len(some), len(windows))
    ends = np.arange(len(windows)) * hop + settings.samples
    return average(np.concatenate(found), ends / settings.sample_rate)


def average(scores: np.ndarray, time: np.ndarray) -> AveragedScores:
    """The mean of the scores (float [n, labels]) over AVERAGE seconds up to each time."""
    sums = np.concatenate([np.zeros((1, scores.shape[1])), np.cumsum(scores, 0, np.float64)])
    first = np.searchsorted(time, time - AVERAGE + 1e-9)
    end = np.arange(1, len(time) + 1)
    mean = (sums[end] - sums[first]) / (end - first)[:, np.newaxis]
    return AveragedScores(time, mean.argmax(1), mean.max(1).clip(0, 1))


def detections(scores: AveragedScores, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """The detections of wanted words: seconds [n], labels [n].

    A label counts if it differs from the last one, or if that one is older than SUPPRESSION.
    Silence and unknown words are not detections but replace the last label.
    """
    found, last, since = [], -1, -np.inf
    for index in np.flatnonzero(scores.score > threshold):
        label, time = scores.top[index], scores.time[index]
        if label != last or time - since > SUPPRESSION:
            last, since = label, time
            if label >= FIRST_WORD_INDEX:
                found.append(index)
    return scores.time[found], scores.top[found]


def count_errors(
    time: np.ndarray, label: np.ndarray, onset: np.ndarray, truth: np.ndarray
) -> tuple[int, int]:
    """The number of missed words and of false accepts.

    Detections have a `time` in seconds and a `label`. Words have an `onset` in seconds, ascending,
    and a label `truth`. A second detection of one word is a false accept.
    """
    word = np.searchsorted(onset, time, "right") - 1
    known = word >= 0
    word, time, label = word[known], time[known], label[known]
    correct = (truth[word] == label) & (time <= onset[word] + 1 + TOLERANCE)
    detected = len(np.unique(word[correct]))
    return len(truth) - detected, len(known) - detected


def curve(scores: AveragedScores, stream: Stream) -> dict:
    """The value of `stream` in metrics.json: the curve and the operating point.

    That is the point with the lowest miss rate at no more than MAX_FALSE_ACCEPTS_PER_HOUR.
    """
    hours, onset = len(stream.audio) / SAMPLE_RATE / 3600, stream.onset / CLIP_SAMPLES
    points: list[dict] = []
    for threshold in THRESHOLDS:
        missed, accepted = count_errors(*detections(scores, threshold), onset, stream.label)
        points.append(
            {
                "threshold": float(threshold),
                "missed": missed,
                "miss_rate": missed / len(onset),
                "false_accepts": accepted,
                "false_accepts_per_hour": accepted / hours,
            }
        )
    allowed = [p for p in points if p["false_accepts_per_hour"] <= MAX_FALSE_ACCEPTS_PER_HOUR]
    best = min(allowed, key=lambda point: (point["missed"], -point["threshold"]))
    return {
        "hours": hours,
        "keywords": len(onset),
        "other_words": stream.others,
        "seconds": {"average": AVERAGE, "suppression": SUPPRESSION, "tolerance": TOLERANCE},
        "curve": points,
        "operating_point": best
        | {
            "miss_rate_interval": intervals.wilson(best["missed"], len(onset)),
            "false_accepts_per_hour_interval": intervals.poisson(best["false_accepts"], hours),
        },
    }
