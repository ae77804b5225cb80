"""The splits that folders are named after: `train/`, `dev/`, `test/`."""

import os

from vm_startup.speech_commands.layouts.file_tree import Parts
from vm_startup.speech_commands.layouts.naming import GROUPS, SPECIAL, is_split, split_named
from vm_startup.speech_commands.speaker_splits import VALIDATION

Places = dict[Parts, int]  # where the word stands in each folder's path; behind it: nowhere


def splits_of(places: Places) -> tuple[dict[Parts, str], list[str], str]:
    """The split of each folder of recordings, a remark, and why none may be used, if so.

    Splits are followed if folders are named after two. A folder that lies beside them under a name
    that is not known may hold test data, and is refused. What all recordings lie in is no split.
    """
    ways = {parts: parts[:at] + parts[at + 1 :] for parts, at in places.items()}
    words = [
        parts
        for parts, at in places.items()
        if not any(part.lower() in SPECIAL for part in parts[at : at + 1])
    ]
    shared = len(os.path.commonprefix([ways[parts] for parts in words]))
    found = {
        parts: split
        for parts, way in ways.items()
        if (split := next(filter(None, map(split_named, way[shared:])), None))
    }
    if problem := _unknown({parts: places[parts] for parts in words}, found, shared):
        return {}, [], problem
    if len(set(found.values())) > 1:
        return found, [], ""
    named = sorted(
        {split_named(part) or "" for way in ways.values() for part in way if is_split(part)}
    )
    remark = f"folders named after {' and '.join(named)} do not divide the recordings: not followed"
    return {}, [remark] if named else [], ""


def _unknown(places: Places, splits: dict[Parts, str], shared: int) -> str:
    """What is wrong with the first folder beside those of splits that is named after none."""
    known: dict[Parts, dict[str, str]] = {}
    others: dict[Parts, set[str]] = {}
    for parts, at in places.items():
        for depth in range(shared + (at <= shared), len(parts)):
            above, name = parts[:depth], parts[depth]
            if depth == at or name.lower() in GROUPS:
                continue
            if parts not in splits:
                others.setdefault(above, set()).add(name)
            elif split := split_named(name):
                known.setdefault(above, {})[name] = split
                break
    for above, names in sorted(known.items()):
        beside = sorted(others.get(above, ()))
        one = len(names) == len(beside) == 1 and is_split(min(names))
        if beside and (len(set(names.values())) > 1 or (one and VALIDATION not in names.values())):
            return (
                f"{'/'.join((*above, beside[0]))} lies beside {' and '.join(sorted(names))} and is "
                "named after no split that is known: rename it to train, validation or test, or "
                "move it elsewhere"
            )
    return ""
