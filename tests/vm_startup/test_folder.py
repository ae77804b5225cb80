"""A folder of recordings as a source: every file is used, or named with the reason why not."""

import os
import shutil

import numpy as np
import psutil
import pytest
import soundfile
from recordings import spoken

from vm_startup.speech_commands.data import survey_text
from vm_startup.speech_commands.data.clip_store import store
from vm_startup.speech_commands.data.dataset import check_splits, check_usable
from vm_startup.speech_commands.data.folder import FolderSource
from vm_startup.speech_commands.data.source import sounds
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.sound import sound_file
from vm_startup.speech_commands.speaker_splits import which_set
from vm_startup.speech_commands.takes import copies

WANTED = ["yes", "no"]


@pytest.fixture
def data(tmp_path):
    """Two words of three speakers each and one background noise."""
    folder = tmp_path / "data"
    for word in WANTED:
        for speaker in ("c3", "a1", "b2"):
            add(folder / word / f"{speaker}_nohash_0.wav", spoken(word + speaker))
    add(folder / "_background_noise_" / "hum.wav", np.tile([-16384, 8192], 20_000))
    return folder


def add(path, sound, **how):
    """Write a recording of any kind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.asarray(sound, np.int16), 16_000, **how)


def examined(data, wanted=WANTED, **how):
    """The source and its survey."""
    source = FolderSource(data, wanted, **how)
    with source.reader() as read:
        notes = [note for block in source.blocks() for _, noted in read(block) for note in noted]
    return source, source.survey(notes)


def names(survey):
    return [clip.name for clip in survey.clips]


def left_out(data, wanted=WANTED):
    """Why each file is not used."""
    return dict(examined(data, wanted)[1].facts.left_out)


def test_folder_clips_are_sorted_by_name(data):
    """The order is that of the names, in whatever order the file system lists them."""
    found = examined(data)[1]
    expected = [f"{w}/{who}_nohash_0.wav" for w in ("no", "yes") for who in ("a1", "b2", "c3")]
    assert names(found) == expected
    assert [clip.speaker for clip in found.clips] == ["a1", "b2", "c3"] * 2
    assert [clip.split for clip in found.clips] == [
        which_set(name.partition("/")[2], 10, 10) for name in expected
    ]


def test_folder_clips_are_one_second_and_noises_whole(data):
    """Words are padded to 16,000 samples; background keeps its length and becomes float."""
    add(data / "no" / "d4_nohash_0.wav", spoken("short")[4000:12000])
    source, found = examined(data)
    (padded,) = [sound for clip, sound in sounds(source, found.clips) if "d4" in clip.name]
    assert padded.shape == (16_000,)
    assert not padded[8000:].any()
    (noise,) = source.background()
    assert (noise.dtype, noise.shape, set(noise)) == (np.float32, (40_000,), {-0.5, 0.25})


def test_recording_name_need_not_be_utf8(data):
    """A Latin-1 file name is a clip like any other, and changes the key like a UTF-8 one."""
    keys = {FolderSource(data, WANTED).key()}
    for name in (b"caf\xe9_nohash_0.wav", "café_nohash_0.wav".encode()):
        sound_file.write(data / "yes" / os.fsdecode(name), spoken(name))
        keys.add(FolderSource(data, WANTED).key())
    assert len(keys) == 3
    assert len(examined(data)[1].clips) == 8


def test_recording_of_same_size_and_time_changes_the_key(data):
    """A recording that was replaced by one with its size and modification time is read again."""
    path = data / "yes" / "a1_nohash_0.wav"
    before, times = FolderSource(data, WANTED).key(), path.stat()
    add(path, spoken("another"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size
    assert FolderSource(data, WANTED).key() != before


FAULTS = {
    "constant": (np.full(16_000, 7), "all samples are equal"),
    "zero": (np.zeros(16_000), "all samples are equal"),
    "dither": (np.arange(16_000) * 7919 % 3 - 1, "no sound but faint noise"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_clip_without_sound_is_left_out_by_name(data, fault):
    """A muted microphone's recordings are not used, and each is named."""
    sound, why = FAULTS[fault]
    add(data / "yes" / "d4_nohash_0.wav", sound)
    assert left_out(data) == {"yes/d4_nohash_0.wav": why}


