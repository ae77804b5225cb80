"""Sound of every container is read, and what is none is named."""

import contextlib
import ctypes
import os
import struct

import numpy as np
import pytest
import recorded

from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.sound import sound_file
from vm_startup.speech_commands.sound.c_output import silenced

SOUND = recorded.sound()


@pytest.fixture(scope="module")
def encoded():
    """A second of sound in every kind that libsndfile writes."""
    return recorded.all_encoded(SOUND)


def saved(folder, data, name="clip"):
    path = folder / name
    path.write_bytes(data)
    return path


def refusal(path):
    """The one sentence that check or read refuses a file with."""
    with pytest.raises(DataError) as caught:
        sound_file.check(path)
        sound_file.read(path)
    reason = str(caught.value)
    assert reason.startswith(f"{path} ") and "\n" not in reason
    return reason.removeprefix(f"{path} ")


def test_every_kind_has_the_same_samples(tmp_path, encoded):
    """Lossless kinds are exact, lossy ones as close as measured; 8 kHz is refused."""
    assert len(encoded) > 120
    for (container, subtype), data in encoded.items():
        bound, path = recorded.bound(container, subtype), saved(tmp_path, data)
        if container == "WVE":
            assert "was recorded at 8,000 Hz" in refusal(path)
        elif bound is not None:
            sound = sound_file.read(path)
            assert recorded.signal_to_noise(SOUND, sound.samples) >= bound, (container, subtype)
            assert (sound.rate, sound.channels) == (16_000, 1)


def test_rates_and_channels_of_other_kinds(tmp_path):
    """44.1 kHz stereo of FLAC, Ogg, MP3 and AIFF becomes 16 kHz mono, close to the original."""
    wide = recorded.sound(rate=44_100)
    plain_wav = saved(tmp_path, recorded.encoded(wide, "WAV", "PCM_16", 44_100))
    plain = sound_file.read(plain_wav).samples
    for container, subtype, least in [
        ("FLAC", "PCM_16", 40),
        ("AIFF", "PCM_24", 40),
        ("OGG", "VORBIS", 20),
        ("MP3", "MPEG_LAYER_III", 20),
    ]:
        data = recorded.encoded(np.stack([wide, wide], 1), container, subtype, 44_100)
        sound = sound_file.read(saved(tmp_path, data))
        assert recorded.signal_to_noise(plain, sound.samples) > least, container
        assert (sound.rate, sound.channels) == (44_100, 2)


