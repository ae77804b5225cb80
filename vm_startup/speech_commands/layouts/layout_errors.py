"""Why a folder cannot be used: one sentence, with what it holds and what would be right."""

import difflib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from vm_startup.speech_commands.layouts.naming import printable, suffix_of
from vm_startup.speech_commands.words import fold

Ignored = list[tuple[str, str]]  # names of files, and why each is not used


def nothing_usable(root: Path, ignored: Ignored, word: str) -> str:
    """No file is a recording that can be read."""
    return (
        f"{root} has no recording that can be used: {_holds(ignored)}; the simplest layout is a "
        f"folder for each word, such as {root / word / '1.wav'}"
    )


def no_word_known(root: Path, count: int, word: str) -> str:
    """There are recordings, and neither a folder nor a table nor a name says their words."""
    return (
        f"nothing says the words of the {count:,} recordings in {root}: put those of {word!r} into "
        f"the folder {root / word}, and those of each other word into one of its own"
    )


def no_recording(folder: Path, name: str, ignored: Ignored, word: str) -> str:
    """A wanted word's folder has no recording that can be used."""
    held = [(file, why) for file, why in ignored if file.startswith(f"{name}/")]
    return f"{folder} has no recording of {word!r} that can be used: {_holds(held)}"


def not_there(where: str, word: str, names: Iterable[str]) -> str:
    """A wanted word is not among the names of words."""
    shown = sorted({printable(name) for name in names})
    more = f" and {len(shown) - 5:,} more" if len(shown) > 5 else ""
    near = nearest(word, shown)
    return f"{where} for the word {word!r}; " + (
        f"the nearest name there is {near!r}" if near else f"it has {', '.join(shown[:5])}{more}"
    )


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The name that a mistyped word may mean."""
    forms = {fold(name): name for name in names}
    near = difflib.get_close_matches(fold(word), forms, n=1, cutoff=0.5)
    return forms[near[0]] if near else None


def _holds(ignored: Ignored) -> str:
    kinds = Counter(
        f"{f'.{suffix}' if (suffix := suffix_of(name)).isalnum() else 'others'} ({why})"
        for name, why in ignored
    )
    shown = [f"{count:,} {kind}" for kind, count in kinds.most_common(4)]
    return f"it holds {', '.join(shown)}" if shown else "it is empty"
