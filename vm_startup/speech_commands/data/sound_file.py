"""Reads sound files of many kinds as the 16 kHz mono int16 that models are trained on.

WAV with 16-bit mono PCM, as nearly every data set has it, is read here; libsndfile reads all other
kinds, several times slower: WAV, RF64 and W64 with any codec it has, FLAC, Ogg (Vorbis, Opus), MP3,
AIFF, AU, CAF and more. The content decides, not the name.
"""

import hashlib
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vm_startup.conventions import SAMPLE_RATE
from vm_startup.speech_commands.data import not_sound
from vm_startup.speech_commands.data.c_output import silenced
from vm_startup.speech_commands.data.containers import FLOAT, PCM, Layout
from vm_startup.speech_commands.data.containers import layout as layout_of
from vm_startup.speech_commands.errors import DataError

if TYPE_CHECKING:
    from vm_startup.speech_commands.data.decoder import Stream

LONGEST = 3600  # seconds
_MAX_RATE = 768_000  # Hz; above every converter, so a header that says more is broken
_MAX_CHANNELS = 64
_UNKNOWN_FRAMES = 1 << 62  # from here on libsndfile does not know how many frames follow
_UNKNOWN_LENGTH = "its header does not say how long it is; read to the end of the file"

_CODECS = {2: "MS ADPCM", 6: "A-law", 7: "mu-law", 0x11: "IMA ADPCM", 0x31: "GSM", 0x55: "MP3"}
_FORMATS = {  # soundfile's names
    "PCM_S8": "8-bit PCM",
    "PCM_U8": "8-bit PCM",
    "PCM_16": "16-bit PCM",
    "PCM_24": "24-bit PCM",
    "PCM_32": "32-bit PCM",
    "FLOAT": "32-bit float",
    "DOUBLE": "64-bit float",
    "ULAW": "mu-law",
    "ALAW": "A-law",
    "VORBIS": "Vorbis",
    "OPUS": "Opus",
    "MPEG_LAYER_I": "MPEG layer I",
    "MPEG_LAYER_II": "MPEG layer II",
    "MPEG_LAYER_III": "MPEG layer III",
}
_CONTAINERS = {"WAVEX": "WAV", "OGG": "Ogg", "IRCAM": "SF", "SVX": "IFF"}
_SUFFIXES = {  # the containers that a file with such a name should hold
    **dict.fromkeys((".wav", ".wave"), ("WAV", "RF64")),
    **dict.fromkeys((".ogg", ".oga", ".opus"), ("Ogg",)),
    **dict.fromkeys((".aif", ".aiff", ".aifc"), ("AIFF",)),
    **{".mp3": ("MP3",), ".flac": ("FLAC",), ".caf": ("CAF",), ".w64": ("W64",), ".au": ("AU",)},
}


@dataclass(frozen=True, slots=True)
class Header:
    """What a file's header says."""

    kind: str  # container and sample format, e.g. "WAV, 16-bit PCM"
    rate: int  # Hz, at least 16,000
    channels: int
    frames: int  # samples of each channel, as far as it says

    @property
    def converted(self) -> bool:
        """Whether read() changes the samples instead of copying them."""
        copied = self.kind.endswith(", 16-bit PCM")
        return not copied or (self.rate, self.channels) != (SAMPLE_RATE, 1)


@dataclass(frozen=True, slots=True)
class Sound:
    """A recording, and what its file was."""

    samples: np.ndarray  # int16 [n], 16 kHz
    kind: str  # container and sample format, e.g. "WAV, 16-bit PCM"
    rate: int  # Hz, in the file
    channels: int  # in the file; more than one are averaged
    remarks: tuple[str, ...]  # what was guessed, repaired or averaged


@dataclass(frozen=True, slots=True)
class _File:
    """An open file."""

    path: Path
    descriptor: int
    status: os.stat_result

    @property
    def size(self) -> int:
        return self.status.st_size

    def read_at(self, offset: int, count: int) -> bytes:
        return os.pread(self.descriptor, count, offset)

    def check_unchanged(self) -> None:
        now = os.fstat(self.descriptor)
        if (now.st_size, now.st_mtime_ns) != (self.status.st_size, self.status.st_mtime_ns):
            raise DataError(f"{self.path} changed while it was read: wait until it is complete")


