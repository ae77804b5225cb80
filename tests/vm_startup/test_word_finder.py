"""Takes of a word are found in longer recordings, each whole in a second of its own."""

import numpy as np
import pytest
import soxr

from vm_startup.conventions import CLIP_SAMPLES, SAMPLE_RATE
from vm_startup.speech_commands.augmentation import acoustics
from vm_startup.speech_commands.synthetic.espeak import SPEECH_RATE, Espeak
from vm_startup.speech_commands.takes import word_finder
from vm_startup.speech_commands.takes.word_finder import CROWDED, LONG, RUNNING, Cut, cuts

WORDS = ["alexa", "up", "yes", "computer", "eight", "stop", "six"]  # with stops, bursts, hisses
SLACK = SAMPLE_RATE // 50  # the fading ends of a word


@pytest.fixture(scope="module")
def words():
    """Each word by a female and a male voice, and a sentence: float64, its peaks at -8 dB."""
    with Espeak() as engine:

        def say(text, voice):
            speech = acoustics.trim(engine.speak(text, voice, rate=150), SPEECH_RATE)
            resampled = soxr.resample(speech.astype(float), SPEECH_RATE, SAMPLE_RATE)
            return acoustics.at_level(resampled, -8)

        said = {word: [say(word, "en-us+f2"), say(word, "en+m3")] for word in WORDS}
        said["sentence"] = [say("could you open all our windows a little more now", "en-us")]
        return said


def recorded(pieces, noise=-48, before=0.5, seed=0):
    """Speech and pauses (in seconds) after `before`: the recording, and where each speech is."""
    random = np.random.default_rng(seed)
    places, sound = [], [np.zeros(int(before * SAMPLE_RATE))]
    for piece in pieces:
        start = sum(map(len, sound))
        if isinstance(piece, np.ndarray):
            places.append((start, start + len(piece)))
            sound.append(piece)
        else:
            sound.append(np.zeros(int(piece * SAMPLE_RATE)))
    whole = np.concatenate(sound)
    room = acoustics.noise(len(whole) // 16 * 16 + 16, random, "pink")[: len(whole)]
    return whole + acoustics.at_level(room, noise), places


def found(sound):
    return cuts(np.clip(np.rint(sound), -32768, 32767).astype(np.int16))


def assert_whole(clips, places):
    """One clip for each place, with all of it inside, and all in order."""
    assert len(clips) == len(places)
    for clip, (begin, end) in zip(clips, places, strict=True):
        assert clip.start - SLACK <= begin and end <= clip.start + CLIP_SAMPLES + SLACK


@pytest.mark.parametrize("noise", [-90, -48, -28])
@pytest.mark.parametrize("takes", [1, 2, 8])
@pytest.mark.parametrize("word", WORDS)
def test_every_take_is_cut_whole(words, word, takes, noise):
    """Each take of a word is one clip with the word inside, at several levels of noise."""
    sound, places = recorded([words[word][0], 0.7] * takes, noise)
    assert_whole(found(sound), places)


@pytest.mark.parametrize("word", WORDS)
def test_fifty_takes_of_different_loudness(words, word):
    """Fifty takes, some a third as loud as others, are fifty clips."""
    gains = np.random.default_rng(1).uniform(0.35, 1, 50)
    sound, places = recorded([p for gain in gains for p in (gain * words[word][1], 0.6)])
    assert_whole(found(sound), places)


@pytest.mark.parametrize("word", WORDS)
def test_word_is_in_the_middle(words, word):
    """As much is left before the word as after it, within a twentieth of a second."""
    sound, [(begin, end)] = recorded([words[word][1], 1.5], before=1.5)
    [clip] = found(sound)
    assert abs(clip.start + CLIP_SAMPLES / 2 - (begin + end) / 2) < SAMPLE_RATE / 20
    assert clip.doubt == ""


@pytest.mark.parametrize("before, after", [(0, 1.2), (1.2, 0), (0.05, 1.5), (1.5, 0.05)])
def test_word_at_the_edge_of_a_recording(words, before, after):
    """A clip never reaches beyond the recording."""
    sound, places = recorded([words["computer"][0], float(after)], before=before)
    clips = found(sound)
    assert_whole(clips, places)
    assert 0 <= clips[0].start <= len(sound) - CLIP_SAMPLES


def hum(count):
    at = np.arange(count) / SAMPLE_RATE
    return 1500 * np.sin(2 * np.pi * 50 * at) + 300 * np.sin(2 * np.pi * 150 * at)


def click(count):
    sound = np.zeros(count)
    sound[[4000, 4001, -5000, -5001]] = 30000, -30000, 30000, -30000
    return sound


def knock(count):
    sound = np.zeros(count)
    burst = np.random.default_rng(2).normal(0, 9000, 1600) * np.exp(-np.arange(1600) / 250)
    sound[800:2400] = burst  # the phone is moved at the begin and at the end
    sound[-1600:] = burst
    return sound


def breath(count):
    sound = np.zeros(count)
    air = np.random.default_rng(3).normal(0, 1, 6400) * np.hanning(6400)
    sound[1600:8000] = acoustics.at_level(air, -36)
    return sound


DISTURBANCES = {
    "hum": hum,
    "offset": lambda count: np.full(count, 2500.0),
    "clicks": click,
    "knocks": knock,
    "breath": breath,
}


@pytest.mark.parametrize("kind", DISTURBANCES)
@pytest.mark.parametrize("word", WORDS)
def test_other_sounds_are_no_takes(words, word, kind):
    """Hum, an offset, clicks, knocks and a breath beside a word are no takes of it."""
    sound, places = recorded([words[word][0], 0.8], before=1.0)
    assert_whole(found(sound + DISTURBANCES[kind](len(sound))), places)


def beep(seconds, gain=0.3):
    return (
        gain * 32767 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE)
    )


