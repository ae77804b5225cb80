import numpy as np
import pytest

from vm_startup.speech_commands.augmentation import acoustics, rooms, speed

TIME = np.arange(16000) / 16000


@pytest.fixture(scope="module")
def made():
    return rooms.Rooms(16000, np.random.default_rng(0))


def tone(hertz):
    return (8000 * np.sin(2 * np.pi * hertz * TIME)).astype(np.int16)


def read(clip, speed, delay=0):
    return speed.read(clip[np.newaxis], np.array([speed]), np.array([delay]))[0]


@pytest.mark.parametrize("speed", [52, 64, 77])
def test_a_tone_read_faster_is_higher(speed):
    """Its pitch moves by the speed, its length does not, and its loudness hardly."""
    faster = read(tone(400), speed)
    assert faster.shape == (16000,)
    middle = faster[2000:14000]
    assert np.abs(np.fft.rfft(middle)).argmax() * 16000 / 12000 == pytest.approx(
        400 * speed / 64, abs=1.5
    )
    assert middle.std() == pytest.approx(8000 / 2**0.5, rel=0.01)


def test_what_would_be_too_high_is_left_out():
    """Read faster, a tone above half the rate vanishes rather than come back lower."""
    assert read(tone(7800), 77)[2000:14000].std() < 0.1 * tone(7800).std()


def test_the_middle_stays_where_it_is():
    """A word in the middle of a clip is not moved; nothing comes in from the ends."""
    clip = np.ones(16000, np.int16)
    fast = read(clip, 70)
    assert np.allclose(fast[1000:15000], 1)
    assert not fast[:600].any()
    assert not fast[-600:].any()
    assert np.allclose(read(tone(50), 64), tone(50), atol=0.01)


@pytest.mark.parametrize("delay", [-1600, 0, 700])
def test_a_delay_moves_the_clip(delay):
    """Later by so many samples, zeros where nothing was; clips do not disturb one another."""
    moved = read(tone(50), 64, delay)
    expected = np.pad(tone(50), 1600)[1600 - delay :][:16000]
    assert np.allclose(moved, expected, atol=0.01)
    clips = np.stack([tone(50), tone(60)])
    both = speed.read(clips, np.array([60, 64]), np.array([-900, delay]))
    assert np.array_equal(both[1], read(tone(60), 64, delay))
    assert np.array_equal(both[0], read(tone(50), 60, -900))


def test_rooms_and_gain_change_every_clip(made):
    """Levels spread over the asked 16 dB and beyond, by rooms; each clip keeps its length."""
    clips = np.tile(tone(500), (60, 1))
    heard = made.heard(clips, rooms.RECORDED, 1600, np.random.default_rng(0))
    assert heard.shape == clips.shape
    assert heard.dtype == np.float32
    level = 20 * np.log10(heard.std(1) / clips.std(1))
    assert level.min() < -9
    assert level.max() > 1


def test_synthetic_speech_gets_a_level_and_noise(made):
    """The loudest moment is as loud as the manner says, and most clips have noise besides."""
    clips = np.tile(tone(500), (60, 1))
    clips[:, :8000] = 0
    heard = made.heard(clips, rooms.HARD, 0, np.random.default_rng(0))
    level = 20 * np.log10(acoustics.loudest(heard) / 32768)
    assert -34 < level.min() < -25 < -8 < level.max() < 2
    noise = 20 * np.log10(np.maximum(acoustics.loudest(heard[:, :4000]), 1e-3) / 32768) - level
    assert 30 < (noise > -45).sum() < 60
    assert noise.max() < 3


def test_silence_is_of_three_kinds(made):
    """Background, coloured noise and digital zero, in the shares asked."""
    background = np.full((260, 16000), 7, np.float32)
    silence = made.silences(background, np.random.default_rng(0))
    kept, empty = (silence == 7).all(1).sum(), (~silence.any(1)).sum()
    assert 130 < kept < 190
    assert 8 < empty < 35
    assert np.isfinite(silence).all()


def test_the_same_stream_gives_the_same_rooms(made):
    """All of it depends on the random streams alone."""
    clips = np.tile(tone(500), (9, 1))
    again = rooms.Rooms(16000, np.random.default_rng(0))
    first, same, other = (
        where.heard(clips, rooms.RECORDED, 1600, np.random.default_rng(seed))
        for where, seed in ((made, 1), (again, 1), (made, 2))
    )
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
