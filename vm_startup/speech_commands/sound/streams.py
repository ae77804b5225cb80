"""Walks through the frames of an MP3 file and the pages of an Ogg file: whether it is complete.

libsndfile estimates how many samples an MP3 file without a Xing header has, and reads no more than
that; it takes a cut Ogg file for a short one. The formats: ISO/IEC 11172-3 and 13818-3; RFC 3533.
"""

import struct
from typing import NamedTuple

from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.sound.containers import ReadAt

# Hz, by the version in a frame's header: 3 is MPEG 1, 2 MPEG 2, 0 MPEG 2.5.
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_KILOBITS = {  # a second; MPEG 1, the others
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
_SAME = 0xFFFE0C00  # bits of a frame's header that all frames of a file share
_TAG = b"ID3\x04" + bytes(5) + b"\x0a" + bytes(10)  # what follows is MP3 to libsndfile
_TAGS = (b"TAG", b"APETAGEX", b"LYRICS", b"ID3")


class Mp3(NamedTuple):
    """What MP3 frames are."""

    data: bytes | None  # a file that libsndfile reads whole; None: it does so with the frames
    remarks: list[str]


def mp3(path: object, start: int, end: int, read_at: ReadAt, longest: int) -> Mp3 | None:
    """MP3 frames between two offsets of a file, layer III; None if there are none.

    longest: seconds. Raises DataError for a truncated, a damaged and a longer one.
    """
    tag = read_at(start, 10)
    if tag[:3] == b"ID3" and len(tag) == 10:
        size = sum(byte << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True))
        start += 10 + size + (10 if tag[5] & 0x10 else 0)
    if not (length := _frame_bytes(first := int.from_bytes(read_at(start, 4), "big"))):
        return None
    check_length(path, (end - start) * 8 / 320_000, longest)
    data = read_at(start, end - start)
    lengths, frames, at = {first: length}, 0, 0
    while True:
        header = int.from_bytes(data[at : at + 4], "big")
        if (length := lengths.get(header, 0)) == 0 and not (header ^ first) & _SAME:
            length = lengths[header] = _frame_bytes(header)
        if not length or at + length > len(data):
            break
        frames, at = frames + 1, at + length
    promised, rest, remarks = _promised_frames(data[:200]), data[at : at + 512], []
    frames -= promised is not None  # the frame with the header holds no sound
    if promised is not None and frames < promised - 1:
        raise DataError(
            f"{path} is truncated or damaged: its header promises {promised:,} frames, {frames:,} "
            "follow; record or copy it again"
        )
    if rest.strip(b"\0") and not rest.startswith(_TAGS):
        left = len(data) - at
        remarks.append(f"the last {left:,} bytes are no complete frame and are not used")
    check_length(path, frames * _samples(first) / _rate(first), longest)
    if promised is not None and frames <= promised + 1:
        return Mp3(None, remarks)
    header_frame = _header_frame(first, frames + (promised is not None))
    return Mp3(_TAG + header_frame + data[:at], remarks)


def check_length(path: object, seconds: float, longest: int) -> None:
    """Raise DataError for a recording of more than `longest` seconds."""
    if seconds > longest:
        raise DataError(
            f"{path} is {seconds / 60:,.0f} minutes long: cut it into recordings of at most "
            f"{longest // 60} minutes"
        )


def check_ogg(path: object, size: int, read_at: ReadAt) -> list[str]:
    """What there is to say about an Ogg file; raises DataError if it is truncated or damaged."""
    at, begun, links, ended = 0, False, 1, False
    while at < size:
        head = read_at(at, 27)
        lengths = read_at(at + 27, head[26]) if len(head) == 27 else b""
        if not b"OggS".startswith(head[:4]):
            raise DataError(
                f"{path} is damaged: no Ogg page begins at byte {at:,}; record or copy it again"
            )
        length = len(head) + len(lengths) + sum(lengths)
        if len(head) < 27 or len(lengths) < head[26] or at + length > size:
            raise DataError(f"{path} is truncated: its last page is cut; record or copy it again")
        links += begun and bool(head[5] & 2)  # a first page
        begun, ended = not head[5] & 2, bool(head[5] & 4)
        at += length
    remarks = [] if ended else ["its last page has no end mark: it may be cut"]
    if links > 1:
        remarks.append(f"of {links} recordings in one file only the first is used")
    return remarks


def _frame_bytes(header: int) -> int:
    """The length of a layer III frame; 0 if this is no header of one that has a length."""
    version, layer = header >> 19 & 3, header >> 17 & 3
    if header >> 21 != 0x7FF or version == 1 or layer != 1 or header >> 10 & 3 == 3:
        return 0
    bitrate = 1000 * _KILOBITS[version == 3][header >> 12 & 15]
    return bitrate and _samples(header) // 8 * bitrate // _rate(header) + (header >> 9 & 1)


def _samples(header: int) -> int:
    return 1152 if header >> 19 & 3 == 3 else 576


def _rate(header: int) -> int:
    return _RATES[header >> 19 & 3][header >> 10 & 3]


def _promised_frames(frame: bytes) -> int | None:
    """How many frames a Xing, Info or VBRI header in the first frame promises; None: no header."""
    for name, place in ((b"Xing", 8), (b"Info", 8), (b"VBRI", 14)):
        at = frame.find(name, 4, 48)
        if at > 0 and (name == b"VBRI" or frame[at + 7] & 1):
            return struct.unpack_from(">I", frame, at + place)[0]
    return None


def _header_frame(first: int, frames: int) -> bytes:
    """A frame without sound whose Info header says how many frames follow."""
    header = first & ~0x1F200 | 0x19000  # a medium bit rate, no checksum, no padding
    mono = header >> 6 & 3 == 3
    side = (17 if mono else 32) if header >> 19 & 3 == 3 else (9 if mono else 17)
    frame = struct.pack(">I", header) + bytes(side) + b"Info" + struct.pack(">II", 1, frames)
    return frame.ljust(_frame_bytes(header), b"\0")