def test_zeros_before_a_word_are_no_fault(data):
    """A recording that begins with a second of digital silence is cut around its word."""
    add(data / "yes" / "d4_nohash_0.wav", np.concatenate([np.zeros(16_000), spoken("late")]))
    source, found = examined(data)
    assert found.facts.left_out == []
    (sound,) = [sound for clip, sound in sounds(source, found.clips) if "d4" in clip.name]
    assert np.abs(sound[6000:10_000]).max() > 1000


def test_float_in_other_units_is_left_out(data):
    """Floats that hold 16-bit numbers are not trained on as square waves; the line says why."""
    for folder in ("yes", "_background_noise_"):
        path = data / folder / "d4_nohash_0.wav"
        soundfile.write(path, spoken("units").astype(float), 16_000, subtype="FLOAT")
    found = left_out(data)
    assert found.keys() == {"yes/d4_nohash_0.wav", "_background_noise_/d4_nohash_0.wav"}
    for why in found.values():
        assert why.startswith("its float samples are not scaled to 1: the loudest is ")
        assert why.endswith("divide them by 32,768 if they were 16-bit numbers")


def test_opposite_channels_are_left_out_once(data):
    """Two channels that cancel each other are left out for that reason, and not doubtful too."""
    sound = spoken("opposite")
    add(data / "yes" / "d4_nohash_0.wav", np.stack([sound, -sound], axis=1))
    found = examined(data)[1].facts
    assert dict(found.left_out) == {"yes/d4_nohash_0.wav": sound_file.CANCELLED}
    assert not any(name.startswith("yes/d4") for name, _ in found.doubtful)


def test_sounds_that_are_no_takes_are_named_with_their_time(data):
    """A beep before the takes is no clip, and a line says where it is."""
    beep = 9000 * np.sin(2 * np.pi * 440 * np.arange(12_000) / 16_000)
    pause = np.random.default_rng(0).normal(0, 20, 16_000)
    memo = [pause, beep, pause, spoken("a"), pause, spoken("b")]
    add(data / "yes" / "d4_nohash_0.wav", np.concatenate(memo))
    _, found = examined(data)
    assert names(found)[-2:] == ["yes/d4_nohash_0.wav#1", "yes/d4_nohash_0.wav#2"]
    assert ("yes/d4_nohash_0.wav, 0.8 s at 1.0 s", "a steady sound is not used") in (
        found.facts.doubtful
    )


@pytest.mark.parametrize("kind", ["flac", "mp3", "ogg", "aiff", "caf"])
def test_other_containers_are_used_beside_wav(data, kind):
    """Recordings of another kind among WAV files are clips too, and are counted as converted."""
    add(data / "yes" / f"d4_nohash_0.{kind}", spoken(kind))
    found = examined(data)[1]
    assert f"yes/d4_nohash_0.{kind}" in names(found)
    words = found.facts.words["yes"]
    assert (words.files, words.clips, words.left_out) == (4, 4, 0)
    assert words.converted == 1


def test_damaged_recordings_are_left_out_with_reasons(data):
    """Files that cannot be read end nothing: each is named with what is wrong with it."""
    (data / "no" / "d4_nohash_0.wav").write_bytes(b"")
    whole = (data / "yes" / "a1_nohash_0.wav").read_bytes()
    (data / "yes" / "e5_nohash_0.wav").write_bytes(whole[:9000])
    (data / "_background_noise_" / "bad.wav").write_bytes(b"RIFF")
    found = left_out(data)
    assert found.keys() == {
        *("no/d4_nohash_0.wav", "yes/e5_nohash_0.wav", "_background_noise_/bad.wav")
    }
    assert found["no/d4_nohash_0.wav"].startswith("is empty")
    assert found["yes/e5_nohash_0.wav"].startswith("is truncated")
    assert len(FolderSource(data, WANTED).background()) == 1


def test_long_recordings_are_cut_into_their_takes(data):
    """Each take of a long recording is a clip of its own, with its number."""
    pause = np.random.default_rng(0).normal(0, 20, 12_000)
    takes = [part for seed in "abc" for part in (spoken(seed), pause)]
    add(data / "yes" / "d4_nohash_0.flac", np.concatenate(takes))
    found = examined(data)[1]
    assert names(found)[-3:] == [f"yes/d4_nohash_0.flac#{number}" for number in (1, 2, 3)]
    assert len({clip.split for clip in found.clips[-3:]}) == 1
    words = found.facts.words["yes"]
    assert (words.files, words.clips, words.cut, words.several) == (4, 6, 1, 1)