OTHERS = {
    "beep": (lambda words: beep(0.7), word_finder.STEADY_SOUND),
    "loud beep": (lambda words: beep(0.5, 0.95), word_finder.STEADY_SOUND),
    "sentence": (lambda words: words["sentence"][0], word_finder.SENTENCE),
    "kettle": (
        lambda words: np.random.default_rng(4).normal(0, 4000, 3 * SAMPLE_RATE),
        word_finder.SENTENCE,
    ),
}


@pytest.mark.parametrize("takes", [1, 10])
@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("word", WORDS)
def test_long_sound_hides_no_take(words, word, kind, takes):
    """Takes after a beep, a sentence or a kettle are found; the sound is none, and is named."""
    make, why = OTHERS[kind]
    other = make(words)
    gain = 0.1 if kind == "loud beep" else 1
    sound, places = recorded([other, 1.0, *[gain * words[word][0], 0.7] * takes], noise=-60)
    clips, unused = word_finder.search(np.clip(np.rint(sound), -32768, 32767).astype(np.int16))
    assert_whole(clips, places[1:])
    assert unused[0].why == why
    assert abs(unused[0].start - places[0][0]) < SLACK
    assert abs(unused[0].samples - len(other)) < 2 * SLACK


def test_short_takes_beside_long_ones(words):
    """Of many speakers' takes the shortest are found too: a fifth as long as the longest."""
    long, short = words["alexa"][0], words["eight"][0][: SAMPLE_RATE // 8]
    sound, places = recorded([p for n in range(20) for p in ((short, long)[n % 5 > 0], 0.7)])
    assert_whole(found(sound), places)


def test_sounds_that_are_no_takes_are_named(words):
    """A knock and a faint word are not used, and each is named with its place."""
    take, faint = words["computer"][0], 0.02 * words["alexa"][0]
    knock = np.random.default_rng(5).normal(0, 9000, 1200)
    sound, places = recorded([take, 0.8, knock, 0.8, take, 0.8, faint, 0.8], noise=-66)
    clips, unused = word_finder.search(np.clip(np.rint(sound), -32768, 32767).astype(np.int16))
    assert_whole(clips, [places[0], places[2]])
    assert [other.why for other in unused] == [word_finder.KNOCK, word_finder.FAINT]
    for other, (begin, end) in zip(unused, (places[1], places[3]), strict=True):
        middle = other.start + other.samples / 2
        assert abs(middle - (begin + end) / 2) < SAMPLE_RATE / 10


def test_digital_silence_around_noise_and_word(words):
    """Zeros before a noisy take do not make its noise a sound."""
    sound, places = recorded([words["computer"][1], 0.5], noise=-30)
    zeros = np.zeros(SAMPLE_RATE)
    clips = found(np.concatenate([zeros, sound, zeros]))
    assert_whole(clips, [(begin + SAMPLE_RATE, end + SAMPLE_RATE) for begin, end in places])
    assert clips[0].doubt == ""


def test_words_of_two_parts_are_one_take(words):
    """A pause of a fifth of a second within a word does not split it."""
    first, second = words["up"][0], words["eight"][0][: SAMPLE_RATE // 4]
    sound, places = recorded([first, 0.2, second, 1.0])
    assert_whole(found(sound), [(places[0][0], places[1][1])])


def test_second_or_less_is_taken_as_it_is():
    """A recording of up to a second is one clip from its begin."""
    for count in (1, 100, CLIP_SAMPLES - 1, CLIP_SAMPLES):
        assert cuts(np.ones(count, np.int16)) == [Cut(0)]


@pytest.mark.parametrize("seconds", [1.0001, 1.02, 1.3])
def test_little_more_than_a_second_loses_nothing(words, seconds):
    """The silence after a synthetic word is what is cut."""
    sound = np.zeros(int(seconds * SAMPLE_RATE))
    sound[400 : 400 + len(words["alexa"][0])] = words["alexa"][0]
    [clip] = found(sound)
    assert clip.doubt == ""
    assert 0 <= clip.start <= 400


def test_sentence_is_doubtful(words):
    """Of speech without a pause one second is used, with the doubt said."""
    sound, [(begin, end)] = recorded([words["sentence"][0], 0.5])
    [clip] = found(sound)
    assert clip.doubt == LONG
    assert begin - SLACK <= clip.start and clip.start + CLIP_SAMPLES <= end + SLACK


@pytest.mark.parametrize("sound", [np.zeros(40000), hum(40000), np.full(40000, 9.0)])
def test_nothing_to_find_is_doubtful(sound):
    """A recording without speech gives one clip, with the doubt said."""
    assert [clip.doubt for clip in found(sound)] == [RUNNING]


def test_take_too_near_to_the_next_is_doubtful(words):
    """Where a second around a take reaches into the next one, that is said."""
    short = words["eight"][0][: SAMPLE_RATE // 4]
    sound, places = recorded([short, 0.35, short, 1.0])
    clips = found(sound)
    assert_whole(clips, places)
    assert [clip.doubt for clip in clips] == [CROWDED, CROWDED]


def test_cuts_shift_with_the_recording(words):
    """A recording that begins a little later is cut at the same sounds."""
    sound, _ = recorded([words["yes"][0], 0.8, words["yes"][0], 0.8])
    later = 7 * word_finder.FRAME
    moved = [c.start + later for c in found(sound[later:])]
    assert np.allclose(moved, [c.start for c in found(sound)], atol=word_finder.FRAME)
