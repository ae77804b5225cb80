"""What held-out clips can show, and what is said where they cannot."""

import re

import numpy as np
import pytest

from vm_startup.speech_commands.evaluation import evidence, intervals
from vm_startup.speech_commands.evaluation.metrics import Score

LABELS = ["_silence_", "_unknown_", "yes", "no"]
NO_OTHERS = (
    "no other words to judge by: add a folder of other words, --data_url or --synthetic_clips, "
    "or raise --unknown_percentage"
)


def score(others, right=None):
    """The score of a model on clips: 5 of silence, `others`, and 10 of each word."""
    clips = [5, others, 10, 10]
    right = clips if right is None else right
    confusion = np.diag(right) + np.roll(np.diag(np.subtract(clips, right)), 1, 1)
    return Score(confusion)


def test_accuracy_without_other_words_is_missing():
    """Right on each wanted word and on silence, a model has no accuracy and no precision, but a
    reason; its counts and recalls stay."""
    found = score(0).as_json(LABELS)
    assert (found["accuracy"], found["interval"], found["missing"]) == (None, None, NO_OTHERS)
    assert found["words"]["yes"] == {
        "clips": 10,
        "predicted": 10,
        "correct": 10,
        "precision": None,
        "recall": 1.0,
    }
    assert found["count"] == 25
    assert score(0).text(LABELS) == f"accuracy is not judged: {NO_OTHERS}"


@pytest.mark.parametrize(("others", "judged"), [(1, False), (3, False), (4, True), (40, True)])
def test_few_other_words_are_counted(others, judged):
    """Up to three other words show nothing: a coin may be right on all of them."""
    found = score(others).as_json(LABELS)
    assert (found["accuracy"] is not None) == judged == (intervals.wilson(others, others)[0] > 0.5)
    if not judged:
        assert found["missing"].startswith(f"{others} clip") and "too few" in found["missing"]


def test_labels_without_unknown_words_have_an_accuracy():
    """A foreign model that has no label for other words is right or wrong on its own labels."""
    found = Score(np.diag([3, 4])).as_json(["left", "right"])
    assert (found["accuracy"], found["missing"]) == (1.0, None)


@pytest.mark.parametrize(
    ("made_of", "says"),
    [
        ((200, 0, 3, 1.0), NO_OTHERS),
        ((200, 3, 3, 1.0), "3 clips of other words, too few"),
        ((200, 50, 0, 1.0), "no noise to judge by: add a folder _background_noise_"),
        ((3, 50, 3, 1.0), "3 clips of wanted words, too few"),
        ((15, 50, 3, 0.0625), "0.062 h are too few .* there may be 59 per hour"),
        ((15, 50, 3, 0.366), "0.37 h are too few"),
    ],
)
def test_stream_that_shows_nothing_has_a_reason(made_of, says):
    """Without other words, noise, words or time, a recording shows no operating point."""
    assert re.match(says, evidence.stream(*made_of))


def test_stream_is_judged_from_the_first_hour_that_can_show_its_bound():
    """Without a false accept in it, the rate is below that of the operating point."""
    assert evidence.stream(90, 4, 1, 0.367) is None
    assert intervals.poisson(0, 0.367)[1] <= evidence.MAX_FALSE_ACCEPTS_PER_HOUR
    assert intervals.poisson(0, 0.366)[1] > evidence.MAX_FALSE_ACCEPTS_PER_HOUR


@pytest.mark.parametrize(
    ("others", "right", "says"),
    [
        (10, [5, 10, 10, 10], None),
        (10, [0, 0, 10, 0], "no better than chance, as far as 35 clips show: one label"),
        (10, [2, 1, 6, 6], "one label for all of them is correct on 28.6%"),
        (10, [5, 5, 6, 6], None),
        (0, [0, 0, 10, 0], None),  # not judged at all
    ],
)
def test_score_no_better_than_chance_is_said(others, right, says):
    """A score whose interval holds that of always giving the most frequent label is named."""
    found = evidence.chance(score(others, right).as_json(LABELS))
    assert (found is None) if says is None else (says in found)
