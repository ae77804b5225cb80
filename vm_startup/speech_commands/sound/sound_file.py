"""Reads sound files of many kinds as the 16 kHz mono int16 that models are trained on.

WAV with 16-bit mono PCM, as nearly every data set has it, is read here; libsndfile reads all other
kinds, several times slower: WAV, RF64 and W64 with any codec it has, FLAC, Ogg (Vorbis, Opus), MP3,
AIFF, AU, CAF and more. The content decides, not the name.
"""

import hashlib
import io
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vm_startup.conventions import SAMPLE_RATE
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.sound import not_sound, streams
from vm_startup.speech_commands.sound.c_output import silenced
from vm_startup.speech_commands.sound.containers import FLOAT, MP3, PCM, Layout
from vm_startup.speech_commands.sound.containers import layout as layout_of

if TYPE_CHECKING:
    from vm_startup.speech_commands.sound.decoder import Stream

PLAIN = "WAV, 16-bit PCM"  # the kind that is read here, not by libsndfile
LONGEST = 3600  # seconds
_MAX_RATE = 768_000  # Hz; above every converter, so a header that says more is broken
_MAX_CHANNELS = 64
_HEAD, _CLIP = 512, 40_000  # bytes: of nearly every header, of nearly every clip
_UNKNOWN_FRAMES = 1 << 62  # from here on libsndfile does not know how many frames follow
CANCELLED = "its channels cancel each other: hardly any sound is left"
_UNKNOWN_LENGTH = "its header does not say how long it is; read to the end of the file"

_READ = (PCM, 2, FLOAT, 6, 7, 0x11, 0x31, 0x38, 0x40, MP3)  # codecs of WAV that libsndfile has
_NOT_READ = {0x50: "MPEG layer I or II", 0xFF: "AAC", 0x160: "WMA", 0x161: "WMA", 0x162: "WMA"}
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
    **{f"ALAC_{bits}": f"{bits}-bit ALAC" for bits in (16, 20, 24, 32)},
    "VORBIS": "Vorbis",
    "OPUS": "Opus",
    "MPEG_LAYER_I": "MPEG layer I",
    "MPEG_LAYER_II": "MPEG layer II",
    "MPEG_LAYER_III": "MPEG layer III",
}
# Containers that show whether they are complete.
_SHOWN = {"WAV", "RF64", "W64", "AIFF", "IFF", "CAF", "AU", "FLAC", "Ogg", "MP3", "HTK"}
_CONTAINERS = {"WAVEX": "WAV", "OGG": "Ogg", "IRCAM": "SF", "SVX": "IFF"}
_ENDINGS = {  # of the names of files with such a container
    "WAV": (".wav", ".wave"),
    "RF64": (".wav", ".rf64"),
    "FLAC": (".flac",),
    "Ogg": (".ogg", ".oga", ".opus"),
    "MP3": (".mp3",),
    "AIFF": (".aif", ".aiff", ".aifc"),
    "CAF": (".caf",),
    "W64": (".w64",),
    "AU": (".au", ".snd"),
}
_ALL_ENDINGS = sum(_ENDINGS.values(), ())


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
    unscaled: float = 0.0  # the loudest of float samples that are not scaled to 1, and so clipped


