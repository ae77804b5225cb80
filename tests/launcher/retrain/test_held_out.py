"""The held-out clips that versions are compared on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from firmware_export import clips, files, labels
from launcher.config.settings import Config, Data, Train, Words
from launcher.errors import ConfigError, UsageError
from launcher.retrain import held_out
from vm_startup.conventions import SILENCE, UNKNOWN
from vm_startup.speech_commands.speaker_splits import TESTING, which_set

PATH = Path("models/words/held_out.npz")
CONFIG = Config(Words(("yes", "no")), name="words", data=Data(synthetic_clips=9))
LABELS = [SILENCE, UNKNOWN, "yes", "no"]


def speakers(split=(10, 10), skip=()):
    """Names of speakers whose clips are test clips."""
    names = (f"{number:08x}" for number in range(10**6))
    return (name for name in names if which_set(name, *split) == TESTING and name not in skip)


def clip(word, speaker, label=None, source="folder"):
    """A test clip: its source, name and label."""
    name = f"{word}/{speaker}_nohash_0.wav" if speaker else ""
    return source, name, LABELS.index(label or word)


@pytest.fixture
def tested(here):
    """A function that makes the folder of a job with these test clips."""

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
    """Held-out clips of two words, another word and silence."""
    one, two, three, *_ = (next(of) for of in [speakers()] * 3)
    found = [clip("yes", one), clip("no", two), clip("cat", three, UNKNOWN)]
    silence = clip("", "", SILENCE)
    return held_out.add_test_clips(PATH, tested(*found, silence), CONFIG)


def test_first_job_stores_its_test_clips(first):
    """The file has the labels of all test clips as strings, silence and unknown words included."""
    assert first.labels.tolist() == ["yes", "no", UNKNOWN, SILENCE]
    assert first.wanted == ("no", "yes")
    with np.load(PATH, allow_pickle=False) as arrays:
        assert arrays["labels"].tolist() == first.labels.tolist()


def test_later_job_adds_clips_and_removes_none(first, tested):
    """A later job, with another order of words, adds its new clips; stored ones stay; silence is
    not added again; and adding twice changes nothing."""
    fresh = next(speakers(skip=[name.split("/")[1][:8] for name in map(str, first.names) if name]))
    turned = [SILENCE, UNKNOWN, "no", "yes"]
    again = ("folder", str(first.names[0]), turned.index("yes"))
    added = ("folder", f"yes/{fresh}_nohash_0.wav", turned.index("yes"))
    job = tested(again, added, clip("", "", SILENCE), names=turned, number=2)
    joined = held_out.add_test_clips(PATH, job, CONFIG)
    assert joined.labels.tolist() == [*first.labels.tolist(), "yes"]
    assert (joined.features[: len(first)] == first.features).all()
    before = PATH.read_bytes()
    assert len(held_out.add_test_clips(PATH, job, CONFIG)) == len(joined)
    assert PATH.read_bytes() == before


def test_number_of_clips_is_bounded(first, tested, monkeypatch):
    """If there are too many new clips, an even selection fills the file."""
    monkeypatch.setattr(clips, "MAX_CLIPS", 8)
    known = [name.split("/")[1][:8] for name in map(str, first.names) if name]
    new = [name for name, _ in zip(speakers(skip=known), range(6), strict=False)]
    found = [clip("yes", name) for name in new[:3]] + [clip("no", name) for name in new[3:]]
    joined = held_out.add_test_clips(PATH, tested(*found, number=2), CONFIG)
    assert len(joined) == 8
    assert set(joined.labels[4:]) == {"yes", "no"}
    assert len(held_out.add_test_clips(PATH, tested(*found, number=3), CONFIG)) == 8


def test_percentages_that_would_train_on_held_out_clips_are_refused(first):
    """Percentages under which a held-out clip is no test clip are refused, with some names and the
    first percentages; other percentages are accepted."""
    moved = replace(CONFIG, data=replace(CONFIG.data, validation_percentage=50))
    with pytest.raises(ConfigError) as refusal:
        held_out.check(PATH, moved)
    assert "3 of the 4 held-out clips of words would be used for training or validation" in str(
        refusal.value
    )
    assert str(first.names[0]) in str(refusal.value)
    assert "they were 10 and 10" in refusal.value.hint
    held_out.check(PATH, replace(CONFIG, data=replace(CONFIG.data, testing_percentage=30)))


def test_is_tested_agrees_with_the_synthetic_source():
    """A synthetic clip is a test clip if the synthetic source says so."""
    from vm_startup.speech_commands.synthetic.source import SyntheticSource

    for split in ((10, 10), (20, 30)):
        source = SyntheticSource(
            ["yes"], 126, validation_percentage=split[0], testing_percentage=split[1]
        )
        for found in source.clips():
            assert held_out._is_tested(found.group, split) == (found.split == TESTING)


def test_clips_that_an_older_version_trained_on_are_not_added(first, tested):
    """Clips that only a higher testing percentage makes test clips are not added."""
    taken = next(name for name in speakers((10, 30)) if which_set(name, 10, 10) != TESTING)
    wider = replace(CONFIG, data=replace(CONFIG.data, testing_percentage=30))
    job = tested(clip("yes", taken), number=2)
    assert len(held_out.add_test_clips(PATH, job, wider)) == len(first)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (replace(CONFIG, words=Words(("yes",))), "words.wanted no, yes, but the config has yes"),
        (
            replace(CONFIG, words=Words(("yes", "no", "go"))),
            "words.wanted no, yes, but the config has go, no, yes",
        ),
        (
            replace(CONFIG, train=Train(window_stride_ms=10)),
            "features micro every 20 ms, but the config has micro every 10 ms",
        ),
        (
            replace(CONFIG, train=Train(preprocess="average")),
            "but the config has average every 20 ms",
        ),
    ],
    ids=["fewer words", "more words", "stride", "front end"],
)
def test_other_words_or_features_are_refused(first, config, says):
    """Models with other words or features cannot be compared; the order of words may change."""
    with pytest.raises(ConfigError) as refusal:
        held_out.check(PATH, config)
    assert str(refusal.value).startswith("the held-out clips of words have ")
    assert says in str(refusal.value)
    assert "change the config's name" in refusal.value.hint
    held_out.check(PATH, replace(CONFIG, words=Words(("no", "yes"))))


def test_features_of_another_size_are_refused(first, tested):
    """A job whose features have another size than the held-out clips is refused."""
    with pytest.raises(ConfigError, match="have 4 features, but those of job words-r2 have 6"):
        held_out.add_test_clips(PATH, tested(clip("yes", "a"), inputs=6, number=2), CONFIG)


def test_word_without_a_clip_is_refused(tested):
    """A word without a test clip is refused by name, and no file is written."""
    with pytest.raises(ConfigError, match="would have no clip of 'no'"):
        held_out.add_test_clips(PATH, tested(clip("yes", next(speakers()))), CONFIG)
    assert not PATH.exists()


def test_clips_without_sound_or_label_are_not_stored(tested):
    """Generated inputs and clips without a label are no held-out clips."""
    one, two = (next(of) for of in [speakers()] * 2)
    found = [clip("yes", one), clip("no", two), clip("yes", "x", source=clips.GENERATED)]
    unknown = ("own", "who knows", -1)
    assert len(held_out.add_test_clips(PATH, tested(*found, unknown), CONFIG)) == 2


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (
            lambda arrays: arrays | {"format": 9},
            "format 9 is not supported; this launcher reads format 2",
        ),
        (lambda arrays: {"format": 2}, "damaged, it has no held-out clips"),
    ],
    ids=["newer", "damaged"],
)
def test_unusable_file_is_refused_and_not_changed(first, harm, says):
    """A file of another format, or a damaged one, is refused and not changed."""
    with np.load(PATH, allow_pickle=False) as arrays:
        harmed = harm(dict(arrays))
    with PATH.open("wb") as file:
        np.savez(file, **harmed)
    before = PATH.read_bytes()
    with pytest.raises(UsageError, match=says):
        held_out.check(PATH, CONFIG)
    assert PATH.read_bytes() == before
