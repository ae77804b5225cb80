"""Sources are mixed into labelled splits as TensorFlow's trainer does it."""

from contextlib import contextmanager

import numpy as np
import pytest
from recordings import spoken as sound_of

from vm_startup.speech_commands import flags as command_line
from vm_startup.speech_commands.data.clip import Clip
from vm_startup.speech_commands.data.dataset import load
from vm_startup.speech_commands.data.stored_audio import SILENT_ROW, StoredAudio
from vm_startup.speech_commands.data.survey_facts import Facts, Survey
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.sound import sound_file
from vm_startup.speech_commands.sources import open_sources
from vm_startup.speech_commands.speaker_splits import which_set


class FakeSource:
    """A source of constant clips: `counts` clips of each word in every split."""

    reading = "Reading recordings"

    def __init__(self, counts, name="folder", base=1):
        self.counts, self.name, self.base = counts, name, base

    def clips(self):
        named = [
            (word, f"s{i}", self.name, split, f"{word}/{split}{i}")
            for word, count in self.counts.items()
            for split in ("training", "validation", "testing")
            for i in range(count)
        ]
        return [Clip(*clip, row, clip[1]) for row, clip in enumerate(named)]

    def survey(self, notes):
        assert len(notes) == len(self.clips())
        return Survey(self.clips(), Facts(self.name, {}))

    def sound(self, speaker):
        return np.full((1, 16_000), self.base + int(speaker[1:] or 1), np.int16)

    def background(self):
        return [np.zeros(5, np.float32)]

    def key(self):
        return "made" + self.name

    def blocks(self):
        return [range(len(self.clips()))]

    @contextmanager
    def reader(self):
        clips = self.clips()
        yield lambda block: ((self.sound(clips[i].speaker), [i]) for i in block)


def test_splits_have_upstreams_shares():
    """Unknown and silence are percentages of the wanted clips; training keeps all unknown ones."""
    data = load(
        [FakeSource({"cat": 50, "yes": 20, "no": 20})], ["yes", "no"], silence_percentage=25
    )
    assert data.labels == ["_silence_", "_unknown_", "yes", "no"]
    assert np.bincount(data.splits["training"].label).tolist() == [0, 50, 20, 20]
    for split in ("validation", "testing"):
        assert np.bincount(data.splits[split].label).tolist() == [10, 4, 20, 20]
        assert len(data.splits[split]) == 54


def test_split_fields_are_of_the_same_clip():
    """Audio, label and name of a clip have the same index; silence is all zero without a name."""
    data = load([FakeSource({"cat": 9, "yes": 9}, base=1)], ["yes"], unknown_percentage=50)
    for split, part in data.splits.items():
        assert part.audio.dtype == np.int16
        assert part.label.dtype == np.int32
        for audio, label, name in zip(part.audio, part.label, part.name, strict=True):
            if label == 0:
                assert name == ""
                assert not audio.any()
            else:
                word, rest = name.split("/")
                assert label == (2 if word == "yes" else 1)
                assert set(audio) == {1 + int(rest.removeprefix(split))}


def test_shares_are_counted_per_source():
    """Each source has its own unknown words and silence, so each has its own accuracy."""
    sources = [FakeSource({"yes": 10, "cat": 30}), FakeSource({"yes": 20, "dog": 30}, "synthetic")]
    data = load(sources, ["yes"], silence_percentage=10, unknown_percentage=20)
    test = data.splits["testing"]
    for source, counts in (("folder", [1, 2, 10]), ("synthetic", [2, 4, 20])):
        assert np.bincount(test.label[test.source == source]).tolist() == counts
    assert len(data.background) == 2


def test_seed_decides_unknown_clips():
    """The same seed picks the same clips, another seed others."""
    sources = [FakeSource({"yes": 30, "cat": 300})]
    picks = [load(sources, ["yes"], seed=s).splits["testing"].name.tolist() for s in (1, 1, 2)]
    assert picks[0] == picks[1]
    assert picks[0] != picks[2]


def test_word_missing_in_a_split_is_refused():
    """The message has the number of speakers and advice."""
    one = FakeSource({})
    one.clips = lambda: [
        Clip("yes", who, "folder", "training", f"yes/{row}", row, who)
        for row, who in enumerate(speakers)
    ]
    speakers = [""] * 12
    with pytest.raises(
        DataError, match="no clip for validation: its 12 clips that name no speaker all belong to"
    ):
        load([one], ["yes"])
    speakers = list("abcdefghijkl")
    with pytest.raises(
        DataError, match="'yes' has no clip for validation: its 12 clips of 12 speakers .*30"
    ):
        load([one], ["yes"])
    load([one, FakeSource({"yes": 1}, "synthetic")], ["yes"])


def test_word_with_too_few_clips_is_refused():
    """One clip per split is not enough to train and evaluate a word."""
    with pytest.raises(DataError, match="'yes' has 3 clips: .* need at least 10"):
        load([FakeSource({"yes": 1})], ["yes"])


def test_load_progress_ends_at_the_total():
    """The last report of each source is complete."""
    calls = []
    sources = [FakeSource({"yes": 3}), FakeSource({"yes": 4}, "synthetic")]
    sources[1].reading = "Speaking words"
    load(sources, ["yes"], progress=lambda *call: calls.append(call))
    assert ("Reading recordings", 9, 9) in calls
    assert ("Speaking words", 12, 12) in calls


