"""What a schedule retrains: a config in a folder, with paths that a text file can hold."""

import os
from dataclasses import dataclass
from pathlib import Path

from launcher.config import loading as configs
from launcher.errors import UsageError


@dataclass(frozen=True)
class Target:
    """What a schedule retrains."""

    config: str  # path as the user wrote it
    folder: str  # where the user added it, and where the retraining runs
    model: str
    digest: str  # of the config, from launcher.config.digest


def target_here(config: Path) -> Target:
    """The target for `config` in the current folder. Raises UsageError."""
    file, folder = one_line(str(config)), one_line(str(_current_folder()))
    return Target(file, folder, configs.load(config).name, configs.digest(config))


def one_line(path: str) -> str:
    """The path itself. Raises UsageError unless it is one line of UTF-8."""
    shown = os.fsencode(path).decode(errors="backslashreplace")
    if shown != path or path.splitlines() != [path]:
        shown = "\\n".join(shown.splitlines())
        raise UsageError(f"{shown}: the path must be one line of UTF-8", "rename it")
    return path


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        name = os.environ.get("PWD", "")  # the shell's own record
        raise UsageError(
            f"the current folder{name and f' {name}'} does not exist any more",
            "change to a folder that exists: the schedule retrains there",
        ) from None
