"""The contract between a job and the backends that create machines."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from launcher.config.settings import Config

LEAST_SECONDS = 60  # a machine with less time left cannot do anything useful
SSH_KEY = "ssh_key"  # a file in a job's folder, for as long as it has a machine

Say = Callable[[str], object]  # shows a sentence to the user


def say_nothing(text: str) -> None:
    """For a caller that shows nothing."""


@dataclass(frozen=True)
class Completed:
    """A command that ended on a machine: its exit code and its output, as bytes."""

    code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class MachinePlan:
    """What a backend chooses for a config before anything is created; JSON values."""

    backend: str
    zones: list[str]  # in the order in which they are tried; [""] for a backend without zones
    usd_per_hour: float
    price_source: str
    metered: bool = True  # whether machine time costs money, so that the job's bound applies
    choices: list[str] = field(default_factory=list)  # a sentence each: what was chosen, and why
    open: list[str] = field(default_factory=list)  # what only the account could say, and why not
    cheaper: list[str] = field(default_factory=list)  # a sentence each: what would cost less
    details: dict[str, Any] = field(default_factory=dict)  # only the backend itself reads them


@dataclass(frozen=True)
class MachineSpec:
    """A request for one machine; in the ledger before it is sent."""

    name: str
    zone: str
    request_id: str  # a UUID; the same id asks for the same machine
    labels: dict[str, str]  # job, uid, owner
    folder: Path  # of the job, absolute; the machine's SSH key is in it
    max_run_seconds: float  # the machine deletes itself after this long


@dataclass(frozen=True)
class MachineInfo:
    """A machine that exists: enough to find its job, and to delete it."""

    name: str
    labels: dict[str, str]  # job, uid, owner
    folder: str  # of its job; "" where it is unknown
    created: float  # seconds since the epoch
    zone: str = ""
    state: str = "running"
    usd_per_hour: float = 0.0
    ends: float = 0.0  # when it deletes itself, seconds since the epoch; 0 = never


@dataclass(frozen=True)
class Uptime:
    """How long a machine has run, over all its starts, and how long it may still run, in seconds by
    its backend's clock."""

    ran: float
    left: float


@dataclass(frozen=True)
class Listing:
    """What a backend sees of the launcher's machines."""

    machines: list[MachineInfo]
    now: float  # by the backend's own clock, seconds since the epoch
    unseen: list[str] = field(default_factory=list)  # a sentence for each thing it could not see


def check(name: str, ok: bool, found: str, mend: str, optional: bool = False) -> dict[str, Any]:
    """A check of launcher.doctor: whether it is `ok`, what was found, what to do about it."""
    return {
        "name": name,
        "ok": ok,
        "found": found,
        "mend": mend,
        "optional": optional,
        "seen": True,
    }


def unseen(name: str, why: str, show: str) -> dict[str, Any]:
    """A check that could not be made, and the command that shows what it is about."""
    return check(name, False, why, show, optional=True) | {"seen": False}


class Machine(Protocol):
    """Runs commands, and stores files. Paths on it are relative to its work folder. After a
    ConnectionError the next call connects again."""

    name: str
    uptime: Uptime | None = None  # when it was connected; None where its time is not bounded

    def run(self, command: str, *, timeout: float) -> Completed:
        """Run a Bash command in the work folder. After `timeout` seconds it and its children are
        killed: raises TimeoutError. Raises ConnectionError where the machine is unreachable."""

    def put(self, source: Path, target: str) -> None:
        """Copy a file or a folder to the machine, replacing what is there."""

    def get(self, source: str, target: Path, limit: int) -> None:
        """Copy one file from the machine. Raises FileNotFoundError, or ValueError where it is no
        plain file or larger than `limit` bytes; `target` is then not written."""

    def close(self) -> None:
        """Close the connection; the machine stays."""


class Backend(Protocol):
    """Creates, lists and deletes machines. Every call may be repeated."""

    @property
    def place(self) -> str:
        """Where its machines are, for people; each place has one backend."""

    @classmethod
    def for_config(cls, config: Config) -> Self:
        """A backend that can plan for `config`; it may be unable to create machines."""

    @classmethod
    def for_plan(cls, plan: MachinePlan, say: Say) -> Self:
        """The backend that made `plan`; `say` shows progress."""

    @classmethod
    def everywhere(cls, project: str) -> list[Self]:
        """A backend for each place where this user may have machines, and one for `project`."""

    @classmethod
    def examine(cls, config: Config) -> list[dict[str, Any]]:
        """What `check` returns for each check of the account of `config`; creates nothing."""
        return []

    def plan_machine(self, config: Config, needs_account: bool = True) -> MachinePlan:
        """What a job of `config` would get, and for how much; creates nothing. Raises ConfigError
        where the config names what does not exist, CloudRefused where the cloud refuses. Without
        `needs_account`, a plan whose `open` is not empty if there is no account that answers."""

    def create(self, spec: MachineSpec) -> Machine:
        """The machine of `spec`, created if it does not exist yet. Raises NoCapacity where another
        zone may have one, CloudRefused, and MachineLost where it cannot be reached."""

    def connect(self, spec: MachineSpec) -> Machine | None:
        """The machine of `spec`, None where it does not exist; waits for a creation under way.
        Raises MachineKept where it stopped with its results and cannot be started again."""

    def termination_reason(self, spec: MachineSpec) -> str:
        """Why the machine no longer exists; "" while it does, or where that cannot be found out."""

    def delete(self, name: str, zone: str, unanswered: bool = False) -> str:
        """End everything on the machine and delete it; the proof that it is gone, one sentence.
        A request for it that is `unanswered` may still be on its way: it is waited for. Raises
        OSError or MachineNotDeleted without a proof."""

    def list_machines(self) -> Listing:
        """Every machine that the launcher created here, for any job. Raises CloudRefused or
        ConfigError where nothing can be seen."""
