"""Which words can be trained.

A word ends up in a comma-separated flag, a path, a shell command, a C comment and a C string. So it
consists of letters and digits of any script with single spaces, hyphens or underscores between.
"""

import unicodedata
from collections.abc import Sequence

from vm_startup.conventions import BACKGROUND_NOISE, SILENCE, UNKNOWN
from vm_startup.speech_commands.errors import DataError

RESERVED = (SILENCE, UNKNOWN, BACKGROUND_NOISE)
MAX_LENGTH = 40  # characters


def check_words(wanted: Sequence[str]) -> None:
    """Raise DataError unless these words can be trained together."""
    if not wanted:
        raise DataError("no words are wanted: name at least one, such as yes,no")
    seen: dict[str, str] = {}
    for word in wanted:
        _check_word(word)
        other = seen.get(fold(word))
        if other == word:
            raise DataError(f"the word {word!r} is wanted twice: name it once")
        if other:
            raise DataError(f"the words {other!r} and {word!r} differ only by case: keep one")
        seen[fold(word)] = word


def fold(word: str) -> str:
    """The form in which words are compared: without case, in one Unicode spelling."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", word).casefold())


def _check_word(word: str) -> None:
    if not word:
        raise DataError("a wanted word is empty: separate words by single commas")
    if "," in word:
        raise DataError(f"the word {word!r} cannot be used: write several as a list, ['yes', 'no']")
    if word in RESERVED:
        raise DataError(f"the word {word!r} is a reserved name: choose another")
    if len(word) > MAX_LENGTH:
        raise DataError(f"the word {word[:MAX_LENGTH]!r}… is longer than {MAX_LENGTH} characters")
    pieces = word.replace("-", " ").replace("_", " ").split(" ")
    if not all(piece and piece[0].isalnum() and _is_spelled(piece) for piece in pieces):
        raise DataError(
            f"the word {word!r} cannot be used: a word consists of letters and digits, "
            "with single spaces, hyphens or underscores between them"
        )


def _is_spelled(piece: str) -> bool:
    # Many scripts write vowels as combining marks, which isalnum() does not count.
    return all(c.isalnum() or unicodedata.category(c).startswith("M") for c in piece)
