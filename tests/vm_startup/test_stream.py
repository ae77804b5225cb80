import numpy as np
import pytest

from vm_startup.conventions import SAMPLE_RATE as SECOND
from vm_startup.speech_commands.data.dataset import Split
from vm_startup.speech_commands.evaluation import stream


def clips(labels):
    """Clips whose constant sample is 100 × their number, from 1."""
    count = len(labels)
    audio = (
        np.full((count, SECOND), 100, np.int16) * np.arange(1, count + 1, dtype=np.int16)[:, None]
    )
    names = np.array([str(index) for index in range(count)])
    return Split(audio, np.array(labels, np.int32), names, names, names)


def compose(labels, background=(), seed=0):
    """A recording made of such clips."""
    return stream.compose(clips(labels), background, np.random.default_rng(seed))


def test_stream_has_every_wanted_word_once_at_its_onset():
    """The onsets are those of the words' clips, at least a second from other sounds."""
    labels = [0, 1, 1, 2, 3, 2, 3, 3]
    made = compose(labels)
    assert sorted(made.label) == [2, 2, 3, 3, 3]
    assert (np.diff(made.onset) >= 2 * SECOND).all()
    numbers = []
    for onset, label in zip(made.onset, made.label, strict=True):
        (sample,) = set(made.audio[onset : onset + SECOND])
        assert labels[sample // 100 - 1] == label
        numbers.append(sample)
        around = made.audio[onset - SECOND : onset], made.audio[onset + SECOND : onset + 2 * SECOND]
        assert not np.any(around)
    assert len(set(numbers)) == 5


def test_stream_is_at_least_half_other_words_and_noise():
    """A few unknown words are repeated; the length follows from the wanted words."""
    made = compose([1, 1] + [2] * 30)
    assert len(made.audio) / SECOND == pytest.approx(stream.PER_WORD * 30, rel=0.15)
    unknown = np.isin(made.audio, [100, 200]).sum() / SECOND
    assert made.others == unknown > 20


def test_stream_length_is_limited():
    """With any number of clips it is about an hour, half of it without wanted words."""
    made = stream._order(np.repeat([1, 2, 3], 2000), np.random.default_rng(0))
    assert (made == -1).sum() * 8 + (made >= 0).sum() * 3 == pytest.approx(3600, rel=0.01)
    assert (made >= 2000).sum() == 600


def test_stream_noise_is_louder_without_words():
    """Noise behind words is at most a tenth of full scale; noise alone has any volume."""
    hiss = np.random.default_rng(1).uniform(-1, 1, 3 * SECOND).astype(np.float32)
    made = compose([1] + [2] * 40, [hiss, np.zeros(0, np.float32)])
    behind = [made.audio[onset - SECOND : onset] for onset in made.onset]
    assert max(np.abs(part).max() for part in behind) <= 3277
    assert sum(bool(part.any()) for part in behind) > 20
    assert np.abs(made.audio).max() > 20_000
    assert not compose([2] * 3, []).audio[:SECOND].any()


def test_seed_decides_the_stream():
    """The same seed makes the same recording, another one another."""
    hiss = [np.random.default_rng(1).uniform(-1, 1, SECOND).astype(np.float32)]
    labels = [1, 2, 3, 2]
    assert np.array_equal(compose(labels, hiss).audio, compose(labels, hiss).audio)
    assert not np.array_equal(compose(labels, hiss).onset, compose(labels, hiss, seed=1).onset)
