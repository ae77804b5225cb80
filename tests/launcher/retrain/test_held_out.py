"""Clips that versions are compared on: pinned once, and only ever more."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from firmware_export import clips, files, labels
from launcher.config.settings import Config, Data, Train, Words
from launcher.errors import ConfigError, UsageError
from launcher.retrain import held_out
from vm_startup.speech_commands.data.speaker_splits import TESTING, which_set

PATH = Path("models/words/held_out.npz")
CONFIG = Config(Words(("yes", "no")), name="words", data=Data(synthetic_clips=9))
LABELS = [labels.SILENCE, labels.UNKNOWN, "yes", "no"]


def speakers(split=(10, 10), skip=()):
    """Names of speakers whose clips a training would test on."""
    names = (f"{number:08x}" for number in range(10**6))
    return (name for name in names if which_set(name, *split) == TESTING and name not in skip)


def clip(word, speaker, label=None, source="folder"):
    """A test clip as a training names it; its features tell it from others."""
    name = f"{word}/{speaker}_nohash_0.wav" if speaker else ""
    return source, name, LABELS.index(label or word)


@pytest.fixture
def tested(here):
    """Makes the folder of a job with these test clips."""

    def make(*found, names=LABELS, inputs=4, number=1):
        folder = here / "runs" / f"words-r{number}"
        files.write(folder / "labels.txt", labels.render(names))
        sources, called, of = zip(*found, strict=True)
        features = np.arange(len(found) * inputs, dtype=np.float32).reshape(-1, inputs) + number
        made = clips.Clips(features, np.array(of), np.array(sources), np.array(called))
        clips.save(made, folder / "test_features.npz")
        return folder

    return make


@pytest.fixture
def first(tested):
    """Clips of two words, another word and silence, pinned."""
    one, two, three, *_ = (next(of) for of in [speakers()] * 3)
    found = [clip("yes", one), clip("no", two), clip("cat", three, labels.UNKNOWN)]
    silence = clip("", "", labels.SILENCE)
    return held_out.pin(PATH, tested(*found, silence), CONFIG)


def test_what_a_first_job_tested_is_pinned(first):
    """Words stand as words, silence and other words with them, and all of it comes back."""
    assert first.words.tolist() == ["yes", "no", labels.UNKNOWN, labels.SILENCE]
    assert first.wanted == ("no", "yes")
    with np.load(PATH, allow_pickle=False) as arrays:
        assert arrays["words"].tolist() == first.words.tolist()


def test_more_clips_join_and_none_leaves(first, tested):
    """A later job, whose words have another order, adds its new clips; pinned ones stay, also where
    its data lack them; silence is not taken again; and doing it twice changes nothing."""
    fresh = next(speakers(skip=[name.split("/")[1][:8] for name in map(str, first.names) if name]))
    turned = [labels.SILENCE, labels.UNKNOWN, "no", "yes"]
    again = ("folder", str(first.names[0]), turned.index("yes"))
    added = ("folder", f"yes/{fresh}_nohash_0.wav", turned.index("yes"))
    job = tested(again, added, clip("", "", labels.SILENCE), names=turned, number=2)
    grown = held_out.pin(PATH, job, CONFIG)
    assert grown.words.tolist() == [*first.words.tolist(), "yes"]
    assert (grown.features[: len(first)] == first.features).all()
    before = PATH.read_bytes()
    assert len(held_out.pin(PATH, job, CONFIG)) == len(grown)
    assert PATH.read_bytes() == before


def test_there_is_a_bound_to_them(first, tested, monkeypatch):
    """Where not all new clips have room, some of each are taken, and the file is full."""
    monkeypatch.setattr(clips, "MAX_CLIPS", 8)
    known = [name.split("/")[1][:8] for name in map(str, first.names) if name]
    new = [name for name, _ in zip(speakers(skip=known), range(6), strict=False)]
    found = [clip("yes", name) for name in new[:3]] + [clip("no", name) for name in new[3:]]
    grown = held_out.pin(PATH, tested(*found, number=2), CONFIG)
    assert len(grown) == 8
    assert set(grown.words[4:]) == {"yes", "no"}
    assert len(held_out.pin(PATH, tested(*found, number=3), CONFIG)) == 8


def test_clips_that_would_be_trained_on_are_refused(first):
    """Other percentages under which a pinned clip is not tested any more are refused, with some
    names and what the percentages were; those under which all still are may be had."""
    moved = replace(CONFIG, data=replace(CONFIG.data, validation_percentage=50))
    with pytest.raises(ConfigError) as refusal:
        held_out.check(PATH, moved)
    assert "3 of the 4 clips that words is compared on would be trained on" in str(refusal.value)
    assert str(first.names[0]) in str(refusal.value)
    assert "they were 10 and 10" in refusal.value.hint
    held_out.check(PATH, replace(CONFIG, data=replace(CONFIG.data, testing_percentage=30)))


def test_synthetic_voices_are_split_as_the_trainer_does():
    """Whose clips count as tested is what the synthetic source says of its speakers."""
    from vm_startup.speech_commands.synthetic.source import SyntheticSource

    for split in ((10, 10), (20, 30)):
        source = SyntheticSource(
            ["yes"], 126, validation_percentage=split[0], testing_percentage=split[1]
        )
        for found in source.clips():
            assert held_out._is_tested(found.name, split) == (found.split == TESTING)


def test_clips_that_an_older_version_was_trained_on_are_not_added(first, tested):
    """More percent of testing make clips tested that were trained on before: they stay out."""
    taken = next(name for name in speakers((10, 30)) if which_set(name, 10, 10) != TESTING)
    wider = replace(CONFIG, data=replace(CONFIG.data, testing_percentage=30))
    job = tested(clip("yes", taken), number=2)
    assert len(held_out.pin(PATH, job, wider)) == len(first)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (replace(CONFIG, words=Words(("yes",))), "clips of no, yes, and this config wants yes"),
        (
            replace(CONFIG, words=Words(("yes", "no", "go"))),
            "clips of no, yes, and this config wants go, no, yes",
        ),
        (
            replace(CONFIG, train=Train(window_stride_ms=10)),
            "features micro every 20 ms, and this config makes them micro every 10 ms",
        ),
        (replace(CONFIG, train=Train(preprocess="average")), "makes them average every 20 ms"),
    ],
    ids=["fewer words", "more words", "stride", "front end"],
)
def test_another_question_is_another_model(first, config, says):
    """Other words or other features cannot be compared; the order of words may change."""
    with pytest.raises(ConfigError) as refusal:
        held_out.check(PATH, config)
    assert str(refusal.value).startswith("words is compared on ")
    assert says in str(refusal.value)
    assert "another name" in refusal.value.hint
    held_out.check(PATH, replace(CONFIG, words=Words(("no", "yes"))))


def test_features_of_another_size_are_refused(first, tested):
    """A job whose features are of another size than its config promises is no comparison."""
    with pytest.raises(ConfigError, match="clips of 4 features, and job words-r2 has 6"):
        held_out.pin(PATH, tested(clip("yes", "a"), inputs=6, number=2), CONFIG)


def test_a_word_without_a_clip_is_refused(tested):
    """Where nothing would judge a word, that is said, and nothing is pinned."""
    with pytest.raises(ConfigError, match="would hold no clip of 'no': nothing would judge"):
        held_out.pin(PATH, tested(clip("yes", next(speakers()))), CONFIG)
    assert not PATH.exists()


def test_made_up_and_unlabelled_clips_are_not_pinned(tested):
    """What stands for no sound, or for nobody knows what, says nothing of a model."""
    one, two = (next(of) for of in [speakers()] * 2)
    found = [clip("yes", one), clip("no", two), clip("yes", "x", source=clips.MADE_UP)]
    unknown = ("own", "who knows", -1)
    assert len(held_out.pin(PATH, tested(*found, unknown), CONFIG)) == 2


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda arrays: arrays | {"format": 9}, "made by a newer launcher"),
        (lambda arrays: {"format": 1}, "damaged, it holds no pinned clips"),
    ],
    ids=["newer", "damaged"],
)
def test_a_file_that_cannot_be_used_is_said_so(first, harm, says):
    """A newer launcher's pinned clips, or damaged ones, are refused, and left as they are."""
    with np.load(PATH, allow_pickle=False) as arrays:
        spoilt = harm(dict(arrays))
    with PATH.open("wb") as file:
        np.savez(file, **spoilt)
    before = PATH.read_bytes()
    with pytest.raises(UsageError, match=says):
        held_out.check(PATH, CONFIG)
    assert PATH.read_bytes() == before
