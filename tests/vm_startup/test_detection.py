import numpy as np
import pytest

from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.data.clip import SAMPLES as SECOND
from vm_startup.speech_commands.evaluation import detection, stream
from vm_startup.speech_commands.features import extract

SETTINGS = AudioSettings(preprocess="micro", window_stride_ms=20)
YES, NO = 2, 3
SILENT, OTHER, SAID_YES, SAID_NO = np.eye(4)


def recording(onsets, labels, seconds):
    """A recording of so many seconds with words at these seconds, and no sound in it."""
    audio = np.zeros(int(seconds * SECOND), np.int16)
    onset = (np.array(onsets, float) * SECOND).astype(np.int64)
    return stream.Stream(audio, onset, np.array(labels, np.int32), others=0)


def heard(seconds, *said):
    """Answers ten times a second: silence but for (from, until, answer) in seconds."""
    time = np.arange(1, seconds * 10 + 1) / 10
    answers = np.tile(SILENT, (len(time), 1))
    for since, until, answer in said:
        answers[(time > since - 1e-9) & (time < until - 1e-9)] = answer
    return detection.averaged(answers, time)


WORDS = recording([10, 20, 30], [YES, NO, YES], 3600)


def test_a_perfect_model_misses_nothing():
    """Every word is heard in time and nothing else is, so the working point is without fault."""
    perfect = heard(3600, (10.6, 11.6, SAID_YES), (20.6, 21.6, SAID_NO), (30.6, 31.6, SAID_YES))
    found = detection.curve(perfect, WORDS)
    point = found["operating_point"]
    assert (point["misses"], point["false_accepts_per_hour"]) == (0, 0)
    assert point["misses_interval"] == pytest.approx([0, 0.5615], abs=1e-4)
    assert point["false_accepts_interval"] == pytest.approx([0, 3.689], rel=0.01)
    assert (found["hours"], found["keywords"]) == (1, 3)


def test_a_deaf_model_misses_everything():
    """It never accepts anything, at any threshold."""
    found = detection.curve(heard(3600), WORDS)
    assert {point["misses"] for point in found["curve"]} == {1}
    assert {point["false_accepts"] for point in found["curve"]} == {0}
    assert found["operating_point"]["misses"] == 1


def test_a_model_that_always_shouts_is_useless():
    """It hears the words that it shouts, and one more every one and a half seconds; only a
    threshold that it cannot exceed is bearable, and there it misses all."""
    found = detection.curve(heard(3600, (0, 3600, SAID_YES)), WORDS)
    loud = found["curve"][0]
    assert loud["missed"] == 1  # the "no"
    assert 3600 / 1.7 < loud["false_accepts"] < 3600 / 1.5
    assert found["operating_point"]["threshold"] == 1
    assert found["operating_point"]["misses"] == 1


def test_a_word_that_is_detected_twice_is_a_false_accept():
    """A light that is switched twice is as it was: only the first detection is right."""
    time, label = np.array([11.0, 11.7, 21.0]), np.array([YES, YES, NO])
    assert detection.count(time, label, np.array([10.0, 20.0]), np.array([YES, NO])) == (0, 1)


@pytest.mark.parametrize(
    ("time", "label", "counted"),
    [
        (9.9, YES, (1, 1)),  # before the word
        (10.0, YES, (0, 0)),
        (11.75, YES, (0, 0)),
        (11.8, YES, (1, 1)),  # too late
        (11.0, NO, (1, 1)),  # another word
    ],
)
def test_a_detection_counts_within_the_words_time(time, label, counted):
    """From the clip's first sample to three quarters of a second after its last."""
    one = np.array([time]), np.array([label])
    assert detection.count(*one, np.array([10.0]), np.array([YES])) == counted


def test_the_same_word_is_news_only_after_a_while():
    """A label that goes on is told again after the suppression time, another one at once."""
    time, label = detection.detections(heard(10, (2, 6, SAID_YES), (6, 9, SAID_NO)), 0.4)
    assert label.tolist() == [YES, YES, YES, NO, NO]
    assert np.diff(time) == pytest.approx([1.6, 1.6, 0.8, 1.6], abs=1e-6)


def test_another_label_between_two_words_makes_the_second_one_news():
    """As on the chip, silence that is sure enough does away with the last word."""
    flicker = heard(6, (2, 3, SAID_YES), (3.8, 4.5, SAID_YES))
    assert detection.detections(flicker, 0.55)[0] == pytest.approx([2.5, 4.3])


def test_answers_are_averaged_over_a_second():
    """The mean is of the last ten answers, or of as many as there are."""
    found = heard(5, (2, 2.5, SAID_YES))
    assert found.score[found.top == YES].size == 0  # 5 of 10: silence comes first in a tie
    assert found.score.min() == pytest.approx(0.5)
    longer = heard(5, (2, 2.8, SAID_YES))
    assert longer.score[longer.top == YES].max() == pytest.approx(0.8)


@pytest.mark.parametrize("seed", range(5))
def test_more_caution_accepts_less(seed):
    """What a threshold of 0 to 1 lets through lies between everything and nothing, and what is
    heard and what is missed are all the words."""
    rng = np.random.default_rng(seed)
    answers = rng.dirichlet([1, 1, 1, 1], 3000) ** 0.2
    answers /= answers.sum(1, keepdims=True)
    random = detection.averaged(answers, np.arange(1, 3001) / 10)
    onsets = np.arange(5, 290, 5)
    found = detection.curve(random, recording(onsets, rng.integers(2, 4, len(onsets)), 300))
    heard_at = [(p["missed"], p["false_accepts"]) for p in found["curve"]]
    assert heard_at[-1] == (len(onsets), 0)
    assert all(0 <= missed <= len(onsets) and accepted >= 0 for missed, accepted in heard_at)
    assert found["operating_point"]["false_accepts_per_hour"] <= 10


def test_a_model_is_asked_about_each_second_ten_times_a_second():
    """Every second is asked about once, in order, as a clip of its own, and progress is told to
    the end."""
    audio = np.random.default_rng(0).integers(-9000, 9000, 5 * SECOND).astype(np.int16)
    asked, told = [], []

    def scores(features):
        asked.append(features)
        return np.tile(SAID_NO, (len(features), 1))

    found = detection.listen(audio, SETTINGS, scores, lambda *step: told.append(step))
    pictures = np.concatenate(asked)
    assert pictures.dtype == np.float32
    for index in (0, 1, len(pictures) - 1):
        second = audio[np.newaxis, 1600 * index : 1600 * index + SECOND]
        assert np.array_equal(pictures[index], extract(second, SETTINGS)[0])
    assert told[-1] == (len(pictures), len(pictures))
    assert found.time[0] == 1
    assert np.diff(found.time) == pytest.approx(0.1)
    assert found.time[-1] == pytest.approx(5)
    assert set(found.top) == {NO}