@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        *[("WAV", "MS_ADPCM"), ("WAV", "FLOAT"), ("RF64", "PCM_24"), ("W64", "PCM_16")],
        *[("AIFF", "PCM_16"), ("CAF", "PCM_24"), ("AU", "PCM_16"), ("FLAC", "PCM_16")],
        *[("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("SVX", "PCM_16")],
    ],
)
def test_truncated_file_is_refused(tmp_path, encoded, container, subtype):
    """A file that lost its end is no shorter recording."""
    data = encoded[container, subtype]
    assert "truncated" in refusal(saved(tmp_path, data[: len(data) * 2 // 3]))


LENGTHS = {  # container: (where its length is, after which bytes, struct format, unknown lengths)
    "AU": (b".snd", 8, ">I", [0, 0x7FFFFFFF, 0xFFFFFFFF]),
    "AIFF": (b"SSND", 4, ">I", [0, 0x7F000008, 0xFFFFFFFF]),
    "CAF": (b"data", 4, ">Q", [0, 2**63 - 1, 2**64 - 1]),
    "W64": (b"data\xf3", 16, "<Q", [24, 2**63 - 1, 2**64 - 1]),
    "RF64": (b"ds64", 16, "<Q", [0, 2**63 - 1, 2**64 - 1]),
}


@pytest.mark.parametrize("container", LENGTHS)
def test_unknown_length_is_read_to_the_end_of_the_file(tmp_path, encoded, container):
    """Every container may come from a pipe, with a length that was not known."""
    name, after, number, lengths = LENGTHS[container]
    whole = encoded[container, "PCM_24"]
    for length in lengths:
        data = bytearray(whole)
        struct.pack_into(number, data, whole.index(name) + after, length)
        if container == "AIFF":
            struct.pack_into(number, data, 4, length)
        sound = sound_file.read(saved(tmp_path, data))
        assert (sound.samples == SOUND).all()
        assert "does not say how long it is" in sound.remarks[0]


def test_flac_of_unknown_length_is_read(tmp_path, encoded):
    """FLAC from a pipe has no count of samples in its header."""
    data = bytearray(encoded["FLAC", "PCM_16"])
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    assert (sound_file.read(saved(tmp_path, data)).samples == SOUND).all()


def without_header(mp3):
    """MP3 frames without the first, which says how many there are."""
    assert b"Xing" in mp3[:40] or b"Info" in mp3[:40]
    return mp3[mp3.index(mp3[:2], 2) :]


@pytest.mark.parametrize("tag", [b"", b"ID3\x03\0\0\0\0\1\0" + bytes(128)])
def test_mp3_without_a_count_is_read_whole(tmp_path, tag):
    """MP3 of a changing bit rate and no header, from which libsndfile guesses a third of it."""
    silence_first = np.random.default_rng(1).integers(-9000, 9000, 48_000)
    silence_first[:32_000] = 0
    data = without_header(recorded.encoded(silence_first.astype("i2"), "MP3", "MPEG_LAYER_III"))
    sound = sound_file.read(saved(tmp_path, tag + data))
    assert 48_000 <= len(sound.samples) < 50_500
    loud = np.abs(sound.samples) > 1000
    assert not loud[:30_000].any() and loud[34_500:48_000].mean() > 0.5


def test_joined_and_tagged_mp3_is_read_whole(tmp_path, encoded):
    """A second file behind the first is read too; a tag behind it is no sound."""
    data = encoded["MP3", "MPEG_LAYER_III"]
    one = sound_file.read(saved(tmp_path, data + b"TAG" + bytes(125)))
    assert (len(one.samples), one.remarks) == (16_000, ())
    two = sound_file.read(saved(tmp_path, data + without_header(data)))
    assert len(two.samples) > 32_000
    junk = sound_file.read(saved(tmp_path, data + b"junk"))
    assert junk.remarks == ("the last 4 bytes are no complete frame and are not used",)


def test_mp3_in_a_wav_file_is_read(tmp_path, encoded):
    """WAV with MP3 frames has the samples of the MP3 file."""
    data = encoded["MP3", "MPEG_LAYER_III"]
    fmt = struct.pack("<HHIIHHHHIHHH", 0x55, 1, 16_000, 3000, 1, 0, 12, 1, 2, 144, 1, 1393)
    chunks = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt
    chunks += b"data" + struct.pack("<I", len(data)) + data
    wav = saved(tmp_path, b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
    expected = sound_file.read(saved(tmp_path, data, "clip.mp3")).samples
    assert (sound_file.read(wav).samples == expected).all()


def test_incomplete_ogg_is_noticed(tmp_path, encoded):
    """An Ogg file that lost its last page, and one with two recordings, are read with a remark."""
    data = encoded["OGG", "VORBIS"]
    cut = sound_file.read(saved(tmp_path, data[: data.rindex(b"OggS")]))
    assert cut.remarks == ("its last page has no end mark: it may be cut",)
    two = sound_file.read(saved(tmp_path, data + data))
    assert two.remarks == ("of 2 recordings in one file only the first is used",)


def test_content_decides_not_the_name(tmp_path, encoded):
    """MP3 in a file named .wav is read, with a remark."""
    path = saved(tmp_path, encoded["MP3", "MPEG_LAYER_III"], "clip.wav")
    assert sound_file.read(path).remarks == ("MP3 in a file named .wav",)
    flac = saved(tmp_path, encoded["FLAC", "PCM_16"], "clip.FLAC")
    assert sound_file.read(flac).remarks == () and not sound_file.check(flac).converted


M4A = b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(99)
NOT_SOUND = {
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", "`git lfs pull`"),
    "M4A": (M4A, "is an M4A file"),
    "3GP": (b"\0\0\0\x18ftyp3gp4" + bytes(99), "is a 3GP file"),
    "AAC": (bytes.fromhex("fff15080") + bytes(99), "is an AAC file"),
    "WMA": (bytes.fromhex("3026b2758e66cf11") + bytes(99), "is a WMA or WMV file"),
    "AMR": (b"#!AMR\n" + bytes(99), "is an AMR file"),
    "WebM": (bytes.fromhex("1a45dfa3") + bytes(99), "is a WebM or Matroska file"),
    "AVI": (b"RIFF\xff\0\0\0AVI LIST" + bytes(99), "is an AVI video"),
    "zip": (b"PK\x03\x04" + bytes(99), "is a zip archive: unpack it"),
    "HTML": (b"\n<!DOCTYPE html>\n<html><body>Not Found", "is an HTML page"),
    "text": ("wörter, one a line\n".encode(), "is a text file"),
    "zeros": (bytes(5000), "begins with zero bytes only"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(99), "is a PNG picture"),
    "anything": (np.random.default_rng(1).bytes(999), "of a kind that cannot be read"),
}


@pytest.mark.parametrize("kind", NOT_SOUND)
def test_what_is_not_sound_is_named(tmp_path, kind):
    """A file that holds something else says what, whatever its name is."""
    data, what = NOT_SOUND[kind]
    assert what in refusal(saved(tmp_path, data, "clip.wav"))


def test_hint_to_convert_has_the_real_names(tmp_path):
    """The command can be pasted, also with spaces and quotes in a name, and overwrites nothing."""
    reason = refusal(saved(tmp_path, M4A, "it's me.m4a"))
    names = f"'{tmp_path}/it'\"'\"'s me.m4a' -ac 1 -ar 16000 '{tmp_path}/it'\"'\"'s me.wav'"
    assert f"`ffmpeg -i {names}`" in reason
    assert "clip_converted.wav`" in refusal(saved(tmp_path, M4A, "clip.wav"))


def test_damaged_files_are_read_or_refused_in_silence(tmp_path, encoded, capfd):
    """Damage of any kind raises nothing but DataError, and libraries print nothing of it."""
    random, kinds = np.random.default_rng(5), list(encoded.values())
    mp3 = encoded["MP3", "MPEG_LAYER_III"]  # libmpg123 is the one that prints
    for number in range(300):
        one, other = (kinds[index] for index in random.integers(0, len(kinds), 2))
        data = recorded.damaged(one if number % 3 else mp3, other, random)
        with contextlib.suppress(DataError):
            assert sound_file.read(saved(tmp_path, data), 16_000).samples.shape == (16_000,)
    assert capfd.readouterr() == ("", "")


def test_silence_is_for_c_alone(capfd):
    """While C is silenced, Python and child processes print; afterwards C does, too."""
    perror = ctypes.CDLL(None).perror
    with silenced(), silenced():
        perror(b"unseen")
        os.write(2, b"Python\n")
        os.system("echo child >&2")
    perror(b"seen")
    seen = capfd.readouterr().err.split("\n")
    assert seen[:2] == ["Python", "child"] and seen[2].startswith("seen: ") and len(seen) == 4
