"""The names of a model's scores: one label per score, in the model's order."""

from collections.abc import Sequence

from firmware_export.errors import BadModel
from vm_startup.conventions import SILENCE, UNKNOWN

LONGEST = 64  # characters; labels stand in C strings and on terminals
MAX_BYTES = 2**16  # of a labels.txt


def check(labels: Sequence[str], count: int) -> list[str]:
    """The labels of a model with `count` scores; words alone get silence and unknown before them.

    Raises BadModel where their number is wrong, or one is empty, repeated, too long or unprintable.
    """
    found = [label.strip() for label in labels]
    if len(found) == count - 2 and SILENCE not in found:
        found = [SILENCE, UNKNOWN, *found]
    listed = ", ".join(found)[:200]
    if len(found) != count:
        raise BadModel(
            f"the model gives {count} scores, but there are {len(found)} labels: {listed}"
        )
    for label in found:
        if not label or len(label) > LONGEST or not label.isprintable():
            raise BadModel(
                f"label {ascii(label)[:80]} is empty, not printable or longer than {LONGEST} "
                "characters"
            )
    if len(set(found)) != count:
        raise BadModel(f"a label occurs twice: {listed}")
    return found


def default(count: int) -> list[str]:
    """Names for a model that came without any."""
    return [f"label {index}" for index in range(count)]


def wanted(labels: Sequence[str]) -> range:
    """The indices of words: all labels but silence and unknown."""
    return range(2 if labels[0] == SILENCE else 0, len(labels))


def parse(text: str) -> list[str]:
    """The lines of a labels.txt."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def render(labels: Sequence[str]) -> str:
    """A labels.txt, as training writes it."""
    return "".join(f"{label}\n" for label in labels)