def opened_sources(cache, *flags):
    """The sources of a training with these flags."""
    return open_sources(command_line.trainer().parse_args(["--wanted_words=yes", *flags]), cache)


def spoken(folder, silent=()):
    """Forty recordings each of two words, those in `silent` ("yes/3") all zero."""
    for word in ("yes", "cat"):
        (folder / word).mkdir(parents=True)
        for i in range(40):
            sound = sound_of(f"{word}/{i}") * (f"{word}/{i}" not in silent)
            sound_file.write(folder / word / f"{i}_nohash_0.wav", sound)
    return folder


def opened(folder, cache):
    """The folder, opened and loaded as a training does it."""
    sources = opened_sources(cache, f"--data_dir={folder}")
    return load(sources, ["yes"], cache_dir=cache)


def test_folder_is_opened_and_loaded(tmp_path):
    """The trainer's flags lead from a folder of recordings to arrays."""
    folder = spoken(tmp_path / "data")
    flags = "--validation_percentage=20", "--testing_percentage=20", f"--data_dir={folder}"
    data = load(opened_sources(tmp_path, *flags), ["yes"], unknown_percentage=100)
    test = data.splits["testing"]
    expected = sum(which_set(f"{i}_nohash_0.wav", 20, 20) == "testing" for i in range(40))
    assert (test.label == 2).sum() == (test.label == 1).sum() == expected
    for name, audio in zip(test.name, test.audio, strict=True):
        if name:
            assert (audio == sound_of(name.removesuffix("_nohash_0.wav"))).all()


def test_word_with_only_silent_clips_is_refused(tmp_path):
    """The error names the word, on each run."""
    folder = spoken(tmp_path / "data", [f"yes/{i}" for i in range(40)])
    for _ in range(2):
        with pytest.raises(DataError, match="'yes' has no clip: all 40 recordings are left out"):
            opened(folder, tmp_path / "cache")


def test_silent_clips_are_not_used(tmp_path):
    """They are named in the facts, also in a second run, which reads nothing again."""
    folder = spoken(tmp_path / "data", ["yes/3", "cat/7"])
    for _ in range(2):
        data = opened(folder, tmp_path / "cache")
        names = [name for split in data.splits.values() for name in split.name]
        assert "yes/4_nohash_0.wav" in names
        assert "yes/3_nohash_0.wav" not in names
        assert data.facts[0].left_out == [
            ("cat/7_nohash_0.wav", "all samples are equal"),
            ("yes/3_nohash_0.wav", "all samples are equal"),
        ]


def test_changed_recording_is_read_again(tmp_path):
    """The cache identifies a folder by its files' names, sizes and times."""
    folder, cache = spoken(tmp_path / "data"), tmp_path / "cache"
    opened(folder, cache)
    changed = sound_of("changed")
    sound_file.write(folder / "yes" / "0_nohash_0.wav", changed)
    after = opened(folder, cache).splits["training"]
    (row,) = np.flatnonzero(after.name == "yes/0_nohash_0.wav")
    assert (after.audio[row] == changed).all()


def test_8_khz_recording_is_left_out(tmp_path):
    """It is named with its rate."""
    folder = spoken(tmp_path / "data")
    path = folder / "cat" / "5_nohash_0.wav"
    content = bytearray(path.read_bytes())
    content[24:28] = (8000).to_bytes(4, "little")
    path.write_bytes(content)
    ((name, why),) = opened(folder, tmp_path / "cache").facts[0].left_out
    assert name == "cat/5_nohash_0.wav"
    assert why.startswith("was recorded at 8,000 Hz: ")


def test_missing_background_is_printed_once(tmp_path, capsys):
    """A missing folder of noises is allowed, and its effect is printed."""
    opened(spoken(tmp_path / "data"), tmp_path / "cache")
    assert capsys.readouterr().out.count("No background noise: all silence is") == 1


def test_stored_audio_is_indexed_like_an_array():
    """Numbers, slices, masks and lists give the same rows as an array."""
    stores = [np.full((3, 16_000), 1, np.int16), np.full((2, 16_000), 2, np.int16)]
    stores[0] += np.arange(3, dtype=np.int16)[:, np.newaxis] * 10
    order = np.array([4, 0, SILENT_ROW, 2, 3, 1])
    rows, array = (
        StoredAudio(stores, order),
        np.concatenate([*stores, np.zeros_like(stores[0][:1])])[order],
    )
    assert (len(rows), rows.shape, rows.dtype, rows.ndim) == (6, array.shape, array.dtype, 2)
    keys = [0, -1, np.int64(2), slice(1, 4), slice(None), [5, 5, 0], array[:, 0] > 1, np.arange(2)]
    for key in keys:
        assert rows[key].shape == array[key].shape
        assert (rows[key] == array[key]).all()
    assert (np.asarray(rows) == array).all()
    assert (np.array(rows) == array).all()
    assert len(list(rows)) == 6
    whole = StoredAudio(stores[:1], np.arange(3))[:]
    whole[:] = 0
    assert stores[0].all()


def test_no_source_is_refused(tmp_path):
    """The error names the flags that give data."""
    with pytest.raises(DataError, match="--data_dir, --data_url and --synthetic_clips"):
        opened_sources(tmp_path, "--data_url=")
