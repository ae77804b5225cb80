"""The boards: each sub-package of firmware_export.boards that defines `BOARD` is one."""

import importlib
import pkgutil

from firmware_export import boards
from firmware_export.boards import bluepill
from firmware_export.boards.board import Board

DEFAULT = bluepill.BOARD


def names() -> list[str]:
    """The names of all boards; nothing is imported for it."""
    return [entry.name for entry in pkgutil.iter_modules(boards.__path__) if entry.ispkg]


def find(name: str) -> Board:
    """The board of a name that `names` gives."""
    return importlib.import_module(f"{boards.__name__}.{name}").BOARD
