"""What the names of files, folders and words say: kinds of files, splits, noise, speakers."""

import re
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
NO_TABLE = "a table that is not read: save it as CSV, with a first line such as path,label,speaker"
_OTHER_SOUNDS = _set("m4a m4b aac wma amr 3gp 3ga webm weba mka mp4 mov mkv ape wv ac3")
_UNREAD = {  # why files with these suffixes are not used
    _OTHER_SOUNDS: "a format that is not read: convert it: ffmpeg -i IN OUT.wav",
    _set("raw pcm"): "samples without a header: ffmpeg -f s16le -ar 16000 -ac 1 -i IN OUT.wav",
    _set("xlsx xls ods numbers parquet jsonl"): NO_TABLE,
    _set("zip 7z tar gz tgz bz2 xz zst rar"): "an archive: unpack it",
}
_TABLE_NAMES = re.compile("label|metadata|manifest|transcri|annotation")
_WHY = {suffix: why for suffixes, why in _UNREAD.items() for suffix in suffixes}

# What recipes and corpora call their splits, also with "set" and the like behind: `test_set`.
_SPLIT_NAMES = {
    TRAINING: "train training tr trn",
    VALIDATION: "validation valid val dev devel development cv",
    TESTING: "test testing tst te tt eval evaluation heldout holdout unseen",
}
SPLITS = {
    name + end: split
    for split, names in _SPLIT_NAMES.items()
    for name in names.split()
    for end in ("", "set", "split", "data")
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
# Folders of these, with a number or not, are not named after people: `phone 1`, `fold2`.
_THINGS = re.compile(
    "(?:phone|iphone|android|mobile|device|mic|microphone|headset|laptop|tablet|pc|board|channel"
    "|session|visit|day|week|room|place|distance|take|recording|part|batch|run|round|fold|set|group"
    "|near|far|quiet|noisy|clean|indoors?|outdoors?|male|female|men|women|m|f|adults?|child(?:ren)?"
    r"|kids)[\W\d_]*[a-z]?|(?:19|20)\d\d[\W_]?[01]\d[\W_]?[0-3]\d.*"
)
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


def is_sound(name: str) -> bool:
    """Whether a file is a recording, also of a kind that is not read."""
    return suffix_of(name) in RECORDINGS | _OTHER_SOUNDS


def why_unread(name: str) -> str:
    """Why a file that is neither a recording nor a table is not used."""
    suffix = suffix_of(name)
    if suffix in ("txt", "json") and _TABLE_NAMES.search(name.rpartition("/")[2].lower()):
        return NO_TABLE
    return _WHY.get(suffix, "not a recording")


def spelled(name: str) -> str:
    """A name of a file system or table in the Unicode form that people type."""
    return unicodedata.normalize("NFC", name)


def printable(name: str) -> str:
    """A name as it may be shown: whatever is no text of one line is escaped."""
    return spelled(name) if name.isprintable() else ascii(name)


def named_briefly(names: Iterable[str], shown: int = 3) -> str:
    """Some of the names, in order, and the number of the others."""
    every = sorted(names)
    some = ", ".join(repr(spelled(name)) for name in every[:shown])
    return f"{some} and {len(every) - shown:,} more" if len(every) > shown else some


def spell(names: Iterable[str], wanted: dict[str, str]) -> dict[str, str]:
    """The word that each name means: the wanted one's spelling, noise, other words, or itself.

    `wanted` has the wanted words by their folded form. Names of one folded form are one word.
    """
    known = {**_SPECIAL_LABELS, **wanted}
    return {
        name: known.setdefault(fold(name), spelled(name)) for name in sorted(names, reverse=True)
    }


def split_named(name: str) -> str | None:
    """The split that a name says as a whole, e.g. `test-set`, or in one of its words, e.g.
    `en_train`. In a longer name, two letters are no split but a language: `tr_train`."""
    words = [word for word in re.split(r"[\W\d_]+", name.lower()) if word]
    if whole := SPLITS.get("".join(words)):
        return whole
    found = {SPLITS[word] for word in words if len(word) > 2 and word in SPLITS}
    return found.pop() if len(found) == 1 else None


def is_split(name: str) -> bool:
    """Whether a folder's name is a split's rather than a word or a person; two letters may be a
    person's initials."""
    return len(name) > 2 and re.sub(r"[\W\d_]+", "", name.lower()) in SPLITS


def is_thing(name: str) -> bool:
    """Whether a folder is named after a device, a session or the like, rather than a person."""
    return bool(_THINGS.fullmatch(fold(name)))


def speaker_in(stem: str) -> str | None:
    """The speaker in a file name, by TensorFlow's `_nohash_`; None if it holds none."""
    speaker = speaker_of(stem)
    return speaker if speaker and speaker != stem else None


def person(name: str | None) -> str | None:
    """A speaker's name in a table or of a folder; None if it says that nobody is known."""
    name = spelled(name or "").strip()
    return None if is_nobody(name) else name


def is_nobody(name: str) -> bool:
    """Whether a cell of a table says that something is not known."""
    return name.strip().casefold() in _NOBODY