class _File:
    """A file that is open while its `with` block lasts, which must not change meanwhile."""

    __slots__ = ("descriptor", "head", "path", "size", "_time")

    def __init__(self, path: Path, first: int) -> None:
        """first: how many of its bytes are read at once."""
        self.path = path
        try:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # no wait for a pipe's end
            try:
                status = os.fstat(self.descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise DataError(f"{path} cannot be read: it is not a file")
                self.size, self._time = status.st_size, status.st_mtime_ns
                self.head = os.pread(self.descriptor, first, 0)
            except BaseException:
                os.close(self.descriptor)
                raise
        except OSError as error:
            raise _unreadable(path, error) from error

    def read_at(self, offset: int, count: int) -> bytes:
        if offset + count <= len(self.head):
            return self.head[offset : offset + count]
        return os.pread(self.descriptor, count, offset)

    def array_at(self, offset: int, count: int) -> np.ndarray:
        """So many samples of 16 bits."""
        if offset + 2 * count <= len(self.head):
            return np.frombuffer(self.head, "<i2", count, offset)
        data = os.pread(self.descriptor, 2 * count, offset)
        return np.frombuffer(data, "<i2", len(data) // 2)

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        status = os.fstat(self.descriptor)
        os.close(self.descriptor)
        if error is None or isinstance(error, DataError | OSError):
            if (status.st_size, status.st_mtime_ns) != (self.size, self._time):
                raise DataError(f"{self.path} changed while it was read: wait until it is complete")
            if isinstance(error, OSError):
                raise _unreadable(self.path, error) from error


def check(path: Path | str) -> Header:
    """Read a file's header only; raises DataError if that shows that read() cannot use the file."""
    with _File(Path(path), _HEAD) as file:
        layout = _layout(file)
        if layout and _is_plain(file, layout):
            return _plain_header(file, layout)
        with _decoding(file, layout) as stream:
            return _header(file, layout, stream)


def read(path: Path | str, samples: int | None = None) -> Sound:
    """The recording, padded with zeros or cut to `samples` (None: unchanged).

    Other sample formats and rates are converted, the same way every time; several channels are
    averaged; values beyond 16 bits are clipped. Raises DataError if the file cannot be used.
    """
    with _File(Path(path), _CLIP) as file:
        layout = _layout(file)
        if layout and _is_plain(file, layout):
            header = _plain_header(file, layout)
            remarks, unscaled = _layout_remarks(layout), 0.0
            audio = file.array_at(layout.start, _wanted(header, samples))
            if header.rate != SAMPLE_RATE:
                audio, _ = _at_16_khz([audio], header.rate)
        else:
            with _decoding(file, layout) as stream:
                header = _header(file, layout, stream)
                audio = _decoded(file, stream, header, samples)
                remarks, unscaled = stream.remarks, stream.unscaled
                if stream.cancels():
                    remarks.append(CANCELLED)
    remarks += _remarks(file.path, header)
    kind, rate, channels = header.kind, header.rate, header.channels
    return Sound(fit(audio, samples), kind, rate, channels, tuple(remarks), unscaled)


def write(path: Path | str, audio: np.ndarray) -> None:
    """Write int16 samples as a 16 kHz mono WAV."""
    data = np.ascontiguousarray(audio, "<i2").tobytes()
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, PCM, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
    body = b"WAVE" + layout + struct.pack("<4sI", b"data", len(data)) + data
    Path(path).write_bytes(struct.pack("<4sI", b"RIFF", len(body)) + body)


def version() -> bytes:
    """A digest of the code and libraries that decide the samples of a file."""
    digest = hashlib.sha256()
    for name in ("sound_file", "containers", "decoder", "streams"):
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
    whole = np.rint(audio)
    return np.clip(whole, -32768, 32767, out=whole).astype(np.int16)


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path} cannot be read: {error.strerror or error}")


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


def _is_plain(file: _File, layout: Layout) -> bool:
    """Whether it is WAV with 16-bit mono PCM."""
    if layout.format is None or file.head[:4] != b"RIFF":
        return False
    codec, channels, _, container, valid, _ = layout.format
    return codec == PCM and channels == 1 and container == valid == 16


def _plain_header(file: _File, layout: Layout) -> Header:
    assert layout.format
    return _checked(file, Header(PLAIN, layout.format.rate, 1, layout.length // 2))


def _header(file: _File, layout: Layout | None, stream: "Stream") -> Header:
    container, kind = stream.format, stream.subtype
    container = _CONTAINERS.get(container, container)
    kind = _FORMATS.get(kind, kind.replace("_", " "))
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
    if header.frames < _UNKNOWN_FRAMES:
        streams.check_length(file.path, header.frames / header.rate, LONGEST)
    return header


def _check_rate(path: Path, rate: int) -> None:
    if not SAMPLE_RATE <= rate <= _MAX_RATE:
        raise DataError(
            f"{path} was recorded at {rate:,} Hz: record at {SAMPLE_RATE:,} Hz or more, as the "
            "features reach up to 7,500 Hz"
        )


@contextmanager
def _decoding(file: _File, layout: Layout | None) -> Iterator["Stream"]:
    from vm_startup.speech_commands.sound import decoder  # only here: plain files need no library

    source, remarks = _source(file, layout)
    with silenced():
        try:
            with decoder.Stream(source, layout) as stream:
                stream.remarks += remarks
                yield stream
        except decoder.Error as error:
            _refuse_known(file)
            raise _undecodable(file, layout, error.error_string) from error


def _source(file: _File, layout: Layout | None) -> tuple[Any, list[str]]:
    """What libsndfile reads from, and what there is to say about it."""
    from vm_startup.speech_commands.sound import decoder

    in_wav = layout is not None and layout.format is not None and layout.format.codec == MP3
    start, length = (layout.start, layout.length) if layout and in_wav else (0, file.size)
    if in_wav or file.head[:3] == b"ID3" or file.head[:1] == b"\xff":
        found = streams.mp3(file.path, start, start + length, file.read_at, LONGEST)
        if found:
            data = found.data or (in_wav and file.read_at(start, length))
            return io.BytesIO(data) if data else file.descriptor, found.remarks
        _refuse_known(file)  # in AAC libsndfile may find what looks like MP3
    if file.head[:4] == b"OggS":
        return file.descriptor, streams.check_ogg(file.path, file.size, file.read_at)
    if layout and layout.patches:
        source = decoder.Patched(file.size, file.read_at, layout.patches)
        return source, _layout_remarks(layout)
    return file.descriptor, _layout_remarks(layout) if layout else []


def _layout_remarks(layout: Layout) -> list[str]:
    remarks = [_UNKNOWN_LENGTH] if layout.unknown else []
    if layout.rest:
        remarks.append(f"{layout.rest:,} bytes after the samples that it promises are not used")
    return remarks


def _refuse_known(file: _File) -> None:
    if found := not_sound.describe(file.head[:_HEAD]):
        raise DataError(f"{file.path} is {found[0]}{not_sound.hint(file.path, found[1])}")


def _undecodable(file: _File, layout: Layout | None, reason: str) -> DataError:
    reason = reason.removeprefix("Error : ").strip(" .")
    codec = layout.format.codec if layout and layout.format else PCM
    if codec not in _READ:
        reason = f"{_NOT_READ.get(codec, f'codec {codec:#x}')} in WAV: unsupported"
    elif "resource fork" in reason or "regular file" in reason:  # the last format that it tries
        reason = "format not recognised"
    if any(word in reason for word in ("not recognised", "unsupported", "unimplemented")):
        how = not_sound.hint(file.path, not_sound.CONVERT)
        return DataError(f"{file.path} is of a kind that cannot be read ({reason}){how}")
    return DataError(f"{file.path} is truncated or damaged ({reason}): record or copy it again")


def _decoded(file: _File, stream: "Stream", header: Header, samples: int | None) -> np.ndarray:
    """The wanted samples at 16 kHz."""
    wanted = _wanted(header, samples)
    audio, frames = _at_16_khz(_numbers(file.path, stream.blocks(wanted)), header.rate)
    streams.check_length(file.path, frames / header.rate, LONGEST)
    if frames < wanted and header.frames < _UNKNOWN_FRAMES:
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


def _numbers(path: Path, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    for block in blocks:
        if block.dtype != np.int16 and not np.isfinite(block.sum()):
            raise DataError(
                f"{path} holds samples that are not numbers (NaN or infinity): export it again"
            )
        yield block


def _at_16_khz(blocks: Iterable[np.ndarray], rate: int) -> tuple[np.ndarray, int]:
    """Blocks of samples in int16's units as one int16 array at 16 kHz; how many samples came."""
    parts, frames, resample = [], 0, None
    if rate != SAMPLE_RATE:
        import soxr  # only here: most data sets have 16 kHz, and a check reads no samples

        resample = soxr.ResampleStream(rate, SAMPLE_RATE, 1, "float64", "HQ").resample_chunk
    for block in blocks:
        frames += len(block)
        parts.append(to_int16(resample(block.astype(np.float64)) if resample else block))
    if resample:
        parts.append(to_int16(resample(np.zeros(0), last=True)))
    return parts[0] if len(parts) == 1 else np.concatenate(parts), frames


def _remarks(path: Path, header: Header) -> list[str]:
    remarks = []
    if header.channels > 1:
        remarks.append(f"{header.channels} channels are averaged")
    container, name = header.kind.split(",")[0], path.name.lower()
    if container not in _SHOWN:
        remarks.append(f"a file of the kind {container} does not show whether it is complete")
    if name.endswith(_ALL_ENDINGS) and not name.endswith(_ENDINGS.get(container, ())):
        remarks.append(f"{container} in a file named {path.suffix}")
    return remarks
