"""The word, speaker and split that a recording's path says: folders of words, or `word.id.wav`."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from vm_startup.conventions import UNKNOWN
from vm_startup.speech_commands import words
from vm_startup.speech_commands.layouts.file_tree import Parts
from vm_startup.speech_commands.layouts.folder_splits import splits_of
from vm_startup.speech_commands.layouts.naming import (
    GROUPS,
    SPECIAL,
    Label,
    is_split,
    person,
    speaker_in,
    split_named,
)
from vm_startup.speech_commands.layouts.speaker_folders import Level, Names, speakers_of

Folders = dict[Parts, list[str]]  # the recordings of each folder

fold = lru_cache(1 << 16)(words.fold)  # the same few folders, again and again

WORD_FOLDERS = "a folder for each word"
NO_WORD = "in no word's folder"
UNDERSCORE = "in a folder whose name begins with '_'"


@dataclass
class Labels:
    """What one layout says of the recordings of a folder."""

    kind: str = ""  # for people
    labels: dict[str, Label] = field(default_factory=dict)  # by the recordings' names
    ignored: list[tuple[str, str]] = field(default_factory=list)  # name, why it has no label
    remarks: list[str] = field(default_factory=list)
    problem: str = ""  # why the folder must not be used as it is
    used: list[str] = field(default_factory=list)  # tables and lists that are followed


@dataclass(frozen=True)
class _Place:
    """Where in a path the word stands."""

    word: str
    above: Parts
    below: Parts

    @property
    def special(self) -> str | None:
        return SPECIAL.get(self.word.lower())


def label_folders(folders: Folders, wanted: dict[str, str]) -> Labels:
    """Labels by the folders that are named after wanted words, wherever these lie.

    The folders beside them are other words. A folder within one, or around it, is the speaker,
    unless the file's name holds one. Names of splits are splits if there are two of them.
    """
    found = Labels()
    homes = _homes(folders, wanted)
    places = {}
    for parts, files in folders.items():
        place = _place(parts, homes, wanted)
        if why := _unused(parts, place, wanted):
            found.ignored.extend((name, why) for name in files)
        elif place:
            places[parts] = place
    at = {parts: len(place.above) for parts, place in places.items()}
    splits, found.remarks, found.problem = splits_of(at)
    speakers, levels, doubt = _speakers(places, homes, wanted, splits_too=bool(splits))
    for parts, place in places.items():
        said = _labels(folders[parts], place.word, speakers.get(parts), splits.get(parts))
        found.labels.update(said)
    found.kind = _kind(levels, bool(splits))
    found.remarks += [*_doubtful(places.values(), homes, wanted), *filter(None, [doubt])]
    return found


def _speakers(
    places: dict[Parts, _Place],
    homes: set[Parts],
    wanted: dict[str, str],
    splits_too: bool,
) -> tuple[dict[Parts, str], set[bool], str]:
    """The speakers that folders are named after; see `speakers_of`."""

    def people(parts: Parts) -> Parts:
        return tuple(p for p in _people(parts) if not (splits_too and split_named(p)))

    shared = len(os.path.commonprefix([people(home) for home in homes]))
    words: dict[Parts, Names] = {}
    others: dict[Parts, Names] = {}
    for parts, place in places.items():
        inner = [p for p in people(place.below) if fold(p) not in {*wanted, fold(place.word)}]
        sides = enumerate((people(place.above)[shared:], inner))
        (others if place.special else words)[parts] = {
            Level(bool(inside), depth): name
            for inside, side in sides
            for depth, part in enumerate(side)
            if (name := person(part))
        }
    return speakers_of(words, others)


def label_names(folders: Folders, wanted: dict[str, str]) -> Labels:
    """Labels by file names `word.id.wav`, as Edge Impulse has them.

    Source: docs.edgeimpulse.com, *Studio*, *Uploader*: `idle.01` has the label `idle`. Folders
    where no file is named after a wanted word are not used.
    """
    found = Labels("the word in each file's name, before its first dot")
    pieces = {
        parts: [name.rpartition("/")[2].split(".") for name in files]
        for parts, files in folders.items()
    }
    used = {
        parts
        for parts, names in pieces.items()
        if any(len(name) > 2 and fold(name[0]) in wanted for name in names)
    }
    splits, found.remarks, found.problem = splits_of({parts: len(parts) for parts in used})
    for parts, files in folders.items():
        for name, (word, *rest) in zip(files, pieces[parts], strict=True):
            if parts in used and len(rest) > 1 and word:
                speaker = speaker_in(".".join(rest[:-1]))
                found.labels[name] = Label(word, speaker, splits.get(parts))
            else:
                found.ignored.append((name, "no word in its name"))
    return found


def label_special_folders(folders: Folders) -> dict[str, Label]:
    """Labels of the recordings of noise and of other words, in folders such as `_silence_`."""
    return {
        name: Label(special)
        for parts, files in folders.items()
        if (special := next((SPECIAL[p.lower()] for p in parts if p.lower() in SPECIAL), None))
        for name in files
    }


def _homes(folders: Folders, wanted: dict[str, str]) -> set[Parts]:
    """The folders that hold folders of words: those of a wanted word, and others like them.

    Others lie beside several of these, or beside one and hold a folder of the same name: speakers
    who said other words alone.
    """
    inside: dict[Parts, set[str]] = {}
    homes = set()
    for parts in folders:
        for at, part in enumerate(parts):
            inside.setdefault(parts[:at], set()).add(part)
        at = next((at for at, part in enumerate(parts) if fold(part) in wanted), -1)
        if at >= 0 and not any(part.startswith("_") for part in parts):
            homes.add(parts[:at])
    groups: dict[Parts, list[Parts]] = {}
    for home in homes:
        if home and home[:-1] not in homes:
            groups.setdefault(home[:-1], []).append(home)
    for group, some in groups.items():
        known = set().union(*(inside[home] for home in some))
        for name in inside[group]:
            names = inside.get((*group, name), set())
            if names & known or (names and len(some) > 1):
                homes.add((*group, name))
    return homes


def _place(parts: Parts, homes: set[Parts], wanted: dict[str, str]) -> _Place | None:
    """Where the word stands: a special name, else the first wanted word, else below a home."""
    special = (at for at, part in enumerate(parts) if part.lower() in SPECIAL)
    first = (at for at, part in enumerate(parts) if fold(part) in wanted)
    below = (at for at in reversed(range(len(parts))) if parts[:at] in homes)
    at = next(special, next(first, next(below, None)))
    return None if at is None else _Place(parts[at], parts[:at], parts[at + 1 :])


def _unused(parts: Parts, place: _Place | None, wanted: dict[str, str]) -> str | None:
    """Why the recordings of a folder are not used."""
    if any(part.startswith("_") and part.lower() not in SPECIAL for part in parts):
        return UNDERSCORE
    if place is None:
        return NO_WORD
    if place.special == UNKNOWN:
        word = next((part for part in place.below if fold(part) in wanted), None)
        return word and f"a recording of {word!r}, which is wanted, among the other words"
    if fold(place.word) not in wanted and (is_split(place.word) or place.word.lower() in GROUPS):
        return NO_WORD
    return None


def _people(parts: Parts) -> Parts:
    """The folders of a path that may be named after speakers."""
    return tuple(p for p in parts if not is_split(p) and p.lower() not in GROUPS)


def _labels(
    files: list[str], word: str, speaker: str | None, split: str | None
) -> dict[str, Label]:
    return {
        name: Label(word, speaker_in(name.rpartition("/")[2]) or speaker, split) for name in files
    }


def _kind(levels: set[bool], splits: bool) -> str:
    kind = WORD_FOLDERS
    if True in levels:
        kind += ", with folders of speakers"
    if False in levels:
        kind = f"a folder for each speaker, with {kind}"
    return f"folders of splits, with {kind}" if splits else kind


def _doubtful(places: Iterable[_Place], homes: set[Parts], wanted: dict[str, str]) -> list[str]:
    """Folders that could be words, or speakers, too."""
    nested = {
        f"the recordings in {'/'.join((*place.above, place.word, *place.below[: at + 1]))!r} are "
        f"taken for {place.word!r}, not for {part!r}"
        for place in places
        if fold(place.word) in wanted
        for at, part in enumerate(place.below)
        if fold(part) in wanted and fold(part) != fold(place.word)
    }
    speakers = {
        f"{'/'.join(home)!r} lies beside folders of words and holds some: it is taken for a speaker"
        for home in homes
        if _people(home[-1:]) and any(home[:at] in homes for at in range(len(home)))
    }
    found = sorted(nested | speakers)
    return [*found[:3], f"{len(found) - 3:,} more folders like these"] if len(found) > 3 else found
