"""What a model hears in a long recording: misses against false accepts per hour.

A model is asked ten times a second about the second just over, and its scores are turned into
detections as micro_speech does on a chip (TensorFlow Lite Micro's
examples/micro_speech/recognize_commands.cc, with its averaging window and its suppression). A
detection is right up to upstream's tolerance (test_streaming_accuracy.py) after the word's second.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from vm_startup.speech_commands import features
from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.data import dataset
from vm_startup.speech_commands.data.clip import SAMPLES
from vm_startup.speech_commands.evaluation import intervals
from vm_startup.speech_commands.evaluation.stream import Stream
from vm_startup.speech_commands.runtime import Pace

HOP = 0.1  # seconds between two questions
AVERAGE = 1.0  # seconds of answers that are averaged
SUPPRESSION = 1.5  # seconds for which the same word is not detected again
TOLERANCE = 0.75  # seconds
THRESHOLDS = np.arange(1, 51) / 50
# False accepts per hour at the operating point. Speech or noise is never more than three seconds
# away here: an hour holds as much of them as a day in most rooms.
BEARABLE = 10.0
WINDOWS = 2000  # asked about together: 16 MB of features


@dataclass(frozen=True)
class Heard:
    """The averaged answers to a recording, one for each question."""

    time: np.ndarray  # float64 [n]: seconds at the end of what was asked about
    top: np.ndarray  # int64 [n]: the label that scores highest
    score: np.ndarray  # float64 [n]: its score, 0 to 1


def listen(
    audio: np.ndarray,
    settings: AudioSettings,
    scores: Callable[[np.ndarray], np.ndarray],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Heard:
    """Ask `scores` (float32 [n, size] → [n, labels]) about a recording, int16 [samples].

    Each second is a clip of its own, as on the chip: the front end's noise estimate begins anew.
    """
    hop = round(HOP * settings.sample_rate)
    seconds = sliding_window_view(audio, settings.samples)[::hop]
    answers, is_time = [], Pace(0.5)
    for start in range(0, len(seconds), WINDOWS):
        some = seconds[start : start + WINDOWS]
        answers.append(scores(features.extract(some, settings)))
        done = start + len(some)
        if done == len(seconds) or is_time():
            progress(done, len(seconds))
    ends = np.arange(len(seconds)) * hop + settings.samples
    return averaged(np.concatenate(answers), ends / settings.sample_rate)


def averaged(answers: np.ndarray, time: np.ndarray) -> Heard:
    """The mean of the answers (float [n, labels]) over AVERAGE seconds up to each time."""
    sums = np.concatenate([np.zeros((1, answers.shape[1])), np.cumsum(answers, 0, np.float64)])
    first = np.searchsorted(time, time - AVERAGE + 1e-9)
    upto = np.arange(1, len(time) + 1)
    mean = (sums[upto] - sums[first]) / (upto - first)[:, np.newaxis]
    return Heard(time, mean.argmax(1), mean.max(1).clip(0, 1))


def detections(heard: Heard, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """When which wanted words are detected: seconds [n], labels [n].

    A label is news where it is not the last one, or the last one is long ago; silence and unknown
    words are news to nobody but do away with the last one.
    """
    news, last, since = [], -1, -np.inf
    for index in np.flatnonzero(heard.score > threshold):
        label, time = heard.top[index], heard.time[index]
        if label != last or time - since > SUPPRESSION:
            last, since = label, time
            if label >= dataset.FIRST_WORD:
                news.append(index)
    return heard.time[news], heard.top[news]


def count(
    time: np.ndarray, label: np.ndarray, onset: np.ndarray, truth: np.ndarray
) -> tuple[int, int]:
    """Words missed and false accepts, of detections (seconds, labels) and words (onsets in
    seconds, ascending; labels). A word that is detected again is a false accept."""
    word = np.searchsorted(onset, time, "right") - 1
    known = word >= 0
    word, time, label = word[known], time[known], label[known]
    right = (truth[word] == label) & (time <= onset[word] + 1 + TOLERANCE)
    heard = len(np.unique(word[right]))
    return len(truth) - heard, len(known) - heard


def curve(heard: Heard, stream: Stream) -> dict:
    """What metrics.json says of a recording: the curve, and the point to work at: the fewest
    misses at no more than BEARABLE false accepts per hour."""
    hours, onset = len(stream.audio) / SAMPLES / 3600, stream.onset / SAMPLES
    points = []
    for threshold in THRESHOLDS:
        missed, accepted = count(*detections(heard, threshold), onset, stream.label)
        points.append(_point(float(threshold), missed, accepted, len(onset), hours))
    bearable = [point for point in points if point["false_accepts_per_hour"] <= BEARABLE]
    best = min(bearable, key=lambda point: (point["missed"], -point["threshold"]))
    return {
        "hours": hours,
        "keywords": len(onset),
        "other_words": stream.others,
        "seconds": {"average": AVERAGE, "suppression": SUPPRESSION, "tolerance": TOLERANCE},
        "curve": points,
        "operating_point": best
        | {
            "misses_interval": intervals.wilson(best["missed"], len(onset)),
            "false_accepts_interval": intervals.poisson(best["false_accepts"], hours),
        },
    }


def _point(threshold: float, missed: int, accepted: int, words: int, hours: float) -> dict:
    return {
        "threshold": threshold,
        "missed": missed,
        "misses": missed / words,
        "false_accepts": accepted,
        "false_accepts_per_hour": accepted / hours,
    }
