"""Which folders on the way to a recording are named after people."""

from collections.abc import Iterable
from typing import NamedTuple

from vm_startup.speech_commands.layouts.file_tree import Parts
from vm_startup.speech_commands.layouts.naming import is_thing, named_briefly
from vm_startup.speech_commands.words import fold

FEWEST = 3  # people, one for each split


class Level(NamedTuple):
    """A folder's place, seen from the folder of the word."""

    inside: bool  # else around it
    depth: int


Names = dict[Level, str]  # the folders of one path that may be named after people


def speakers_of(
    words: dict[Parts, Names], others: dict[Parts, Names]
) -> tuple[dict[Parts, str], set[bool], str]:
    """The speaker of each folder of recordings that has one, whether these lie inside the folders
    of `words` or around, and a remark where another folder could be meant.

    In folders of `others`, such as `_unknown_`, a folder may be a word's: it is a person's if a
    word has the same, or if it lies beside such a one below another folder.
    """
    ranked = _ranked(words.values())
    found, levels = {}, set()
    for parts, names in words.items():
        if level := next((level for level in ranked if level in names), None):
            found[parts] = names[level]
            levels.add(level.inside)
    remark = _remark(words.values(), set(found.values()))
    known = {fold(name) for name in found.values()}
    people = {
        level
        for names in others.values()
        for level, name in names.items()
        if level.depth and fold(name) in known
    }
    for parts, names in others.items():
        inner = (n for at, n in names.items() if at.inside and (fold(n) in known or at in people))
        outer = (names[level] for level in ranked if level in names and not level.inside)
        if name := next(inner, next(outer, None)):
            found[parts] = name
    return found, levels, remark


def _ranked(rows: Iterable[Names]) -> list[Level]:
    """The levels that may hold people, the likeliest first.

    Devices, sessions and the like are people only where nothing else is. Of the others, a level
    that divides another, as dates divide the recordings of a person, comes behind that, so that
    nobody has two names; then the level with the most names comes first, and the deepest of those.
    """
    rows = list(rows)
    names: dict[Level, set[str]] = {}
    for row in rows:
        for level, name in row.items():
            names.setdefault(level, set()).add(fold(name))
    people = [level for level in names if not all(map(is_thing, names[level]))] or list(names)

    def divides(level: Level, other: Level) -> bool:
        if not FEWEST <= len(names[other]) < len(names[level]):
            return False
        pairs = {(fold(row[level]), row[other]) for row in rows if {level, other} <= row.keys()}
        return 0 < len(pairs) == len({name for name, _ in pairs})

    def likely(level: Level) -> tuple[bool, int, Level]:
        divided = any(divides(level, other) for other in people if other != level)
        return not divided, len(names[level]), level

    return sorted(people, key=likely, reverse=True)


def _remark(rows: Iterable[Names], used: set[str]) -> str:
    """What is taken for people, where there is a choice or no person's name."""
    unused = {name for row in rows for name in row.values()} - used
    if not used or not (unused or all(map(is_thing, used))):
        return ""
    said = f"folders taken for speakers: {named_briefly(used)}"
    return f"{said}; not for speakers: {named_briefly(unused)}" if unused else said