def later(sound, samples):
    return np.pad(sound, (samples, 0))[:16_000]


COPIES = {  # how the samples change, the file's ending, how it is written
    "same bytes": (lambda sound: sound, "wav", {}),
    "FLAC": (lambda sound: sound, "flac", {}),
    "MP3": (lambda sound: sound, "mp3", {}),
    "MP3, lowest rate": (lambda sound: sound, "mp3", {"compression_level": 0.99}),
    "Vorbis": (lambda sound: sound, "ogg", {}),
    "Opus": (lambda sound: sound, "opus", {"format": "OGG", "subtype": "OPUS"}),
    "GSM": (lambda sound: sound, "wav", {"subtype": "GSM610"}),
    "quieter": (lambda sound: sound // 2, "wav", {}),
    "3.7 ms later": (lambda sound: later(sound, 59), "wav", {}),
    "100 ms later": (lambda sound: later(sound, 1600), "wav", {}),
    "trimmed": (lambda sound: sound[480:], "wav", {}),
    "within a longer recording": (lambda sound: np.pad(sound, (16_000, 9000)), "wav", {}),
}


@pytest.mark.parametrize("how", COPIES)
def test_copy_under_another_name_is_one_clip(data, how):
    """The same sound under another name, also moved or encoded again, is used once and named."""
    change, ending, kind = COPIES[how]
    path = data / "yes" / f"z9_nohash_0.{ending}"
    add(path, change(spoken("yesa1")), **kind)
    assert left_out(data) == {f"yes/{path.name}": "a copy: the same sound as yes/a1_nohash_0.wav"}


def test_copy_of_a_long_recording_is_decoded_once(data, monkeypatch):
    """The takes of a memo and of its copy are compared without reading the files again for each."""
    takes = [part for n in range(12) for part in (spoken(f"take {n}"), np.zeros(9000))]
    for ending in ("flac", "mp3"):
        add(data / "yes" / f"d4_nohash_0.{ending}", np.concatenate(takes))
    source, _ = examined(data)
    with source.reader() as examine:
        notes = [note for block in source.blocks() for _, of in examine(block) for note in of]
    read, counted = sound_file.read, []
    monkeypatch.setattr(sound_file, "read", lambda path: counted.append(path.name) or read(path))
    found = source.survey(notes)
    assert sum(why.startswith("a copy") for _, why in found.facts.left_out) == 12
    assert sorted(name for name in counted if "d4" in name) == [
        "d4_nohash_0.flac",
        "d4_nohash_0.mp3",
    ]


def test_sound_under_two_words_is_used_for_neither(data):
    """Nobody can know which of two words a sound is."""
    add(data / "no" / "z9_nohash_0.wav", spoken("yesa1"))
    assert left_out(data) == {
        "no/z9_nohash_0.wav": "of two words: the same sound is also under yes",
        "yes/a1_nohash_0.wav": "of two words: the same sound is also under no",
    }


def test_lines_show_any_name_as_printable_text(data):
    """A name that is no text, or would act on a terminal, is shown by its characters' codes."""
    for name in (b"caf\xe9.wav", b"red\x1b[31m.wav"):
        (data / "yes" / os.fsdecode(name)).write_bytes(b"")
    lines = survey_text.lines(examined(data)[1].facts, WANTED)
    assert all(line.isprintable() for line in lines)
    (line,) = [line for line in lines if line.startswith("left out (2): ")]
    assert r"caf\udce9.wav" in line and r"red\x1b[31m.wav" in line


def test_other_takes_are_no_copies():
    """Two takes of one sound shape are told apart by their waveforms."""
    assert copies.correlation(spoken(1), spoken(1)) > 0.99 > copies.SAME
    assert copies.correlation(spoken(1), spoken(2)) < copies.SAME


def test_unknown_speakers_are_said(tmp_path):
    """Names without speakers give clips, and a line that says what the accuracy is not."""
    for word in WANTED:
        for number in range(12):
            add(tmp_path / word / f"{word}_{number:03}.wav", spoken(f"{word}{number}"))
    found = examined(tmp_path)[1]
    assert found.facts.voices == "unknown"
    assert {facts.speakers for facts in found.facts.words.values()} == {0}
    assert any(line.startswith("same voice: ") for line in survey_text.lines(found.facts, WANTED))


def test_one_speaker_is_split_by_recording(tmp_path):
    """One person's recordings are in all splits, and the text says that it is one voice."""
    for word in WANTED:
        for number in range(60):
            add(tmp_path / word / f"me_nohash_{number}.wav", spoken(f"{word}{number}"))
    found = examined(tmp_path)[1]
    assert found.facts.voices == "one"
    assert all(all(facts.splits.values()) for facts in found.facts.words.values())


def test_takes_of_one_recording_may_be_in_several_splits(tmp_path):
    """With one long recording of each word, its takes are what is split."""
    pause = np.random.default_rng(0).normal(0, 20, 12_000)
    for word in WANTED:
        takes = [part for n in range(30) for part in (spoken(f"{word}{n}"), pause)]
        add(tmp_path / word / "memo.wav", np.concatenate(takes))
    found = examined(tmp_path)[1]
    assert {clip.split for clip in found.clips} == {"training", "validation", "testing"}
    assert len(found.clips) == 60


def test_speaker_folders_decide_the_split(tmp_path):
    """All recordings in a speaker's folder are in one split, in every word."""
    for word in WANTED:
        for person in "abcdefgh":
            for number in range(3):
                add(tmp_path / word / person / f"{number}.wav", spoken(f"{word}{person}{number}"))
    clips = examined(tmp_path, validation_percentage=30, testing_percentage=30)[1].clips
    splits = {(clip.speaker, clip.split) for clip in clips}
    assert len(splits) == 8
    assert len({split for _, split in splits}) > 1


def test_named_speakers_stay_together_beside_nameless_files(tmp_path):
    """One file without a name does not split those who have one; a line counts and names it."""
    pause = np.random.default_rng(0).normal(0, 20, 12_000)
    for word in WANTED:
        for who in ("anna/1", "anna/2", "bert/1", "visitor"):
            takes = [part for n in range(9) for part in (spoken(f"{word}{who}{n}"), pause)]
            add(tmp_path / word / f"{who}.wav", np.concatenate(takes))
    found = examined(tmp_path, validation_percentage=30, testing_percentage=30)[1]
    assert len({(clip.speaker or clip.group, clip.split) for clip in found.clips}) == 3
    lines = survey_text.lines(found.facts, WANTED)
    named = "2 of 8 recordings name no speaker: 'no/visitor.wav', 'yes/visitor.wav'"
    assert named in lines
    assert not any("nothing says who speaks" in line for line in lines)
    assert any(line.startswith("same voice, in part: ") for line in lines)


def test_recording_that_was_noise_is_read_again(data):
    """A table that now calls a noise a word is another state of the folder."""
    add(data / "zoo" / "1.wav", spoken("zoo"))
    shutil.rmtree(data / "_background_noise_")
    keys = set()
    for label in ("noise", "yes"):
        rows = "".join(
            f"{path.relative_to(data)},{path.parent.name}\n"
            for path in sorted(data.glob("*/*_0.*"))
        )
        (data / "l.csv").write_text(f"path,label\n{rows}zoo/1.wav,{label}\n")
        keys.add(FolderSource(data, WANTED).key())
    assert len(keys) == 2


@pytest.mark.parametrize("level", [0, 9])
def test_noise_without_sound_is_left_out(data, level):
    """Zeros or a constant are no background noise: they are named, and not trained with."""
    add(data / "_background_noise_" / "dead.wav", np.full(40_000, level))
    source, found = examined(data)
    assert found.facts.left_out == [("_background_noise_/dead.wav", "all samples are equal")]
    assert found.facts.noises == len(source.background()) == 1


def test_recordings_that_are_not_read_count_as_files(data):
    """A word's row has its M4A among its files and among those that are left out."""
    (data / "yes" / "memo.m4a").touch()
    words = examined(data)[1].facts.words
    assert (words["yes"].files, words["yes"].clips, words["yes"].left_out) == (4, 3, 1)
    assert (words["no"].files, words["no"].left_out) == (3, 0)


def test_word_without_clip_is_refused_with_a_file_of_its_own(data):
    """The reason is that of a recording of the word, not of the first file that is not used."""
    (data / "README.md").touch()
    (data / "no" / "x.wav").touch()
    for path in (data / "yes").iterdir():
        add(path, np.zeros(16_000))
    with pytest.raises(DataError, match=r"all 3 .* such as yes/a1_nohash_0\.wav: all samples"):
        check_usable(examined(data)[1], WANTED)


def test_missing_split_is_refused_with_clips_and_speakers(data):
    """Clips are counted as clips, speakers as speakers, also where some files name none."""
    pause = np.random.default_rng(0).normal(0, 20, 12_000)
    takes = [part for n in range(5) for part in (spoken(f"take{n}"), pause)]
    add(data / "yes" / "memo.wav", np.concatenate(takes))
    says = (
        r"'yes' has no clip for \w+: its 3 clips of 3 speakers and 5 clips that name no speaker all"
    )
    with pytest.raises(DataError, match=says):
        check_splits([examined(data)[1]], WANTED)


def test_given_test_set_stays_and_validation_is_drawn(tmp_path):
    """Folders training/ and testing/ keep their sides; validation is drawn from training."""
    for split in ("training", "testing"):
        for word in WANTED:
            for number in range(40):
                name = f"{word}.{split}{number}.wav"
                add(tmp_path / split / name, spoken(f"{split}{word}{number}"))
    for clip in examined(tmp_path)[1].clips:
        assert (clip.split == "testing") == clip.name.startswith("testing/")
    assert {clip.split for clip in examined(tmp_path)[1].clips} >= {"validation", "training"}


def test_every_file_is_used_or_named(data, tmp_path):
    """Files of every kind: what is not a clip has a line, whatever it is."""
    add(data / "yes" / "phone" / "x.wav", spoken("phone"))
    (data / "README.md").write_text("about")
    (data / "yes" / "memo.m4a").write_bytes(b"\0\0\0 ftypM4A " + bytes(100))
    (data / "yes" / ".hidden.wav").write_bytes(b"junk that macOS leaves behind")
    outside = tmp_path / "outside.wav"
    add(outside, spoken("outside"))
    (data / "yes" / "link.wav").symlink_to(outside)
    _, found = examined(data)
    used = set(names(found)) | {"_background_noise_/hum.wav"}
    files = {p.relative_to(data).as_posix() for p in data.rglob("*") if p.is_file()}
    assert used | dict(found.facts.left_out).keys() == files
    assert not used & dict(found.facts.left_out).keys()


def test_stored_clips_are_those_of_the_survey(data, tmp_path):
    """The store's rows are the clips that a reading gives, also in a second run."""
    add(data / "yes" / "dc_nohash_0.wav", np.full(16_000, 9))
    source, found = examined(data)
    expected = {clip.name: sound for clip, sound in sounds(source, found.clips)}
    for _ in range(2):
        stored = store(FolderSource(data, WANTED), tmp_path / "cache")
        for clip in source.survey(stored.notes).clips:
            assert (stored.audio[stored.rows[clip.row]] == expected[clip.name]).all()


def test_processes_find_the_same_as_this_one(data, monkeypatch):
    """Many files are examined by other processes, with the same clips and notes."""
    add(data / "yes" / "dc_nohash_0.wav", np.full(16_000, 9))
    add(data / "yes" / "d4_nohash_0.wav", np.concatenate([spoken("a"), spoken("b")]))
    source, here = examined(data)
    expected = [sound for _, sound in sounds(source, here.clips)]
    monkeypatch.setattr("vm_startup.speech_commands.data.folder.FEW", 0)
    there = examined(data)[1]
    assert there == here
    found = [sound for _, sound in sounds(source, here.clips)]
    assert len(found) == len(here.clips)
    assert all((a == b).all() for a, b in zip(found, expected, strict=True))


def test_process_that_ends_early_is_one_sentence(data, monkeypatch):
    """If a reading process is killed, the error says so."""
    monkeypatch.setattr("vm_startup.speech_commands.data.folder.FEW", 0)
    source = FolderSource(data, WANTED)
    with source.reader() as read:
        list(read(range(1)))
        for process in psutil.Process().children():
            if "takes.worker" in " ".join(process.cmdline()):
                process.kill()
        with pytest.raises(DataError, match="ended early with exit code -9"):
            list(read(range(1)))


def test_missing_folder_is_refused(tmp_path):
    """The error names a path that is not a folder."""
    with pytest.raises(DataError, match="nowhere"):
        FolderSource(tmp_path / "nowhere", WANTED)
