"""How a step reports that it moves."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]  # (what is done now, units done, units in total)


def no_progress(what: str, done: int, total: int) -> None:
    """Reports nothing."""
