"""Synthetic speech is audible, diverse and repeatable, with a speaker in one split only."""

import numpy as np
import pytest

from vm_startup.speech_commands.augmentation import acoustics
from vm_startup.speech_commands.data.dataset import load
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.speaker_splits import which_set
from vm_startup.speech_commands.synthetic.espeak import SPEECH_RATE, Espeak
from vm_startup.speech_commands.synthetic.source import SyntheticSource
from vm_startup.speech_commands.synthetic.speech import SPEAKERS
from vm_startup.speech_commands.synthetic.vocabulary import (
    COMMON_WORDS,
    common_words,
    near_misses,
    parts_of,
)


@pytest.fixture(scope="module")
def source():
    return SyntheticSource(["yes", "lights on"], 140, seed=1)


@pytest.fixture(scope="module")
def clips(source):
    return source.clips()


@pytest.fixture(scope="module")
def audio(source):
    return spoken(source)


def spoken(source, blocks=None):
    """The samples of some blocks, or of all."""
    blocks = range(len(source.blocks())) if blocks is None else blocks
    return np.stack([clip for block in blocks for clip in source.speak(block)])


def test_synthetic_source_has_wanted_and_unknown_clips(clips):
    """Each wanted word has its number of clips, and all clips have different names."""
    words = [clip.word for clip in clips]
    assert words.count("yes") == words.count("lights on") == 140
    assert len(words) == 420
    assert len(set(words)) > 60
    assert len({clip.name for clip in clips}) == len(clips)


def test_synthetic_speaker_is_in_one_split(clips):
    """All clips of a speaker are in the split of its name."""
    assert len({clip.speaker for clip in clips}) == len(SPEAKERS)
    for clip in clips:
        assert clip.split == which_set(clip.speaker, 10, 10)


def test_few_synthetic_clips_reach_every_split():
    """A dozen clips a word are enough to start a training."""
    for percentages in ((10, 10), (20, 15)):
        names = dict(zip(("validation_percentage", "testing_percentage"), percentages, strict=True))
        clips = SyntheticSource(["yes"], 12, **names).clips()
        for word in ("yes", None):
            splits = {clip.split for clip in clips if word in (None, clip.word)}
            assert splits == {"training", "validation", "testing"}


def test_synthetic_clips_are_one_second_of_audible_speech(audio):
    """Every clip is at least 10 dB above its background, and none is silent or wrapped."""
    assert audio.dtype == np.int16
    assert audio.shape[1] == 16_000
    frames = audio[:, :15_840].reshape(len(audio), -1, 160).astype(float)
    level = 10 * np.log10((frames**2).mean(2) + 0.01) - 20 * np.log10(32768)
    loudest = level.max(1)
    assert loudest.min() > -35
    assert loudest.max() < -1
    assert (loudest - np.percentile(level, 5, axis=1)).min() > 10


def test_synthetic_clips_differ(audio):
    """No two clips have the same samples."""
    assert len({clip.tobytes() for clip in audio}) == len(audio)


def test_seed_decides_synthetic_clips(clips, audio):
    """The same seed gives the same samples in any order, another seed others."""
    again = SyntheticSource(["yes", "lights on"], 140, seed=1)
    assert [clip.name for clip in again.clips()] == [clip.name for clip in clips]
    for block in (-1, 7, 7, 70):
        assert (spoken(again, [block]) == audio[again.blocks()[block]]).all()
    other = SyntheticSource(["yes", "lights on"], 140, seed=2)
    assert (spoken(other, [0]) != audio[other.blocks()[0]]).any()


def test_more_synthetic_clips_keep_the_first_ones(clips, audio):
    """Clip number i of a word is the same for any number of clips."""
    by_name = {clip.name: sound for clip, sound in zip(clips, audio, strict=True)}
    source = SyntheticSource(["yes", "lights on"], 210, seed=1)
    more = source.clips()
    assert len([clip for clip in more if clip.name in by_name and clip.word == "yes"]) == 140
    for number, block in list(enumerate(source.blocks()))[:63:10]:
        for clip, sound in zip(more[block.start : block.stop], source.speak(number), strict=True):
            assert clip.word == "yes"
            assert clip.name not in by_name or (sound == by_name[clip.name]).all()


