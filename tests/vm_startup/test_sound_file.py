"""WAV files of every sample format are read, unusable ones are refused."""

import contextlib
import os
import re
import struct
import subprocess
import sys

import numpy as np
import pytest

from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.sound import sound_file

TONE = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)  # one second at 16 kHz


def riff(
    data,
    *,
    codec=1,
    channels=1,
    rate=16_000,
    bits=16,
    block=0,
    extensible=False,
    valid=0,
    before=b"",
):
    """A WAV file's bytes, built without the code under test."""
    block = block or channels * bits // 8
    tag = 0xFFFE if extensible else codec
    fmt = struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits)
    if extensible:
        guid = struct.pack("<H", codec) + bytes.fromhex("000000001000800000aa00389b71")
        fmt += struct.pack("<HHI", 22, valid or bits, 4) + guid
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


QUIET = np.arange(-300, 300, dtype="<i4") * 256 + 3  # 24-bit samples that use all their bytes
EVEN = QUIET - 3  # those of a recording that had 16 bits
IN_32_BITS = {  # (bytes, header, whether they lie low)
    "high": ((QUIET << 8), {"bits": 24, "block": 4}, False),
    "high, 16 bits used": ((EVEN * 50 << 8), {"bits": 24, "block": 4}, False),
    "low": (QUIET, {"bits": 24, "block": 4}, True),
    "low, 16 bits used": (EVEN, {"bits": 24, "block": 4}, True),
    "low, no sign": ((QUIET & 0xFFFFFF), {"bits": 24, "block": 4}, True),
    "extensible, high": ((QUIET << 8), {"bits": 32, "extensible": True, "valid": 24}, False),
    "extensible, quiet": (EVEN, {"bits": 32, "extensible": True, "valid": 24}, False),
    "extensible, low": (QUIET, {"bits": 32, "extensible": True, "valid": 24}, True),
    "all 32 bits used": ((QUIET << 8) + 5, {"bits": 32, "extensible": True, "valid": 24}, False),
}


@pytest.mark.parametrize("case", IN_32_BITS)
def test_24_bits_in_32_are_read_from_the_bytes_they_lie_in(tmp_path, case):
    """24-bit samples lie in the high bytes of 32 bits, or in the low ones as ALSA's S24_LE has."""
    data, header, low = IN_32_BITS[case]
    sound = sound_file.read(saved(tmp_path, riff(data.astype("<i4").tobytes(), **header)))
    expected = np.rint((data << 8 if low else data) / 65536)
    assert sound.samples.tolist() == expected.tolist()
    assert sound.kind == "WAV, 24-bit PCM in 32 bits"
    assert sound.remarks == (("its samples are in the low 24 of 32 bits",) if low else ())


def test_bits_that_a_header_leaves_unused(tmp_path):
    """12 bits in 16, high or low, and 20 bits in 32 are read as the same sound."""
    samples = (TONE * 2000).astype("<i2")
    for data, header in [
        (samples << 4, {"bits": 12, "block": 2}),
        (samples, {"bits": 12, "block": 2}),
        (samples.astype("<i4") << 20, {"bits": 20, "block": 4}),
    ]:
        path = saved(tmp_path, riff(data.tobytes(), **header))
        assert sound_file.read(path).samples.tolist() == (samples * 16).tolist()


def test_64_bit_float_is_read(tmp_path):
    """What SciPy writes for a float64 array has the samples of the 16-bit file."""
    samples = (TONE * 16384).astype("<i2")
    data = riff((samples / 32768).astype("<f8").tobytes(), codec=3, bits=64)
    assert sound_file.read(saved(tmp_path, data)).samples.tolist() == samples.tolist()


def test_float_beyond_full_scale_is_counted(tmp_path):
    """Float samples in int16's units, or too large for any, are clipped with a count."""
    for scale, loudest in ((8e3, "8e+03"), (1e300, "1e+300")):
        data = riff((np.array([0, 1, -1]) * scale).astype("<f8").tobytes(), codec=3, bits=64)
        sound = sound_file.read(saved(tmp_path, data))
        assert sound.samples.tolist() == [0, 32767, -32768]
        assert f"2 samples beyond full scale are clipped; the loudest is {loudest}" in str(sound)


