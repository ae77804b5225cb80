"""What a model's scores mean: one label per score, in the model's order."""

from __future__ import annotations

from collections.abc import Sequence

from firmware_export.errors import BadModel

SILENCE, UNKNOWN = "_silence_", "_unknown_"
LONGEST = 64  # characters; a label ends up in C strings and on terminals


def check(labels: Sequence[str], count: int) -> list[str]:
    """The labels of a model with `count` scores; words alone get silence and unknown before them.

    Raises BadModel where their number is wrong, or one is empty, repeated, too long or unprintable.
    """
    found = [label.strip() for label in labels]
    if len(found) == count - 2 and SILENCE not in found:
        found = [SILENCE, UNKNOWN, *found]
    if len(found) != count:
        raise BadModel(
            f"The model gives {count} scores, but there are {len(found)} labels: "
            f"{', '.join(found)[:200]}."
        )
    for label in found:
        if not label or len(label) > LONGEST or not label.isprintable():
            raise BadModel(
                f"The label {ascii(label)[:80]} is empty, longer than {LONGEST} or not printable."
            )
    if len(set(found)) != count:
        raise BadModel(f"A label occurs twice: {', '.join(found)[:200]}.")
    return found


def default(count: int) -> list[str]:
    """Names for a model that came without any."""
    return [f"label {index}" for index in range(count)]


def parse(text: str) -> list[str]:
    """The lines of a labels.txt."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def render(labels: Sequence[str]) -> str:
    """A labels.txt, as training writes it."""
    return "".join(f"{label}\n" for label in labels)