def test_every_voice_is_audible_and_different():
    """Each variant in the list exists and speaks a word of plausible length, unlike all others."""
    spoken = {}
    for variants in SPEAKERS:
        for variant in variants:
            with Espeak() as engine:
                speech = acoustics.trim(engine.speak("seven", f"en-us+{variant}"), SPEECH_RATE)
            assert 0.2 < len(speech) / SPEECH_RATE < 1.0, variant
            assert np.abs(speech.astype(int)).max() > 2000, variant
            spoken[variant] = speech.tobytes()
    assert len(set(spoken.values())) == len(spoken) > 80


def test_trim_removes_silence_around_speech():
    """Silence before and after is removed to within 10 ms."""
    speech = np.zeros(22_050)
    speech[4410:8820] = 5000 * np.sin(np.arange(4410))
    assert 4410 <= len(acoustics.trim(speech, 22_050)) <= 4410 + 2 * 220
    assert len(acoustics.trim(np.zeros(1000), 22_050)) == 0


def test_unknown_words_never_sound_like_a_wanted_one():
    """Homophones in American and British English are removed."""
    common = {u.word for u in common_words(["right", "two", "core"])}
    assert not common & {"right", "write", "two", "too", "to", "core"}
    assert {"light", "read", "yes"} <= common


def test_parts_of_phrases_are_unknown_words():
    """The word "lights" alone is not "lights on", unless it is wanted too."""
    assert [u.word for u in parts_of(["lights on", "no"])] == ["lights", "on"]
    assert [u.word for u in parts_of(["lights on", "on"])] == ["lights"]


def test_near_misses_are_never_the_word_itself():
    """One sound of a wanted word changes, and the result has a name unlike every word."""
    near = near_misses(["no", "lights on"], 40, np.random.default_rng(1))
    texts = [u.text for u in near]
    assert len(set(texts)) == len(texts) > 30
    assert "[[n|'oU]]" not in texts
    assert {u.word for u in near} == {"_near_no", "_near_lights on"}


def test_there_are_hundreds_of_common_words():
    """There are too many words for a model to memorise the unknown class."""
    assert len(set(COMMON_WORDS)) == len(COMMON_WORDS) >= 600


def test_synthetic_noises_are_varied_and_repeatable(source):
    """White, pink, brown, hum and babble: ten seconds of float32 within full scale each."""
    first, second = source.background(), source.background()
    assert len(first) == 5
    for noise, again in zip(first, second, strict=True):
        assert noise.dtype == np.float32
        assert noise.shape == (160_000,)
        assert 0.02 < np.sqrt((noise**2).mean()) < 0.5
        assert np.abs(noise).max() <= 1
        assert (noise == again).all()


@pytest.mark.parametrize("word", ["да", "好的"])
def test_word_in_another_script_is_refused(word):
    """The voices would spell it letter by letter."""
    with pytest.raises(DataError, match=f"cannot speak '{word}'"):
        SyntheticSource([word], 10)


def test_phrase_longer_than_a_clip_is_refused():
    """Words that do not fit into a second even at a high rate cannot be trained."""
    with pytest.raises(DataError, match="when spoken fast.*shorter"):
        SyntheticSource(["antidisestablishmentarianism for all"], 10)


def test_long_word_is_spoken_faster_until_it_fits():
    """Slow voices speak faster and do not lose the end of the word."""
    source = SyntheticSource(["international hotel"], 20, seed=3)
    assert spoken(source, range(0, 20, 4)).any(axis=1).all()


def test_synthetic_clips_load_into_splits(source):
    """The whole source passes through load() with upstream's shares."""
    data = load([source], ["yes", "lights on"], silence_percentage=25, unknown_percentage=25)
    for split in ("validation", "testing"):
        silence, unknown, yes, phrase = np.bincount(data.splits[split].label)
        assert silence == unknown == -(-(yes + phrase) // 4)
