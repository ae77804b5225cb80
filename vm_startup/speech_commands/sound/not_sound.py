"""Names what a file holds that cannot be read as sound, by its first bytes, and what to do."""

import shlex
from pathlib import Path

from vm_startup.conventions import SAMPLE_RATE

CONVERT, _UNPACK, _RECORD = "convert", "unpack", "record"
_LFS = b"version https://git-lfs"

_KINDS = [  # offset, bytes there, what it is, what to do
    (4, b"ftypM4A", "an M4A file (AAC or ALAC)", CONVERT),
    (4, b"ftypM4B", "an M4B file (AAC)", CONVERT),
    (4, b"ftyp3g", "a 3GP file (AMR or AAC)", CONVERT),
    (4, b"ftypqt", "a QuickTime file", CONVERT),
    (4, b"ftyp", "an MP4 file", CONVERT),
    (0, bytes.fromhex("3026b2758e66cf11"), "a WMA or WMV file", CONVERT),
    (0, bytes.fromhex("1a45dfa3"), "a WebM or Matroska file", CONVERT),
    (0, b"#!AMR", "an AMR file", CONVERT),
    (0, b"#!SILK", "a SILK file", CONVERT),
    (0, b"\x02#!SILK", "a SILK file", CONVERT),
    (0, b"ADIF", "an AAC file", CONVERT),
    (0, b"FLV", "a Flash video", CONVERT),
    (0, b"MAC ", "a Monkey's Audio file", CONVERT),
    (0, b"wvpk", "a WavPack file", CONVERT),
    (0, b"TTA1", "a True Audio file", CONVERT),
    (0, b"MPCK", "a Musepack file", CONVERT),
    (0, b"MP+", "a Musepack file", CONVERT),
    (0, b"DSD ", "a DSD file", CONVERT),
    (0, b".RMF", "a RealMedia file", CONVERT),
    (0, bytes.fromhex("000001ba"), "an MPEG video", CONVERT),
    (8, b"AVI ", "an AVI video", CONVERT),
    (28, b"Speex   ", "an Ogg file with Speex", CONVERT),
    (28, b"\x80theora", "an Ogg video", CONVERT),
    (0, b"MThd", "a MIDI file, which holds notes and no sound", _RECORD),
    (
        0,
        bytes.fromhex("00051607"),
        "metadata of macOS (AppleDouble); the sound is in another file",
        "",
    ),
    (0, b"PK\x03\x04", "a zip archive", _UNPACK),
    (0, b"PK\x05\x06", "a zip archive", _UNPACK),
    (0, b"\x1f\x8b", "a gzip archive", _UNPACK),
    (0, b"BZh", "a bzip2 archive", _UNPACK),
    (0, bytes.fromhex("fd377a585a00"), "an xz archive", _UNPACK),
    (0, bytes.fromhex("28b52ffd"), "a zstd archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (0, b"Rar!", "a RAR archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"\x89PNG", "a PNG picture", _RECORD),
    (0, b"\xff\xd8\xff", "a JPEG picture", _RECORD),
    (0, b"GIF8", "a GIF picture", _RECORD),
    (0, b"%PDF", "a PDF document", _RECORD),
]


def describe(head: bytes) -> tuple[str, str] | None:
    """What a file is that begins so (512 bytes, if it has them), and what to do about it."""
    for offset, magic, what, advice in _KINDS:
        if head.startswith(magic, offset):
            return what, advice
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "an AAC file (ADTS)", CONVERT
    if head[:1] == b"G" and head[188:189] == b"G" and head[376:377] == b"G":
        return "an MPEG transport stream", CONVERT
    if not head.strip(b"\0"):
        return "a file that begins with zero bytes only, as a copy that failed", _RECORD
    return _describe_text(head)


def _describe_text(head: bytes) -> tuple[str, str] | None:
    """What a file of text is that begins so."""
    if head.startswith(_LFS):
        return (
            "a Git LFS pointer, not the recording itself",
            ": run `git lfs pull` in its repository",
        )
    try:
        text = head[:-4].decode() if len(head) > 4 else head.decode()
    except UnicodeDecodeError:
        return None
    if any(ord(char) < 32 and char not in "\t\n\r\f" for char in text):
        return None
    start = text.lstrip("\ufeff \t\r\n").lower()
    if start.startswith(("<!doctype html", "<html", "<head", "<body", "<script")):
        return "an HTML page, which a server sent instead of the file", ": download it again"
    return "a text file", _RECORD


def hint(path: Path, advice: str) -> str:
    """What to do, as the end of a sentence; a command is one that works."""
    if advice == CONVERT:
        wav = path.with_suffix(".wav")
        if wav == path:
            wav = path.with_name(f"{path.stem}_converted.wav")
        names = shlex.quote(str(path)), shlex.quote(str(wav))
        return f": convert it with `ffmpeg -i {names[0]} -ac 1 -ar {SAMPLE_RATE} {names[1]}`"
    return {
        _UNPACK: ": unpack it into the folder",
        _RECORD: ": put a recording there, or delete the file",
    }.get(advice, advice)