def check(path: Path | str) -> Header:
    """Read a file's header only; raises DataError if that shows that read() cannot use the file."""
    with _opened(Path(path)) as file:
        layout = _layout(file)
        if layout and _is_plain(layout):
            return _plain_header(file, layout)
        with _decoding(file, layout) as stream:
            return _header(file, layout, stream)


def read(path: Path | str, samples: int | None = None) -> Sound:
    """The recording, padded with zeros or cut to `samples` (None: unchanged).

    Other sample formats and rates are converted, the same way every time; several channels are
    averaged; values beyond 16 bits are clipped. Raises DataError if the file cannot be used.
    """
    with _opened(Path(path)) as file:
        layout = _layout(file)
        remarks = [_UNKNOWN_LENGTH] if layout and layout.unknown else []
        if layout and _is_plain(layout):
            header = _plain_header(file, layout)
            data = file.read_at(layout.start, 2 * _wanted(header, samples))
            audio, _ = _at_16_khz([np.frombuffer(data, "<i2")], header.rate, file.path)
        else:
            with _decoding(file, layout) as stream:
                header = _header(file, layout, stream)
                audio = _decoded(file, stream, header, samples)
                remarks += stream.remarks
    remarks += _remarks(file.path, header)
    kind, rate, channels = header.kind, header.rate, header.channels
    return Sound(fit(audio, samples), kind, rate, channels, tuple(remarks))


def write(path: Path | str, audio: np.ndarray) -> None:
    """Write int16 samples as a 16 kHz mono WAV."""
    data = np.ascontiguousarray(audio, "<i2").tobytes()
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, PCM, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
    body = b"WAVE" + layout + struct.pack("<4sI", b"data", len(data)) + data
    Path(path).write_bytes(struct.pack("<4sI", b"RIFF", len(body)) + body)


def version() -> bytes:
    """A digest of the code and libraries that decide the samples of a file."""
    digest = hashlib.sha256()
    for name in ("sound_file", "containers", "decoder"):
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    for library in ("soundfile", "soxr"):
        digest.update(metadata.version(library).encode())
    return digest.digest()


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


@contextmanager
def _opened(path: Path) -> Iterator[_File]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a named pipe does not block
        try:
            file = _File(path, descriptor, os.fstat(descriptor))
            if not stat.S_ISREG(file.status.st_mode):
                raise DataError(f"{path} cannot be read: it is not a file")
            try:
                yield file
            except DataError:
                file.check_unchanged()
                raise
            file.check_unchanged()
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _layout(file: _File) -> Layout | None:
    """What the header says where we can read it; raises DataError for what is not sound."""
    if not file.size:
        raise DataError(f"{file.path} is empty: it should hold a recording")
    found = layout_of(file.path, file.size, file.read_at)
    if found and found.format:
        _check_rate(file.path, found.format.rate)
    if found and not found.length:
        raise DataError(f"{file.path} is empty: its header is valid, but no sample follows")
    return found


def _is_plain(layout: Layout) -> bool:
    """Whether it is WAV with 16-bit mono PCM."""
    found = layout.format
    return found is not None and (found.codec, found.channels, found.container, found.valid) == (
        PCM,
        1,
        16,
        16,
    )


