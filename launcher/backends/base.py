"""The contract between a job and wherever its machine comes from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Completed:
    """A command that has ended on a machine: its exit code and what it printed, as bytes."""

    code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class Rental:
    """A machine that exists: enough to find its job, and to give it back."""

    name: str
    labels: dict[str, str]  # job, uid, folder
    created: float  # seconds since the epoch


class Machine(Protocol):
    """Something that runs a command, takes files and gives files. Paths there are relative to its
    work folder."""

    name: str

    def run(self, command: str, *, timeout: float) -> Completed:
        """Run a Bash command in the work folder; it and its children are gone after `timeout`
        seconds. Raises TimeoutError then, ConnectionError when the machine is out of reach."""

    def put(self, source: Path, target: str) -> None:
        """Copy a file or a folder to the machine, replacing what is there."""

    def get(self, source: str, target: Path, limit: int) -> None:
        """Copy one file from the machine. Raises FileNotFoundError, or ValueError when it is no
        plain file or larger than `limit` bytes; `target` is then not written."""


class Backend(Protocol):
    """Where machines come from. Every call may be repeated."""

    def create(self, name: str, labels: dict[str, str], max_run_seconds: float) -> Machine:
        """The machine called `name`, made now if it does not exist yet."""

    def attach(self, name: str) -> Machine | None:
        """The machine called `name` if it exists."""

    def delete(self, name: str) -> None:
        """End everything on the machine and remove it; returns when it is gone."""

    def rentals(self) -> list[Rental]:
        """Every machine that this user has here, whichever job it was for."""
