"""Where a schedule retrains: in paths that the store, unit files and crontabs can hold."""

import os
from pathlib import Path

from launcher.config import loading as configs
from launcher.errors import UsageError
from launcher.schedule.store import Work


def here(config: Path) -> Work:
    """To retrain by `config` in the current folder. Raises UsageError."""
    file, folder = one_line(str(config)), one_line(str(_current()))
    return Work(file, folder, configs.load(config).name, configs.digest(config))


def one_line(path: str) -> str:
    """The path, as a line of text that may stand in a file. Raises UsageError for one that is
    none."""
    shown = os.fsencode(path).decode(errors="backslashreplace")
    if shown != path or path.splitlines() != [path]:
        shown = "\\n".join(shown.splitlines())
        raise UsageError(f"{shown}: a schedule needs a path that is one line of UTF-8", "rename it")
    return path


def _current() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        name = os.environ.get("PWD", "")  # where the shell believes that it is
        raise UsageError(
            f"the current folder{name and f' {name}'} does not exist any more",
            "a schedule retrains in the folder that it is added in: change to one that exists",
        ) from None
