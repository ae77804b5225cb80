import math

import numpy as np
import pytest

from vm_startup.speech_commands.evaluation import intervals, metrics

LABELS = ["_silence_", "_unknown_", "yes", "no"]


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [  # R. G. Newcombe, Two-sided confidence intervals for the single proportion, 1998, table I
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_equals_published_values(successes, trials, low, high):
    """Wilson's interval agrees with a published table to its last digit."""
    assert intervals.wilson(successes, trials) == pytest.approx([low, high], abs=5e-5)


@pytest.mark.parametrize("trials", [1, 2, 7, 100, 12_345])
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.77, 1])
def test_wilson_interval_contains_the_share(share, trials):
    """It is within 0 and 1, contains the observed share, and is mirrored for failures."""
    successes = round(share * trials)
    low, high = intervals.wilson(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    mirrored = intervals.wilson(trials - successes, trials)
    assert mirrored == pytest.approx([1 - high, 1 - low], abs=1e-9)


def test_wilson_interval_without_trials():
    """Without trials the interval is [0, 1]."""
    assert intervals.wilson(0, 0) == [0, 1]


@pytest.mark.parametrize(
    ("events", "low", "high"),  # exact, by the chi-squared distribution
    [(0, 0, 3.689), (1, 0.0253, 5.572), (5, 1.623, 11.668), (100, 81.36, 121.63)],
)
def test_poisson_interval_is_close_to_the_exact_one(events, low, high):
    """Byar's bounds are within about a hundredth of the exact ones, and shrink with time."""
    found = intervals.poisson(events, 1.0)
    assert found == pytest.approx([low, high], rel=0.012, abs=0.03)
    assert intervals.poisson(events, 2.0) == [bound / 2 for bound in found]


def test_score_has_precision_and_recall_of_each_word():
    """Precision is of the predictions, recall of the clips, with the counts beside them."""
    truth = np.array([0, 1, 1, 1, 1, 2, 2, 2, 2, 3])
    predicted = np.array([0, 2, 1, 1, 1, 2, 2, 2, 1, 2])
    found = metrics.Score.of(truth, predicted, 4).as_json(LABELS)
    assert (found["accuracy"], found["count"]) == (7 / 10, 10)
    assert found["interval"] == intervals.wilson(7, 10)
    assert found["chance"] == 4 / 10
    assert found["words"]["yes"] == {
        "clips": 4,
        "predicted": 5,
        "correct": 3,
        "precision": 3 / 5,
        "recall": 3 / 4,
    }
    assert found["words"]["no"]["precision"] is None  # never answered
    assert found["words"]["no"]["recall"] == 0
    assert found["confusion"][2] == [0, 1, 3, 0]


@pytest.mark.parametrize("clips", [1, 2, 5, 40, 500])
def test_word_counts_sum_to_the_score(clips):
    """Clips and predictions of all words sum to all clips, and the correct ones to the accuracy."""
    truth, predicted = np.random.default_rng(clips).integers(0, 4, (2, clips))
    score = metrics.Score.of(truth, predicted, 4)
    found = score.as_json(LABELS)
    words = found["words"].values()
    assert sum(word["clips"] for word in words) == found["count"] == clips
    assert sum(word["predicted"] for word in words) == clips
    assert math.isclose(sum(word["correct"] for word in words) / clips, score.accuracy)


def test_score_without_clips():
    """Without clips every share is undefined."""
    found = metrics.Score.of(np.zeros(0, int), np.zeros(0, int), 4).as_json(LABELS)
    assert (found["accuracy"], found["count"], found["interval"]) == (None, 0, None)
    assert all(word["recall"] is None for word in found["words"].values())
