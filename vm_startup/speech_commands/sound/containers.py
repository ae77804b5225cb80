"""Where a sound file's samples lie, as far as its header says, for containers made of chunks.

libsndfile takes a truncated file for a short one, refuses some of the lengths that programs write
when they do not know the length yet, and does not say which bits of a sample are used.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from vm_startup.speech_commands.errors import DataError

ReadAt = Callable[[int, int], bytes]  # (offset, bytes)

PCM, FLOAT, MP3, EXTENSIBLE = 1, 3, 0x55, 0xFFFE
_MOST_CHUNKS = 1000  # before the samples
# A length from here on that the file does not have was written before the length was known:
# 0x7F000000 and 0x7FFFF000 by SoX, 0x7FFF0000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF by others.
_UNKNOWN = 0x7E000000
_TAIL = 1 << 16  # bytes at the end that are searched for other chunks
_AFTER = rb"LIST|id3 |ID3 |bext|cue |smpl|inst|fact|PEAK|JUNK|iXML|axml|_PMX|NAME|ANNO|AUTH|\(c\) "


@dataclass(frozen=True, slots=True)
class _Form:
    """How a container counts its chunks."""

    first: int  # byte offset of the first chunk
    name: int  # bytes of a chunk's name
    number: str  # struct format of a length
    head: struct.Struct  # name and length
    own: int  # bytes of its own header that a length includes
    pad: int  # chunks begin at multiples of so many bytes
    sound: tuple[bytes, ...]  # the chunk with the samples


_FORMS = {
    b"RIFF": _Form(12, 4, "<I", struct.Struct("<4sI"), 0, 2, (b"data",)),
    b"RF64": _Form(12, 4, "<I", struct.Struct("<4sI"), 0, 2, (b"data",)),
    b"RIFX": _Form(12, 4, ">I", struct.Struct(">4sI"), 0, 2, (b"data",)),
    b"FORM": _Form(12, 4, ">I", struct.Struct(">4sI"), 0, 2, (b"SSND", b"BODY")),
    b"caff": _Form(8, 4, ">Q", struct.Struct(">4sQ"), 0, 1, (b"data",)),
    b"riff": _Form(40, 16, "<Q", struct.Struct("<4s12xQ"), 24, 8, (b"data",)),  # W64
}


class Format(NamedTuple):
    """A fmt chunk of RIFF, RF64 or W64."""

    codec: int
    channels: int
    rate: int  # Hz
    container: int  # bits that a sample takes
    valid: int  # bits of them that are used
    extensible: bool  # WAVE_FORMAT_EXTENSIBLE, which says where they lie: in the high bits


class Layout(NamedTuple):
    """What the header says."""

    start: int  # byte offset of the samples
    length: int  # their bytes; never more than the file holds
    unknown: bool  # the header does not say how many: they go on to the end of the file
    patches: tuple[tuple[int, bytes], ...]  # offset and bytes that libsndfile reads instead
    format: Format | None  # None: not of WAV's family
    rest: int = 0  # bytes after the samples that are no chunk


def layout(path: object, size: int, read_at: ReadAt) -> Layout | None:
    """The layout of a file with so many bytes; None for a container without chunks.

    Raises DataError for a truncated file and one without samples.
    """
    head = read_at(0, 12)
    if head[:4] in (b".snd", b"dns."):
        return _au_layout(path, size, head)
    form = _FORMS.get(head[:4]) if head[8:] not in (b"AVI ", b"WEBP") else None
    return _chunked_layout(path, size, read_at, form) if form else None


def _au_layout(path: object, size: int, head: bytes) -> Layout:
    number = ">I" if head[:4] == b".snd" else "<I"
    if len(head) < 12:
        raise DataError(f"{path} is truncated or broken: its header has {size} bytes")
    start, length = (struct.unpack_from(number, head, at)[0] for at in (4, 8))
    unknown = _is_unknown(path, length, size - start, "samples", False)
    available = size - start if unknown else length
    patches = ((8, struct.pack(number, available)),) if unknown else ()
    return Layout(start, available, unknown, patches, None)


def _chunked_layout(path: object, size: int, read_at: ReadAt, form: _Form) -> Layout:
    at, format_, real, patches = form.first, None, None, []
    for _ in range(_MOST_CHUNKS):
        head = read_at(at, form.head.size)
        if len(head) < form.head.size:
            break
        name, length = form.head.unpack(head)
        start, length = at + form.head.size, length - form.own
        if name in form.sound:
            number, place = form.number, at + form.name
            if real is not None and length == 0xFFFFFFFF:  # RF64: the length is in ds64
                length, number, place = real, "<Q", form.first + 16
            exact = length <= 0 and form.pad == 2 and _whole(read_at(4, 4), form) == size
            unknown = _is_unknown(path, length, size - start, name.decode(), exact)
            available = length
            if unknown:
                available = _last_chunks(read_at, start, size, form) - start
                patches.append((place, struct.pack(number, available + form.own)))
            rest = 0 if unknown else _rest(read_at, start + length, size, form)
            return Layout(start, available, unknown, tuple(patches), format_, rest)
        if start + length > size:
            _refuse(path, length, size - start, name.decode("ascii", "replace").strip())
        if name == b"fmt " and form.number[0] == "<":
            format_, bits = _format(path, read_at(start, min(length, 40)))
            if format_.codec == PCM and (bits + 7) // 8 * 8 != format_.container:
                patches.append((start + 14, struct.pack("<H", format_.container)))
        elif name == b"ds64" and length >= 16:
            real = struct.unpack("<Q", read_at(start + 8, 8))[0]
        at = start + max(length, 0)
        at += -at % form.pad
    missing = form.sound[0].decode() if format_ or form.number[0] == ">" else "fmt"
    raise DataError(f"{path} is truncated or broken: it has no {missing} chunk")


def _rest(read_at: ReadAt, at: int, size: int, form: _Form) -> int:
    """How many bytes after the samples are no chunk."""
    while at < size:
        begin = at + -at % form.pad
        name, length = form.head.unpack(read_at(begin, form.head.size).ljust(form.head.size))
        end = begin + form.head.size + length - form.own
        if not begin < end <= size or not name.isascii() or not name.decode().isprintable():
            return 0 if not read_at(at, _TAIL).strip(b"\0") else size - at
        at = end
    return 0


def _last_chunks(read_at: ReadAt, start: int, size: int, form: _Form) -> int:
    """Where the chunks begin that programs write after samples, as far as they end the file."""
    at, tail = size, read_at(max(start, size - _TAIL), _TAIL)
    places = (
        [size - len(tail) + match.start() for match in re.finditer(_AFTER, tail)]
        if form.name == 4
        else []
    )
    for place in reversed(places):
        _, length = form.head.unpack(read_at(place, form.head.size).ljust(form.head.size))
        end = place + form.head.size + length
        if end == at or end + -end % form.pad == at:
            at = place
    return at


def _whole(length: bytes, form: _Form) -> int:
    return struct.unpack(form.number, length)[0] + 8


def _is_unknown(path: object, length: int, available: int, name: str, exact: bool) -> bool:
    """Whether a length was written before it was known; raises DataError if it is too long.

    exact: the length of the whole file is right, so that a length of zero means no samples.
    """
    if length <= 0:
        return available > 0 and not exact
    if length > available and length < _UNKNOWN:
        _refuse(path, length, available, name)
    return length > available


def _refuse(path: object, length: int, available: int, name: str) -> None:
    raise DataError(
        f"{path} is truncated: its header promises {length:,} bytes of {name!r}, "
        f"the file holds {max(available, 0):,}; record or copy it again"
    )


def _format(path: object, chunk: bytes) -> tuple[Format, int]:
    """What a fmt chunk says, and how many bits it says that a sample takes."""
    if len(chunk) < 16:
        raise DataError(f"{path} is broken: its fmt chunk has {len(chunk)} bytes instead of 16")
    codec, channels, rate, _, block, bits = struct.unpack("<HHIIHH", chunk[:16])
    extensible = codec == EXTENSIBLE and len(chunk) >= 26
    valid = bits
    if extensible:
        valid, codec = struct.unpack_from("<H4xH", chunk, 18)
    container = (bits + 7) // 8 * 8
    if 16 < bits < block * 8 // max(channels, 1) == 32:  # for others, block sizes are often wrong
        container = 32
    return Format(codec, channels, rate, container, min(valid or bits, bits), extensible), bits
