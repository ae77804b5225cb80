"""What is wrong with a clip is found, and clips with nothing wrong are not accused."""

import numpy as np
import pytest

from vm_startup.conventions import CLIP_SAMPLES, SAMPLE_RATE
from vm_startup.speech_commands.synthetic.speech import SyntheticSpeech
from vm_startup.speech_commands.takes import faults
from vm_startup.speech_commands.takes.faults import (
    BEGIN,
    CLIPPED,
    CONSTANT,
    DITHER,
    END,
    HUM,
    NOISE,
    QUIET,
)

AT = np.arange(CLIP_SAMPLES) / SAMPLE_RATE
RANDOM = np.random.default_rng(7)


def clip(sound):
    return np.clip(np.rint(sound), -32768, 32767).astype(np.int16)


def word(begin=0.3, end=0.8, peak=8000.0):
    """A sound like a vowel's between two times, in faint noise."""
    tone = sum(np.sin(2 * np.pi * 140 * k * AT + k * k) / k for k in range(1, 20))
    tone *= np.clip((AT - begin) * 25, 0, 1) * np.clip((end - AT) * 25, 0, 1)
    return tone * peak / np.abs(tone).max() + RANDOM.normal(0, 4, CLIP_SAMPLES)


def mains(frequency, strength=2000.0, harmonics=6):
    waves = [np.sin(2 * np.pi * k * frequency * AT + k) / k for k in range(1, harmonics + 1)]
    return strength * sum(waves)


@pytest.mark.parametrize("value", [0, 7, -32768, 32767])
def test_constant_clip(value):
    """A clip of equal samples is not usable, whatever their value."""
    assert faults.of(clip(np.full(CLIP_SAMPLES, value))) == (CONSTANT,)


@pytest.mark.parametrize("offset", [0, 900])
@pytest.mark.parametrize("codes", [1, 2, 4])
def test_dither(codes, offset):
    """A few codes around a constant are no sound."""
    assert faults.of(clip(offset + RANDOM.integers(-codes, codes + 1, CLIP_SAMPLES))) == (DITHER,)


def test_click_in_dither():
    """A click does not make dither a sound."""
    sound = RANDOM.integers(-1, 2, CLIP_SAMPLES)
    sound[5000:5160] = 15000
    assert faults.of(clip(sound)) == (DITHER,)


@pytest.mark.parametrize("frequency", [49.9, 50, 50.1, 59.9, 60, 60.1])
@pytest.mark.parametrize("floor", [0, 3])
def test_mains_hum(frequency, floor):
    """Hum is not usable, also off its nominal frequency and with a microphone's noise."""
    sound = mains(frequency) + RANDOM.normal(0, floor, CLIP_SAMPLES)
    assert faults.of(clip(sound)) == (HUM,)


@pytest.mark.parametrize("frequency", [50, 60])
def test_word_in_hum_is_used(frequency):
    """A word is found in hum that is half as loud."""
    assert faults.of(clip(mains(frequency, 2500) + word(peak=5000))) == ()


def test_zeros_before_a_word():
    """A clip that begins with zeros is not silent."""
    sound = word()
    sound[: CLIP_SAMPLES // 4] = 0
    assert faults.of(clip(sound)) == ()


def test_steady_noise_is_doubtful():
    """Noise alone is used, and doubted."""
    assert faults.of(clip(RANDOM.normal(0, 500, CLIP_SAMPLES))) == (NOISE,)


@pytest.mark.parametrize("limit", [32767, 20000, 6000])
def test_clipped(limit):
    """Plateaus are seen at full scale and below."""
    assert faults.of(clip(np.clip(word(peak=1.6 * limit), -limit, limit))) == (CLIPPED,)


def test_clipped_on_one_side():
    """A microphone's offset clips only one half of the waves."""
    assert faults.of(clip(np.maximum(word(peak=12000), -5000))) == (CLIPPED,)


def test_pure_tone_is_not_clipped():
    """The round top of a sine is no plateau."""
    envelope = np.clip(np.minimum(AT - 0.2, 0.8 - AT) * 20, 0, 1)
    for frequency in (91, 187, 443, 997):
        sound = 20000 * np.sin(2 * np.pi * frequency * AT) * envelope
        assert CLIPPED not in faults.of(clip(sound + RANDOM.normal(0, 4, CLIP_SAMPLES)))


def test_too_quiet():
    """A word 60 dB below full scale is doubted, one at 40 dB is not."""
    quiet = word(peak=32768 / 1000)
    assert faults.of(clip(quiet)) == (QUIET,)
    assert faults.of(clip(word(peak=32768 / 100))) == ()


@pytest.mark.parametrize(
    "begin, end, expected",
    [(-0.2, 0.3, (BEGIN,)), (0.6, 1.3, (END,)), (0.02, 0.5, ()), (0.18, 0.98, ())],
)
def test_word_cut_by_an_edge(begin, end, expected):
    """A word that goes on beyond the clip is doubted, one that just fits is not."""
    assert faults.of(clip(word(begin, end))) == expected


def test_several_faults_hold():
    """All doubts of a clip are named."""
    assert faults.of(clip(np.clip(word(0.7, 1.3, 40000), -9000, 9000))) == (CLIPPED, END)


def test_synthetic_speech_is_rarely_faulty():
    """Of clips made for training, all are usable; those doubted are cut words and faint ones."""
    speech = SyntheticSpeech(["yes", "stop"], 30)
    clips = [c for block in range(0, len(speech.blocks()), 6) for c in speech.speak(block)]
    found = [faults.of(made) for made in clips]
    assert all(fault.usable for some in found for fault in some)
    assert sum(map(bool, found)) <= 0.2 * len(found)


def test_same_answer_for_any_memory_layout():
    """A clip that is a row of a larger array has the faults of its copy."""
    clips = np.stack([clip(word()), clip(mains(50))], axis=1)
    assert [faults.of(clips[:, k]) for k in (0, 1)] == [(), (HUM,)]