def test_channels_are_averaged(tmp_path):
    """Two channels become their average; one that takes the other away is noticed."""
    for left, right, remark in [(100, 300, ()), (200, -200, ("its channels cancel each other",))]:
        data = np.tile(np.array([left, right], "<i2"), 50).tobytes()
        sound = sound_file.read(saved(tmp_path, riff(data, channels=2)))
        assert set(sound.samples.tolist()) == {(left + right) // 2}
        assert (sound.channels, sound.rate) == (2, 16_000)
        assert [found.split(":")[0] for found in sound.remarks] == [
            *remark,
            "2 channels are averaged",
        ]


@pytest.mark.parametrize("length", [0, 0x7F000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
@pytest.mark.parametrize("bits", [16, 24])
def test_wav_of_unknown_length_is_read_to_its_end(tmp_path, bits, length):
    """A header written before the length was known, as into a pipe, promises nothing."""
    whole = riff(packed(TONE / 2, bits), bits=bits)
    expected = sound_file.read(saved(tmp_path, whole)).samples
    streamed = bytearray(whole)
    struct.pack_into("<I", streamed, 4, length)
    struct.pack_into("<I", streamed, 40, length)
    sound = sound_file.read(saved(tmp_path, streamed))
    assert (sound.samples == expected).all() and len(sound.samples) == len(expected)
    assert sound.remarks == ("its header does not say how long it is; read to the end of the file",)


LISTS = [b"LIST" + struct.pack("<I", size) + b"INFOISFT" + bytes(size - 8) for size in (26, 4001)]


@pytest.mark.parametrize("bits", [16, 24])
def test_chunks_after_samples_of_unknown_length_are_no_samples(tmp_path, bits):
    """What a program writes behind the samples is not read as sound, whatever the length says."""
    whole = bytearray(riff(packed(TONE / 2, bits), bits=bits))
    expected = sound_file.read(saved(tmp_path, whole)).samples
    for length in (0, 0xFFFFFFFF):
        struct.pack_into("<I", whole, 40, length)
        sound = sound_file.read(saved(tmp_path, whole + LISTS[0] + LISTS[1] + b"\0"))
        assert np.array_equal(sound.samples, expected)


@pytest.mark.parametrize("bits", [16, 24])
def test_samples_that_the_header_does_not_promise_are_counted(tmp_path, bits):
    """A length that is too small leaves a remark; other chunks and zeros after it leave none."""
    whole = riff(packed(TONE / 2, bits), bits=bits)
    for after in (b"", bytes(3), *LISTS, LISTS[0] + LISTS[1] + b"\0"):
        assert sound_file.read(saved(tmp_path, whole + after)).remarks == ()
    short = bytearray(whole)
    struct.pack_into("<I", short, 40, 3000)
    rest = 16_000 * bits // 8 - 3000
    sound = sound_file.read(saved(tmp_path, short))
    assert sound.remarks == (f"{rest:,} bytes after the samples that it promises are not used",)
    assert len(sound.samples) == 3000 * 8 // bits


def test_recording_of_more_than_an_hour_is_refused(tmp_path):
    """Its length is refused before a sample is read, however much memory it would take."""
    path = saved(tmp_path, riff(b"", rate=48_000, channels=2, bits=24))
    size = 6 * 48_000 * 3660
    with path.open("r+b") as file:
        file.seek(40)
        file.write(struct.pack("<I", size))
        file.truncate(44 + size)  # a hole takes no room on the disk
    for function in (sound_file.check, sound_file.read):
        with pytest.raises(
            DataError, match="is 61 minutes long: cut it into recordings of at most"
        ):
            function(path)


def test_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    """A recording that another program still writes, or cuts, is no truncated one."""
    path, read = saved(tmp_path, riff(bytes(200_000))), os.pread

    def read_and_cut(*arguments):
        os.truncate(path, 100_000)
        return read(*arguments)

    monkeypatch.setattr(os, "pread", read_and_cut)
    with pytest.raises(DataError, match="changed while it was read: wait until it is complete"):
        sound_file.read(path)


def test_what_is_not_a_file_is_refused_at_once(tmp_path):
    """A folder and a named pipe that nobody writes to are not waited for."""
    os.mkfifo(tmp_path / "pipe.wav")
    for path in (tmp_path, tmp_path / "pipe.wav"):
        with pytest.raises(DataError, match="cannot be read: it is not a file"):
            sound_file.read(path)


def test_plain_wav_needs_no_library(tmp_path):
    """To read 16-bit 16 kHz mono WAV neither libsndfile nor a resampler is loaded."""
    path = saved(tmp_path, GOOD)
    code = (
        "import sys; from vm_startup.speech_commands.sound import sound_file; "
        f"sound_file.read({str(path)!r}); sound_file.check({str(path)!r}); "
        "sys.exit(bool({'soundfile', '_cffi_backend', 'soxr'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


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
    "no channel": (riff(bytes(8), channels=0, block=2), "Channel count is zero"),
    "999 channels": (riff(bytes(1998), channels=999), "promises 999 channels"),
    "WMA": (riff(bytes(99), codec=0x161), "of a kind that cannot be read (WMA in WAV"),
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
