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
def test_a_shares_interval_is_the_published_one(successes, trials, low, high):
    """Wilson's interval agrees with a published table to its last digit."""
    assert intervals.wilson(successes, trials) == pytest.approx([low, high], abs=5e-5)


@pytest.mark.parametrize("trials", [1, 2, 7, 100, 12_345])
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.77, 1])
def test_a_shares_interval_holds_the_share(share, trials):
    """It lies within 0 and 1, around what was found, and mirrors when failures are counted."""
    successes = round(share * trials)
    low, high = intervals.wilson(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    mirrored = intervals.wilson(trials - successes, trials)
    assert mirrored == pytest.approx([1 - high, 1 - low], abs=1e-9)


def test_what_was_never_tried_may_be_anything():
    """Without a trial the interval is everything."""
    assert intervals.wilson(0, 0) == [0, 1]


@pytest.mark.parametrize(
    ("events", "low", "high"),  # exact, by the chi-squared distribution
    [(0, 0, 3.689), (1, 0.0253, 5.572), (5, 1.623, 11.668), (100, 81.36, 121.63)],
)
def test_a_rates_interval_is_close_to_the_exact_one(events, low, high):
    """Byar's bounds are within a hundredth or so of the exact ones, and shrink with time."""
    found = intervals.poisson(events, 1.0)
    assert found == pytest.approx([low, high], rel=0.012, abs=0.03)
    assert intervals.poisson(events, 2.0) == [bound / 2 for bound in found]


def test_a_score_tells_each_words_precision_and_recall():
    """Precision is of the answers, recall of the clips, with the counts beside them."""
    truth = np.array([0, 1, 1, 2, 2, 2, 2, 3])
    answers = np.array([0, 2, 1, 2, 2, 2, 1, 2])
    found = metrics.Score.of(truth, answers, 4).as_json(LABELS)
    assert (found["accuracy"], found["count"]) == (5 / 8, 8)
    assert found["interval"] == intervals.wilson(5, 8)
    assert found["words"]["yes"] == {
        "clips": 4,
        "answers": 5,
        "right": 3,
        "precision": 3 / 5,
        "recall": 3 / 4,
    }
    assert found["words"]["no"]["precision"] is None  # never answered
    assert found["words"]["no"]["recall"] == 0
    assert found["confusion"][2] == [0, 1, 3, 0]


@pytest.mark.parametrize("clips", [1, 2, 5, 40, 500])
def test_words_add_up_to_the_score(clips):
    """Clips and answers of all words are all clips, and right ones make up the accuracy."""
    truth, answers = np.random.default_rng(clips).integers(0, 4, (2, clips))
    found = metrics.Score.of(truth, answers, 4).as_json(LABELS)
    words = found["words"].values()
    assert sum(word["clips"] for word in words) == found["count"] == clips
    assert sum(word["answers"] for word in words) == clips
    assert math.isclose(sum(word["right"] for word in words) / clips, found["accuracy"])


def test_no_clips_have_no_score():
    """Without a clip nothing is undefined but what divides by nothing."""
    found = metrics.Score.of(np.zeros(0, int), np.zeros(0, int), 4).as_json(LABELS)
    assert (found["accuracy"], found["count"], found["interval"]) == (0, 0, [0, 1])
    assert all(word["recall"] is None for word in found["words"].values())
