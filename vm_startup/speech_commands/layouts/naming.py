"""What the names of files, folders and words say: kinds of files, splits, noise, speakers."""

import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from vm_startup.conventions import BACKGROUND_NOISE, SILENCE, UNKNOWN
from vm_startup.speech_commands.speaker_splits import (
    TESTING,
    TRAINING,
    VALIDATION,
    speaker_of,
)
from vm_startup.speech_commands.words import fold


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


RECORDINGS = _set("wav wave bwf rf64 w64 flac mp3 ogg oga opus aif aiff aifc au snd caf")
TABLES = _set("csv tsv labels")
_UNREAD = {  # why files with these suffixes are not used
    _set("m4a m4b aac wma amr 3gp 3ga webm weba mka mp4 mov mkv ape wv ac3"): (
        "a format that is not read: convert it: ffmpeg -i IN OUT.wav"
    ),
    _set("raw pcm"): "samples without a header: ffmpeg -f s16le -ar 16000 -ac 1 -i IN OUT.wav",
    _set("zip 7z tar gz tgz bz2 xz zst rar"): "an archive: unpack it",
}
_WHY = {suffix: why for suffixes, why in _UNREAD.items() for suffix in suffixes}

SPLITS = {
    **dict.fromkeys(("train", "training"), TRAINING),
    **dict.fromkeys(("dev", "val", "valid", "validation"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TESTING),
}
SPLIT_LISTS = {"validation_list.txt": VALIDATION, "testing_list.txt": TESTING}
# Folders that only hold others: neither words nor speakers.
GROUPS = _set("audio clips data dataset recordings samples sound sounds wav wavs")
# Names that stand for noise or for other words, in folders of TensorFlow's trainer and of
# TensorFlow Datasets (audio/speech_commands.py), and as labels of Edge Impulse's projects.
SPECIAL = {
    **dict.fromkeys((BACKGROUND_NOISE, SILENCE), BACKGROUND_NOISE),
    UNKNOWN: UNKNOWN,
}
_SPECIAL_LABELS = {
    **SPECIAL,
    **dict.fromkeys(("noise", "silence", "background", "background_noise"), BACKGROUND_NOISE),
    "unknown": UNKNOWN,
}
_NOBODY = frozenset(("", "-", "na", "n/a", "nan", "none", "null", "unknown"))


class Label(NamedTuple):
    """What a layout says of one recording."""

    word: str  # as it is spelled there
    speaker: str | None = None
    split: str | None = None


def suffix_of(name: str) -> str:
    """The suffix of a file name in lower case, e.g. "wav"; "" if it has none."""
    _, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return suffix.lower() if dot else ""


def why_unread(name: str) -> str:
    """Why a file that is neither a recording nor a table is not used."""
    return _WHY.get(suffix_of(name), "not a recording")


def spelled(name: str) -> str:
    """A name of a file system or table in the Unicode form that people type."""
    return unicodedata.normalize("NFC", name)


def printable(name: str) -> str:
    """A name as it may be shown: whatever is no text of one line is escaped."""
    return spelled(name) if name.isprintable() else ascii(name)


def spell(names: Iterable[str], wanted: dict[str, str]) -> dict[str, str]:
    """The word that each name means: the wanted one's spelling, noise, other words, or itself.

    `wanted` has the wanted words by their folded form. Names of one folded form are one word.
    """
    known = {**_SPECIAL_LABELS, **wanted}
    return {
        name: known.setdefault(fold(name), spelled(name)) for name in sorted(names, reverse=True)
    }


def given_split(parts: Iterable[str]) -> str | None:
    """The split that one of these folders is named after."""
    return next((SPLITS[part.lower()] for part in parts if part.lower() in SPLITS), None)


def speaker_in(stem: str) -> str | None:
    """The speaker in a file name, by TensorFlow's `_nohash_`; None if it holds none."""
    speaker = speaker_of(stem)
    return speaker if speaker and speaker != stem else None


def person(name: str | None) -> str | None:
    """A speaker's name in a table or of a folder; None if it says that nobody is known."""
    name = spelled(name or "").strip()
    return None if name.casefold() in _NOBODY else name
