"""WAV files of many kinds are read, unusable ones are refused."""

import contextlib
import re
import struct

import numpy as np
import pytest

from vm_startup.speech_commands.data import sound_file
from vm_startup.speech_commands.errors import DataError

TONE = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)  # one second at 16 kHz


def riff(data, *, codec=1, channels=1, rate=16_000, bits=16, extensible=False, before=b""):
    """A WAV file's bytes, built without the code under test."""
    block = channels * bits // 8
    tag = 0xFFFE if extensible else codec
    fmt = struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits)
    if extensible:
        guid = struct.pack("<H", codec) + bytes.fromhex("000000001000800000aa00389b71")
        fmt += struct.pack("<HHI", 22, bits, 4) + guid
    chunks = b"fmt " + struct.pack("<I", len(fmt)) + fmt + before
    chunks += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def saved(tmp_path, data):
    path = tmp_path / "clip.wav"
    path.write_bytes(data)
    return path


def packed(samples, bits):
    """Samples in [-1, 1) as little-endian PCM of so many bits."""
    if bits == 8:
        return (np.rint(samples * 128) + 128).astype("u1").tobytes()
    whole = np.rint(samples * 2.0 ** (bits - 1)).astype("<i4")
    return b"".join(int(s).to_bytes(bits // 8, "little", signed=True) for s in whole)


def test_16_bit_samples_are_read_unchanged(tmp_path):
    """16-bit 16 kHz audio is copied, its extremes included."""
    samples = np.array([0, 1, -1, 32767, -32768, 1234], np.int16)
    path = saved(tmp_path, riff(samples.tobytes()))
    assert sound_file.read(path).samples.tolist() == samples.tolist()
    assert not sound_file.check(path).converted


@pytest.mark.parametrize(("bits", "error"), [(8, 128), (16, 1), (24, 1), (32, 1)])
def test_pcm_of_every_width_has_the_same_samples(tmp_path, bits, error):
    """PCM of 8, 16, 24 and 32 bits reads as the same samples to within its own precision."""
    path = saved(tmp_path, riff(packed(TONE * 0.5, bits), bits=bits))
    assert np.abs(sound_file.read(path).samples - TONE * 16384).max() <= error


@pytest.mark.parametrize("extensible", [False, True])
def test_float_samples_are_clamped(tmp_path, extensible):
    """Float samples beyond full scale are clamped and do not wrap."""
    samples = np.array([0.5, -0.5, 1.0, -1.0, 2.5, -2.5], "<f4")
    data = riff(samples.tobytes(), codec=3, bits=32, extensible=extensible)
    expected = [16384, -16384, 32767, -32768, 32767, -32768]
    assert sound_file.read(saved(tmp_path, data)).samples.tolist() == expected


def test_loud_24_bit_clip_does_not_wrap(tmp_path):
    """The largest 24-bit sample rounds up to full scale and stays positive."""
    data = riff(bytes.fromhex("ffff7f000080"), bits=24, extensible=True)
    assert sound_file.read(saved(tmp_path, data)).samples.tolist() == [32767, -32768]


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000, 96_000])
def test_any_rate_becomes_16_khz(tmp_path, rate):
    """A tone of 440 Hz stays a tone of 440 Hz for any rate of the recording."""
    tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate) * 10_000
    path = saved(tmp_path, riff(tone.astype("<i2").tobytes(), rate=rate))
    audio = sound_file.read(path).samples
    assert len(audio) == 16_000
    assert np.abs(audio[500:-500] - TONE[500:-500] * 10_000).max() < 20
    assert sound_file.check(path).converted == (rate != 16_000)
    assert (sound_file.read(path).samples == audio).all()


