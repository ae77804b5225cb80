import numpy as np
import pytest

from vm_startup.speech_commands.augmentation import acoustics, rooms, speed

TIME = np.arange(16000) / 16000


@pytest.fixture(scope="module")
def made():
    return rooms.Rooms(16000, np.random.default_rng(0))


def tone(hertz):
    return (8000 * np.sin(2 * np.pi * hertz * TIME)).astype(np.int16)


def change(clip, factor, delay=0):
    return speed.change(clip[np.newaxis], np.array([factor]), np.array([delay]))[0]


@pytest.mark.parametrize("speed", [52, 64, 77])
def test_speed_changes_the_pitch_of_a_tone(speed):
    """Its pitch changes with the speed; its length and level do not."""
    faster = change(tone(400), speed)
    assert faster.shape == (16000,)
    middle = faster[2000:14000]
    assert np.abs(np.fft.rfft(middle)).argmax() * 16000 / 12000 == pytest.approx(
        400 * speed / 64, abs=1.5
    )
    assert middle.std() == pytest.approx(8000 / 2**0.5, rel=0.01)


def test_speed_removes_frequencies_above_half_the_rate():
    """A tone that would be above half the rate vanishes instead of aliasing."""
    assert change(tone(7800), 77)[2000:14000].std() < 0.1 * tone(7800).std()


def test_speed_keeps_the_middle_of_a_clip():
    """A word in the middle of a clip does not move; the ends are zeros."""
    clip = np.ones(16000, np.int16)
    fast = change(clip, 70)
    assert np.allclose(fast[1000:15000], 1)
    assert not fast[:600].any()
    assert not fast[-600:].any()
    assert np.allclose(change(tone(50), 64), tone(50), atol=0.01)


@pytest.mark.parametrize("delay", [-1600, 0, 700])
def test_delay_moves_a_clip(delay):
    """The clip is later by the delay, with zeros in the gap; other clips do not change."""
    moved = change(tone(50), 64, delay)
    expected = np.pad(tone(50), 1600)[1600 - delay :][:16000]
    assert np.allclose(moved, expected, atol=0.01)
    clips = np.stack([tone(50), tone(60)])
    both = speed.change(clips, np.array([60, 64]), np.array([-900, delay]))
    assert np.array_equal(both[1], change(tone(60), 64, delay))
    assert np.array_equal(both[0], change(tone(50), 60, -900))


def test_rooms_and_gain_change_every_clip(made):
    """Levels spread over the given 16 dB and more; each clip keeps its length."""
    clips = np.tile(tone(500), (60, 1))
    changed = made.apply(clips, rooms.RECORDED, 1600, np.random.default_rng(0))
    assert changed.shape == clips.shape
    assert changed.dtype == np.float32
    level = 20 * np.log10(changed.std(1) / clips.std(1))
    assert level.min() < -9
    assert level.max() > 1


def test_hard_augmentation_sets_level_and_noise(made):
    """The loudest moment has the given level, and most clips have noise."""
    clips = np.tile(tone(500), (60, 1))
    clips[:, :8000] = 0
    changed = made.apply(clips, rooms.HARD, 0, np.random.default_rng(0))
    level = 20 * np.log10(acoustics.loudest(changed) / 32768)
    assert -34 < level.min() < -25 < -8 < level.max() < 2
    noise = 20 * np.log10(np.maximum(acoustics.loudest(changed[:, :4000]), 1e-3) / 32768) - level
    assert 30 < (noise > -45).sum() < 60
    assert noise.max() < 3


def test_silences_are_of_three_kinds(made):
    """Background, coloured noise and digital zero have their shares."""
    background = np.full((260, 16000), 7, np.float32)
    silence = made.silences(background, np.random.default_rng(0))
    kept, empty = (silence == 7).all(1).sum(), (~silence.any(1)).sum()
    assert 130 < kept < 190
    assert 8 < empty < 35
    assert np.isfinite(silence).all()


def test_same_random_stream_gives_same_rooms(made):
    """Everything depends on the random streams alone."""
    clips = np.tile(tone(500), (9, 1))
    again = rooms.Rooms(16000, np.random.default_rng(0))
    first, same, other = (
        where.apply(clips, rooms.RECORDED, 1600, np.random.default_rng(seed))
        for where, seed in ((made, 1), (again, 1), (made, 2))
    )
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
