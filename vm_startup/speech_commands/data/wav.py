"""Reads WAV files of many kinds as the 16 kHz mono int16 that models are trained on.

Python's `wave` reads neither float nor WAVE_FORMAT_EXTENSIBLE, and it takes a truncated file for a
short one.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vm_startup.conventions import SAMPLE_RATE
from vm_startup.speech_commands.errors import DataError

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_DTYPES = {
    (_PCM, 8): "u1",
    (_PCM, 16): "<i2",
    (_PCM, 24): "u1",
    (_PCM, 32): "<i4",
    (_FLOAT, 32): "<f4",
}
_CODECS = {2: "ADPCM", 6: "A-law", 7: "mu-law", 0x11: "IMA ADPCM", 0x55: "MP3"}
_MAX_RATE = 768_000  # Hz; above every converter, so a header that says more is broken


@dataclass(frozen=True)
class Header:
    """What a WAV file's header says."""

    codec: int  # 1 PCM, 3 float
    bits: int  # per sample
    rate: int  # Hz, at least 16,000
    start: int  # byte offset of the first sample
    frames: int  # samples; never more than the file holds

    @property
    def converted(self) -> bool:
        """Whether read() changes the samples instead of copying them."""
        return (self.codec, self.bits, self.rate) != (_PCM, 16, SAMPLE_RATE)


def check(path: Path | str) -> Header:
    """Read a WAV file's header only; raises DataError if read() cannot use the file."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _read_header(path, file)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def read(path: Path | str, samples: int | None = None) -> np.ndarray:
    """The recording as int16 at 16 kHz, padded with zeros or cut to `samples` (None: unchanged).

    Other sample formats and rates are converted, the same way every time; values beyond 16 bits
    are clipped. Raises DataError if the file cannot be used.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            header = _read_header(path, file)
            frames = header.frames
            if samples is not None:  # a tenth of a second more, so that the resampler sees no edge
                frames = min(frames, -(-samples * header.rate // SAMPLE_RATE) + header.rate // 10)
            file.seek(header.start)
            audio = _decode(file.read(frames * (header.bits // 8)), header, path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if header.rate != SAMPLE_RATE:
        audio = _resample(audio, header.rate)
    return fit(to_int16(audio), samples)


def write(path: Path | str, audio: np.ndarray) -> None:
    """Write int16 samples as a 16 kHz mono WAV."""
    data = np.ascontiguousarray(audio, "<i2").tobytes()
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, _PCM, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
    body = b"WAVE" + layout + struct.pack("<4sI", b"data", len(data)) + data
    Path(path).write_bytes(struct.pack("<4sI", b"RIFF", len(body)) + body)


def fit(audio: np.ndarray, samples: int | None) -> np.ndarray:
    """The first `samples` of the audio, with zeros after its end; None: all of it."""
    if samples is None or len(audio) == samples:
        return audio
    fitted = np.zeros(samples, audio.dtype)
    fitted[: len(audio)] = audio[:samples]
    return fitted


def to_int16(audio: np.ndarray) -> np.ndarray:
    """Round samples in int16's units; clamp them, because wrapping changes a loud sample's sign."""
    if audio.dtype == np.int16:
        return audio
    return np.clip(np.rint(audio), -32768, 32767).astype(np.int16)


def _read_header(path: Path, file: BinaryIO) -> Header:
    size = file.seek(0, 2)
    file.seek(0)
    if size == 0:
        raise DataError(f"{path} is empty: it should hold a recording")
    riff = file.read(12)
    if riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
        raise DataError(f"{path} is not a WAV file: it does not begin with a RIFF/WAVE header")
    layout = None
    while len(chunk := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", chunk)
        start = file.tell()
        if start + length > size:
            kind = name.decode("ascii", "replace").strip()
            raise DataError(
                f"{path} is truncated: its header promises {length:,} bytes of {kind!r}, "
                f"the file holds {size - start:,}; record or copy it again"
            )
        if name == b"fmt ":
            layout = _read_layout(path, file.read(min(length, 40)))
        elif name == b"data" and layout:
            return _header(path, layout, start, length)
        file.seek(start + length + length % 2)  # chunks are padded to even lengths
    raise DataError(f"{path} is truncated or broken: it has no {'data' if layout else 'fmt'} chunk")


def _read_layout(path: Path, chunk: bytes) -> tuple[int, int, int]:
    """The codec, bits per sample and rate in a fmt chunk; raises DataError if not supported."""
    if len(chunk) < 16:
        raise DataError(f"{path} is broken: its fmt chunk has {len(chunk)} bytes instead of 16")
    codec, channels, rate, _, _, bits = struct.unpack("<HHIIHH", chunk[:16])
    if codec == _EXTENSIBLE and len(chunk) >= 26:
        codec = struct.unpack("<H", chunk[24:26])[0]
    if channels != 1:
        count = {0: "no", 2: "two (stereo)"}.get(channels, channels)
        raise DataError(
            f"{path} has {count} channels instead of one: convert it with "
            "`sox IN.wav -c 1 OUT.wav` or `ffmpeg -i IN.wav -ac 1 OUT.wav`"
        )
    if (codec, bits) not in _DTYPES:
        kind = {_PCM: "PCM", _FLOAT: "float"}.get(codec) or _CODECS.get(codec, f"codec {codec}")
        raise DataError(
            f"{path} holds {bits}-bit {kind}, which is not supported: use PCM of 8, 16, 24 or 32 "
            "bits or float of 32 bits"
        )
    if not SAMPLE_RATE <= rate <= _MAX_RATE:
        raise DataError(
            f"{path} was recorded at {rate:,} Hz: record at {SAMPLE_RATE:,} Hz or more, as the "
            "features reach up to 7,500 Hz"
        )
    return codec, bits, rate


def _header(path: Path, layout: tuple[int, int, int], start: int, length: int) -> Header:
    codec, bits, rate = layout
    frames = length // (bits // 8)
    if not frames:
        raise DataError(f"{path} is empty: its header is valid, but no sample follows")
    return Header(codec, bits, rate, start, frames)


def _decode(data: bytes, header: Header, path: Path | str) -> np.ndarray:
    """Samples in int16's units: int16 as they are, others as float64."""
    raw = np.frombuffer(data, _DTYPES[header.codec, header.bits])
    if header.codec == _FLOAT:
        if not np.isfinite(raw).all():
            raise DataError(
                f"{path} holds samples that are not numbers (NaN or infinity): export it again"
            )
        return raw * 32768.0
    if header.bits == 16:
        return raw.astype(np.int16, copy=False)
    if header.bits == 8:
        return (raw - 128.0) * 256.0
    if header.bits == 24:  # numpy has no 24-bit integer: put a zero byte under each sample
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = raw.reshape(-1, 3)
        raw = wide.view("<i4")[:, 0]
    return raw / 65536.0


def _resample(audio: np.ndarray, rate: int) -> np.ndarray:
    import soxr  # only here: most data sets have 16 kHz, and a check reads no samples

    return soxr.resample(audio.astype(np.float64), rate, SAMPLE_RATE, quality="HQ")