def _plain_header(file: _File, layout: Layout) -> Header:
    assert layout.format
    return _checked(file, Header("WAV, 16-bit PCM", layout.format.rate, 1, layout.length // 2))


def _header(file: _File, layout: Layout | None, stream: "Stream") -> Header:
    container = _CONTAINERS.get(stream.format, stream.format)
    kind = _FORMATS.get(stream.subtype, stream.subtype.replace("_", " "))
    kind = container if container == "MP3" else f"{container}, {kind}"
    found = layout.format if layout else None
    if found and found.codec == PCM and found.valid < found.container:
        kind = f"{container}, {found.valid}-bit PCM in {found.container} bits"
    return _checked(file, Header(kind, stream.samplerate, stream.channels, stream.frames))


def _checked(file: _File, header: Header) -> Header:
    _check_rate(file.path, header.rate)
    if not header.frames:
        raise DataError(f"{file.path} is empty: its header is valid, but no sample follows")
    if header.channels > _MAX_CHANNELS:
        raise DataError(f"{file.path} is broken: its header promises {header.channels} channels")
    if LONGEST * header.rate < header.frames < _UNKNOWN_FRAMES:
        raise DataError(_too_long(file.path, header.frames / header.rate))
    return header


def _check_rate(path: Path, rate: int) -> None:
    if not SAMPLE_RATE <= rate <= _MAX_RATE:
        raise DataError(
            f"{path} was recorded at {rate:,} Hz: record at {SAMPLE_RATE:,} Hz or more, as the "
            "features reach up to 7,500 Hz"
        )


def _too_long(path: Path, seconds: float) -> str:
    return (
        f"{path} is {seconds / 60:,.0f} minutes long: cut it into recordings of at most "
        f"{LONGEST // 60} minutes"
    )


@contextmanager
def _decoding(file: _File, layout: Layout | None) -> Iterator["Stream"]:
    from vm_startup.speech_commands.data import decoder  # only here: plain files need no library

    _refuse_known(file, not_sound.describe(file.read_at(0, 512)))
    with silenced():
        try:
            with decoder.Stream(file.descriptor, file.size, file.read_at, layout) as stream:
                yield stream
        except decoder.Error as error:
            _refuse_known(file, not_sound.describe_text(file.read_at(0, 512)))
            raise DataError(_unreadable(file, layout, error.error_string)) from error


def _refuse_known(file: _File, found: tuple[str, str] | None) -> None:
    if found:
        raise DataError(f"{file.path} is {found[0]}{not_sound.hint(file.path, found[1])}")


def _unreadable(file: _File, layout: Layout | None, reason: str) -> str:
    if layout and layout.format and layout.format.codec not in (PCM, FLOAT):
        codec = _CODECS.get(layout.format.codec, f"codec {layout.format.codec:#x}")
        reason = f"WAV with {codec}: {reason}"
    how = not_sound.hint(file.path, not_sound.CONVERT)
    return f"{file.path} is damaged or of a kind that cannot be read ({reason.strip(' .')}){how}"


def _decoded(file: _File, stream: "Stream", header: Header, samples: int | None) -> np.ndarray:
    """The wanted samples at 16 kHz."""
    wanted = _wanted(header, samples)
    audio, frames = _at_16_khz(stream.blocks(wanted), header.rate, file.path)
    if frames > LONGEST * header.rate:
        raise DataError(_too_long(file.path, frames / header.rate))
    if frames < wanted and header.frames < _UNKNOWN_FRAMES and header.kind != "MP3":
        raise DataError(
            f"{file.path} is truncated or damaged: its header promises {header.frames:,} samples, "
            f"{frames:,} could be read; record or copy it again"
        )
    return audio


def _wanted(header: Header, samples: int | None) -> int:
    """How many frames are read for so many samples."""
    most = min(header.frames, LONGEST * header.rate + 1)
    if samples is None:
        return most
    # A tenth of a second more, so that the resampler sees no edge.
    return min(most, -(-samples * header.rate // SAMPLE_RATE) + header.rate // 10)


def _at_16_khz(blocks: Iterable[np.ndarray], rate: int, path: Path) -> tuple[np.ndarray, int]:
    """Blocks of samples in int16's units as one int16 array at 16 kHz; how many samples came."""
    parts, frames, resample = [], 0, None
    if rate != SAMPLE_RATE:
        import soxr  # only here: most data sets have 16 kHz, and a check reads no samples

        resample = soxr.ResampleStream(rate, SAMPLE_RATE, 1, "float64", "HQ").resample_chunk
    for block in blocks:
        frames += len(block)
        if np.isnan(block).any():
            raise DataError(
                f"{path} holds samples that are not numbers (NaN or infinity): export it again"
            )
        parts.append(to_int16(resample(block.astype(np.float64)) if resample else block))
    if resample:
        parts.append(to_int16(resample(np.zeros(0), last=True)))
    return parts[0] if len(parts) == 1 else np.concatenate(parts), frames


def _remarks(path: Path, header: Header) -> list[str]:
    remarks = []
    if header.channels > 1:
        remarks.append(f"{header.channels} channels are averaged")
    container = header.kind.split(",")[0]
    if container not in _SUFFIXES.get(path.suffix.lower(), (container,)):
        remarks.append(f"{container} in a file named {path.suffix}")
    return remarks