def test_resampler_clamps_its_overshoot(tmp_path):
    """A full-scale square wave overshoots when resampled and must not wrap."""
    square = np.where(np.arange(48_000) // 60 % 2, 32767, -32768).astype("<i2")
    audio = sound_file.read(saved(tmp_path, riff(square.tobytes(), rate=48_000))).samples
    expected = np.where(np.arange(16_000) // 20 % 2, 32767, -32768)
    middle = np.arange(16_000) % 20 // 5 == 2  # away from the edges
    assert (np.sign(audio[middle]) == np.sign(expected[middle])).all()


def test_length_is_padded_or_cut(tmp_path):
    """A shorter clip ends in zeros, a longer one is cut, None keeps the length."""
    path = saved(tmp_path, riff(np.arange(100, dtype="<i2").tobytes()))
    assert sound_file.read(path, 3).samples.tolist() == [0, 1, 2]
    assert sound_file.read(path, 102).samples.tolist() == [*range(100), 0, 0]
    assert len(sound_file.read(path).samples) == 100


def test_resampled_part_equals_the_whole(tmp_path):
    """Reading one second of a long 44.1 kHz recording gives the same samples as reading it all."""
    noise = np.random.default_rng(1).integers(-9000, 9000, 5 * 44_100)
    path = saved(tmp_path, riff(noise.astype("<i2").tobytes(), rate=44_100))
    part, whole = sound_file.read(path, 16_000).samples, sound_file.read(path).samples
    assert np.abs(part - whole[:16_000].astype(int)).max() <= 1


def test_other_wav_chunks_are_skipped(tmp_path):
    """Metadata between the headers, also of odd length, is skipped."""
    extra = b"LIST" + struct.pack("<I", 5) + b"hello\0"
    samples = np.array([7, 8, 9], "<i2")
    path = saved(tmp_path, riff(samples.tobytes(), before=extra))
    assert sound_file.read(path).samples.tolist() == [7, 8, 9]


def test_written_wav_files_are_readable(tmp_path):
    """read() and the standard library read the files of write()."""
    import wave

    samples = np.array([1, -2, 32767, -32768], np.int16)
    path = tmp_path / "clip.wav"
    sound_file.write(path, samples)
    assert sound_file.read(path).samples.tolist() == samples.tolist()
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnframes(), file.getsampwidth()) == (16_000, 4, 2)


GOOD = riff(np.arange(100, dtype="<i2").tobytes())
BAD = {
    "empty file": (b"", "is empty"),
    "no samples": (riff(b""), "no sample follows"),
    "truncated samples": (GOOD[:-50], "promises 200 bytes of 'data', the file holds 150"),
    "truncated header": (GOOD[:30], "truncated"),
    "header alone": (GOOD[:36], "has no data chunk"),
    "text": (b"this is not audio at all", "is a text file"),
    "low rate": (riff(bytes(8), rate=8_000), "8,000 Hz: record at 16,000 Hz or more"),
    "zero rate": (riff(bytes(8), rate=0), "0 Hz"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_wav_file_is_refused_in_one_sentence(tmp_path, case):
    """check() and read() both refuse an unusable file and name it."""
    data, reason = BAD[case]
    path = saved(tmp_path, data)
    for function in (sound_file.check, sound_file.read):
        with pytest.raises(DataError, match=re.escape(reason)) as caught:
            function(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_missing_wav_file_is_refused(tmp_path):
    """A missing file is a DataError too."""
    with pytest.raises(DataError, match="No such file"):
        sound_file.check(tmp_path / "none.wav")


def test_nan_samples_are_refused(tmp_path):
    """NaN is not a sample."""
    data = riff(np.array([0.5, np.nan], "<f4").tobytes(), codec=3, bits=32)
    with pytest.raises(DataError, match="not numbers"):
        sound_file.read(saved(tmp_path, data))


def test_damaged_wav_header_is_read_or_refused(tmp_path):
    """Random damage never raises anything but DataError."""
    random = np.random.default_rng(2)
    for _ in range(300):
        data = bytearray(GOOD)
        for place in random.integers(0, 44, 3):
            data[place] = random.integers(0, 256)
        path = saved(tmp_path, bytes(data[: random.integers(1, len(data) + 1)]))
        with contextlib.suppress(DataError):
            assert sound_file.read(path, 50).samples.dtype == np.int16
