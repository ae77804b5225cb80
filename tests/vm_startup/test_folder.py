"""Good folders of recordings are read, bad ones are refused."""

import os

import numpy as np
import pytest

from vm_startup.speech_commands.data import sound_file
from vm_startup.speech_commands.data.folder import FolderSource, check_folder
from vm_startup.speech_commands.data.speaker_splits import which_set
from vm_startup.speech_commands.errors import DataError


@pytest.fixture
def data(tmp_path):
    """Two words of three speakers each and one background noise."""
    for word in ("no", "yes"):
        (tmp_path / word).mkdir()
        for speaker in ("c3", "a1", "b2"):
            sound_file.write(
                tmp_path / word / f"{speaker}_nohash_0.wav", np.full(8000, ord(speaker[0]))
            )
    (tmp_path / "_background_noise_").mkdir()
    sound_file.write(tmp_path / "_background_noise_" / "hum.wav", np.full(40_000, -16384))
    (tmp_path / "README.md").write_text("about")
    return tmp_path


def test_folder_clips_are_sorted_by_name(data):
    """The order is that of the names, in whatever order the file system lists them."""
    (data / "yes" / ".hidden.wav").write_bytes(b"junk that macOS leaves behind")
    (data / "yes" / "notes.txt").write_text("not a clip")
    clips = FolderSource(data).clips()
    names = [f"{word}/{who}_nohash_0.wav" for word in ("no", "yes") for who in ("a1", "b2", "c3")]
    assert [clip.name for clip in clips] == names
    assert [clip.speaker for clip in clips] == ["a1", "b2", "c3"] * 2
    assert all(clip.source == "folder" for clip in clips)


def audio_of(source):
    """The samples of all clips."""
    with source.reader() as read:
        return np.concatenate([piece for block in source.blocks() for piece in read(block)])


def test_recording_name_need_not_be_utf8(data):
    """A Latin-1 file name is a clip like any other, and changes the key like a UTF-8 one."""
    key = FolderSource(data).key()
    for name in (b"caf\xe9_nohash_0.wav", "café_nohash_0.wav".encode()):
        sound_file.write(data / "yes" / os.fsdecode(name), np.full(8000, 7))
        assert check_folder(data, ["yes"]).words["yes"] == len(FolderSource(data).clips()) - 3
        assert FolderSource(data).key() != key
        key = FolderSource(data).key()
    assert audio_of(FolderSource(data))[-2:, 4000].tolist() == [7, 7]


def test_folder_clips_have_the_split_of_their_name(data):
    """The percentages and the name decide the split."""
    clips = FolderSource(data, validation_percentage=40, testing_percentage=30).clips()
    assert [clip.split for clip in clips] == [
        which_set(clip.name.split("/")[1], 40, 30) for clip in clips
    ]


def test_folder_clips_are_one_second_and_noises_whole(data):
    """Words are padded to 16,000 samples; background keeps its length and becomes float."""
    source = FolderSource(data)
    audio = audio_of(source)[0]
    assert audio.dtype == np.int16
    assert audio.shape == (16_000,)
    assert audio[:8000].tolist() == [ord("a")] * 8000
    assert not audio[8000:].any()
    (noise,) = source.background()
    assert noise.dtype == np.float32
    assert noise.shape == (40_000,)
    assert set(noise) == {-0.5}


def test_check_folder_counts_clips(data):
    """The summary has the number of clips of each word."""
    found = check_folder(data, ["yes", "no"])
    assert found.words == {"no": 3, "yes": 3}
    assert found.converted == 0


def test_missing_folder_is_refused(tmp_path):
    """The error names a path that is not a folder."""
    with pytest.raises(DataError, match="the folder .*nowhere does not exist"):
        check_folder(tmp_path / "nowhere", ["yes"])


@pytest.mark.parametrize(
    ("word", "nearest"), [("yess", "'yes'"), ("Yes", "'yes'"), ("nope", "'no'")]
)
def test_misspelled_word_error_names_the_nearest(data, word, nearest):
    """A word without a folder is refused, and the nearest folder name is suggested."""
    with pytest.raises(DataError, match=f"no folder for the word '{word}'.*nearest.*{nearest}"):
        check_folder(data, [word])


def test_folders_that_differ_by_case_are_refused(data):
    """Two spellings of one word would be two classes."""
    (data / "Yes").mkdir()
    with pytest.raises(DataError, match="'Yes' and 'yes', which differ only by case"):
        check_folder(data, ["yes"])


def test_word_folder_without_clips_is_refused(data):
    """A wanted word's folder must hold a WAV file."""
    (data / "maybe").mkdir()
    check_folder(data, ["yes"])
    with pytest.raises(DataError, match="maybe has no WAV"):
        check_folder(data, ["maybe"])


def test_empty_background_folder_is_refused(data):
    """A folder without noises is refused; a missing folder is allowed."""
    (data / "_background_noise_" / "hum.wav").unlink()
    with pytest.raises(DataError, match="_background_noise_ has no WAV.*remove the folder to"):
        check_folder(data, ["yes"])
    (data / "_background_noise_").rmdir()
    assert check_folder(data, ["yes"]).words


def test_first_bad_recording_is_named_and_others_counted(data):
    """The error is one sentence for any number of bad recordings, also of unknown words."""
    (data / "no" / "a1_nohash_0.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"no/a1_nohash_0.wav is empty: [^()]*$"):
        check_folder(data, ["yes"])
    (data / "yes" / "b2_nohash_0.wav").write_bytes(b"RIFF")
    (data / "_background_noise_" / "hum.wav").write_bytes(b"text")
    with pytest.raises(DataError, match=r"no/a1_nohash_0.wav is empty.* \(2 more recordings"):
        check_folder(data, ["yes"])


def test_link_out_of_the_folder_is_refused(data, tmp_path_factory):
    """Links within the folder are followed; one that leaves it would break on another machine."""
    (data / "yes" / "d4_nohash_0.wav").symlink_to("a1_nohash_0.wav")
    assert check_folder(data, ["yes"]).words["yes"] == 4
    outside = tmp_path_factory.mktemp("outside") / "clip.wav"
    sound_file.write(outside, np.ones(10))
    (data / "yes" / "e5_nohash_0.wav").symlink_to(outside)
    with pytest.raises(DataError, match="e5_nohash_0.wav is a link to .*outside"):
        check_folder(data, ["yes"])


def test_data_folder_may_be_a_link(data, tmp_path_factory):
    """The folder itself may be reached through a link."""
    link = tmp_path_factory.mktemp("links") / "data"
    link.symlink_to(data)
    assert check_folder(link, ["yes"]).words["yes"] == 3


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_unreadable_recording_is_refused(data):
    """The error names a file without read permission."""
    (data / "yes" / "a1_nohash_0.wav").chmod(0)
    with pytest.raises(DataError, match="a1_nohash_0.wav cannot be read: Permission denied"):
        check_folder(data, ["yes"])
