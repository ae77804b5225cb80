"""Shell programs that run on machines, each a file that shellcheck reads. Their arguments are
positional parameters, so that no value becomes part of a program's text."""

import shlex
from pathlib import Path


def arguments(name: str, *parameters: object) -> list[str]:
    """The words of a command that runs the program NAME.sh with these parameters."""
    text = Path(__file__).with_name(f"{name}.sh").read_text(encoding="utf-8")
    return ["bash", "-c", text, name, *map(str, parameters)]


def command(name: str, *parameters: object) -> str:
    """The same as one line for a POSIX shell."""
    return shlex.join(arguments(name, *parameters))
