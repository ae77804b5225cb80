"""C text from templates and values."""

import re
from collections.abc import Iterable, Iterator
from importlib import resources

COLUMNS = 110  # of a line of numbers


def template(name: str) -> str:
    """The text of a file in compiler/templates/."""
    return (resources.files("firmware_export") / "compiler/templates" / name).read_text("utf-8")


def fill(text: str, **values: object) -> str:
    """`text` with each @name@ replaced by the value of that name; KeyError for an unknown name."""
    return re.sub(r"@(\w+)@", lambda found: str(values[found[1]]), text)


def quoted(text: str) -> str:
    """A C string: all but plain characters as octal escapes of their UTF-8 bytes."""
    plain = set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_ -")
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode()) + '"'


def numbers(values: Iterable[object]) -> Iterator[str]:
    """The lines of an array's initialiser."""
    line = "   "
    for text in map(str, values):
        if len(line) + len(text) > COLUMNS:
            yield line
            line = "   "
        line += f" {text},"
    yield line
