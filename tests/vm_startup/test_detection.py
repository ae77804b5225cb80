import numpy as np
import pytest

from vm_startup.conventions import SAMPLE_RATE as SECOND
from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.evaluation import detection, stream
from vm_startup.speech_commands.features import extract

SETTINGS = AudioSettings(preprocess="micro", window_stride_ms=20)
YES, NO = 2, 3
SILENCE, UNKNOWN, IS_YES, IS_NO = np.eye(4)


def recording(onsets, labels, seconds):
    """A silent recording with words at these seconds."""
    audio = np.zeros(int(seconds * SECOND), np.int16)
    onset = (np.array(onsets, float) * SECOND).astype(np.int64)
    return stream.Stream(audio, onset, np.array(labels, np.int32), others=0)


def scored(seconds, *events):
    """Scores ten times a second: silence except for (from, until, scores) in seconds."""
    time = np.arange(1, seconds * 10 + 1) / 10
    scores = np.tile(SILENCE, (len(time), 1))
    for since, until, score in events:
        scores[(time > since - 1e-9) & (time < until - 1e-9)] = score
    return detection.average(scores, time)


WORDS = recording([10, 20, 30], [YES, NO, YES], 3600)


def test_perfect_model_has_no_errors():
    """The operating point has a miss rate of 0 and no false accepts if each word is detected once
    in time."""
    perfect = scored(3600, (10.6, 11.6, IS_YES), (20.6, 21.6, IS_NO), (30.6, 31.6, IS_YES))
    found = detection.curve(perfect, WORDS)
    point = found["operating_point"]
    assert (point["miss_rate"], point["false_accepts_per_hour"]) == (0, 0)
    assert point["miss_rate_interval"] == pytest.approx([0, 0.5615], abs=1e-4)
    assert point["false_accepts_per_hour_interval"] == pytest.approx([0, 3.689], rel=0.01)
    assert (found["hours"], found["keywords"]) == (1, 3)


def test_model_without_detections_misses_everything():
    """It has a miss rate of 1 and no false accepts at every threshold."""
    found = detection.curve(scored(3600), WORDS)
    assert {point["miss_rate"] for point in found["curve"]} == {1}
    assert {point["false_accepts"] for point in found["curve"]} == {0}
    assert found["operating_point"]["miss_rate"] == 1


def test_model_that_always_detects_has_a_miss_rate_of_1():
    """Only a threshold that it cannot exceed keeps false accepts within the limit, and there it
    misses all."""
    found = detection.curve(scored(3600, (0, 3600, IS_YES)), WORDS)
    loud = found["curve"][0]
    assert loud["missed"] == 1  # the "no"
    assert 3600 / 1.7 < loud["false_accepts"] < 3600 / 1.5
    assert found["operating_point"]["threshold"] == 1
    assert found["operating_point"]["miss_rate"] == 1


def test_second_detection_of_a_word_is_a_false_accept():
    """Only the first detection of a word is correct."""
    time, label = np.array([11.0, 11.7, 21.0]), np.array([YES, YES, NO])
    assert detection.count_errors(time, label, np.array([10.0, 20.0]), np.array([YES, NO])) == (
        0,
        1,
    )


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
def test_detection_is_correct_within_the_tolerance(time, label, counted):
    """It is correct from the clip's first sample to three quarters of a second after its last."""
    one = np.array([time]), np.array([label])
    assert detection.count_errors(*one, np.array([10.0]), np.array([YES])) == counted


def test_same_word_is_detected_again_after_suppression():
    """A lasting label is detected again after the suppression time, another one at once."""
    time, label = detection.detections(scored(10, (2, 6, IS_YES), (6, 9, IS_NO)), 0.4)
    assert label.tolist() == [YES, YES, YES, NO, NO]
    assert np.diff(time) == pytest.approx([1.6, 1.6, 0.8, 1.6], abs=1e-6)


def test_silence_between_two_words_ends_suppression():
    """As on the chip, silence above the threshold replaces the last label."""
    flicker = scored(6, (2, 3, IS_YES), (3.8, 4.5, IS_YES))
    assert detection.detections(flicker, 0.55)[0] == pytest.approx([2.5, 4.3])


def test_scores_are_averaged_over_a_second():
    """The mean is of the last ten scores, or of as many as there are."""
    found = scored(5, (2, 2.5, IS_YES))
    assert found.score[found.top == YES].size == 0  # 5 of 10: silence comes first in a tie
    assert found.score.min() == pytest.approx(0.5)
    longer = scored(5, (2, 2.8, IS_YES))
    assert longer.score[longer.top == YES].max() == pytest.approx(0.8)


@pytest.mark.parametrize("seed", range(5))
def test_curve_ends_without_false_accepts(seed):
    """At a threshold of 1 every word is missed and nothing is accepted; other counts are within
    bounds."""
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet([1, 1, 1, 1], 3000) ** 0.2
    scores /= scores.sum(1, keepdims=True)
    random = detection.average(scores, np.arange(1, 3001) / 10)
    onsets = np.arange(5, 290, 5)
    found = detection.curve(random, recording(onsets, rng.integers(2, 4, len(onsets)), 300))
    errors = [(p["missed"], p["false_accepts"]) for p in found["curve"]]
    assert errors[-1] == (len(onsets), 0)
    assert all(0 <= missed <= len(onsets) and accepted >= 0 for missed, accepted in errors)
    assert found["operating_point"]["false_accepts_per_hour"] <= 10


def test_recording_is_scored_ten_times_a_second():
    """Every window is scored once, in order, as its own clip, and progress ends at the total."""
    audio = np.random.default_rng(0).integers(-9000, 9000, 5 * SECOND).astype(np.int16)
    batches, calls = [], []

    def scores(features):
        batches.append(features)
        return np.tile(IS_NO, (len(features), 1))

    found = detection.score_recording(audio, SETTINGS, scores, lambda *step: calls.append(step))
    features = np.concatenate(batches)
    assert features.dtype == np.float32
    for index in (0, 1, len(features) - 1):
        second = audio[np.newaxis, 1600 * index : 1600 * index + SECOND]
        assert np.array_equal(features[index], extract(second, SETTINGS)[0])
    assert calls[-1] == (len(features), len(features))
    assert found.time[0] == 1
    assert np.diff(found.time) == pytest.approx(0.1)
    assert found.time[-1] == pytest.approx(5)
    assert set(found.top) == {NO}
