"""The contract between a job and wherever its machine comes from."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from launcher.config.settings import Config


@dataclass(frozen=True)
class Completed:
    """A command that has ended on a machine: its exit code and what it printed, as bytes."""

    code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class Quote:
    """What a backend decides about a config before anything is made."""

    places: list[str]  # zones in the order in which they are tried; [""] where there is only one
    usd_per_hour: float
    price_source: str
    project: str = ""
    insert: dict = field(default_factory=dict)  # the request; its <words> are filled in per order
    access: dict = field(default_factory=dict)  # how to reach the machine
    choices: list[str] = field(default_factory=list)  # a sentence each: what was chosen, and why


@dataclass(frozen=True)
class Order:
    """One request for a machine, on the disk before it is sent."""

    name: str
    place: str
    request_id: str  # a UUID; the same id asks for the same machine
    labels: dict[str, str]  # job, uid, owner
    folder: Path  # of the job, absolute; the machine's key lies there
    max_run_seconds: float  # the machine ends by itself after this long


@dataclass(frozen=True)
class Rental:
    """A machine that exists: enough to find its job, and to give it back."""

    name: str
    labels: dict[str, str]  # job, uid, owner
    folder: str  # of its job, "" where it does not say
    created: float  # seconds since the epoch
    place: str = ""
    state: str = "running"
    usd_per_hour: float = 0.0
    ends: float = 0.0  # when it ends by itself, seconds since the epoch; 0 = never


class Machine(Protocol):
    """Something that runs a command, takes files and gives files. Paths there are relative to its
    work folder. After a ConnectionError the next call connects anew."""

    name: str

    def run(self, command: str, *, timeout: float) -> Completed:
        """Run a Bash command in the work folder; it and its children are gone after `timeout`
        seconds. Raises TimeoutError then, ConnectionError when the machine is out of reach."""

    def put(self, source: Path, target: str) -> None:
        """Copy a file or a folder to the machine, replacing what is there."""

    def get(self, source: str, target: Path, limit: int) -> None:
        """Copy one file from the machine. Raises FileNotFoundError, or ValueError when it is no
        plain file or larger than `limit` bytes; `target` is then not written."""

    def close(self) -> None:
        """Let go of the connection; the machine stays."""


class Backend(Protocol):
    """Where machines come from. Every call may be repeated."""

    def quote(self, config: "Config") -> Quote:
        """What a job of `config` would get, and for how much; makes nothing. Raises ConfigError
        where the config asks for what is not offered, CloudRefused where the cloud says no."""

    def create(self, order: Order) -> Machine:
        """The machine that was ordered, made now if it does not exist yet. Raises NoRoom where
        another place may have one, CloudRefused, and MachineLost where it never answers."""

    def attach(self, order: Order) -> Machine | None:
        """The machine that was ordered if it exists, also where its making is still under way."""

    def why_gone(self, order: Order) -> str:
        """How the machine came to its end, "" while it exists or nobody can be asked."""

    def delete(self, name: str, place: str) -> str:
        """End everything on the machine and remove it; the proof that it is gone, one sentence.
        Raises OSError or MachineOwed where that cannot be had."""

    def rentals(self) -> list[Rental]:
        """Every machine that the launcher made here, whichever job it was for."""
