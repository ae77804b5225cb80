import numpy as np
import pytest

from vm_startup.speech_commands import rooms
from vm_startup.speech_commands.augment import Background, augment

TIME = np.arange(16000) / 16000


def tone(hertz):
    return (8000 * np.sin(2 * np.pi * hertz * TIME)).astype(np.int16)


@pytest.mark.parametrize("speed", [0.85, 1.0, 1.17])
def test_a_tone_read_faster_is_higher(speed):
    """Its pitch moves by the speed, its length does not, and its loudness hardly."""
    faster = rooms.resampled(tone(400), speed)
    assert faster.shape == (16000,)
    middle = faster[2000:14000]
    assert np.abs(np.fft.rfft(middle)).argmax() * 16000 / 12000 == pytest.approx(
        400 * speed, abs=1.5
    )
    assert middle.std() == pytest.approx(8000 / 2**0.5, rel=0.01)


def test_the_middle_stays_where_it_is():
    """A word in the middle of a clip is not moved; nothing comes in from the ends."""
    clip = np.ones(16000, np.int16)
    fast = rooms.resampled(clip, 1.1)
    assert np.array_equal(fast[1000:15000], np.ones(14000))
    assert not fast[:700].any()
    assert not fast[-700:].any()
    assert np.array_equal(rooms.resampled(tone(50), 1.0), tone(50))


def test_rooms_and_gain_change_every_clip():
    """Levels spread over the asked 16 dB and beyond, by rooms; each clip keeps its length."""
    clips = np.tile(tone(500).astype(np.float32), (60, 1))
    heard = rooms.recorded(clips, np.random.default_rng(0))
    assert heard.shape == clips.shape
    assert heard.dtype == np.float32
    level = 20 * np.log10(heard.std(1) / clips.std(1))
    assert level.min() < -9
    assert level.max() > 1


def test_silence_is_of_three_kinds():
    """Background, coloured noise and digital zero, in the shares asked."""
    background = np.full((260, 1600), 7, np.float32)
    silence = rooms.silences(background, np.random.default_rng(0))
    kept, empty = (silence == 7).all(1).sum(), (~silence.any(1)).sum()
    assert 130 < kept < 190
    assert 8 < empty < 35
    assert np.isfinite(silence).all()


def test_the_same_stream_gives_the_same_rooms():
    """All of it depends on the random stream alone, and the result is int16."""
    clips, silent = np.tile(tone(500), (9, 1)), np.arange(9) < 3
    options = {"time_shift": 1600, "volume": 0.1, "frequency": 0.8, "room": True}
    hiss = Background([np.random.default_rng(1).uniform(-1, 1, 40000)], 16000)
    first, again, other = (
        augment(clips, silent, hiss, np.random.default_rng(seed), **options) for seed in (1, 1, 2)
    )
    assert first.dtype == np.int16
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
