"""What a job's ledger can say: each event is a small dataclass of JSON values."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, get_args

from launcher.jobs.plan import Plan
from launcher.jobs.records import Record
from launcher.jobs.states import Outcome, Phase

FORMAT = 2  # of the events below; 1 had other names


@dataclass(frozen=True)
class Created:
    """The first event of every ledger."""

    plan: Plan
    uid: str  # random; tells two jobs of one name apart
    pid: int
    format: int = FORMAT


@dataclass(frozen=True)
class Resumed:
    """Another launcher goes on with the job."""

    pid: int
    added_seconds: float = 0.0  # of machine time, beyond the plan's


@dataclass(frozen=True)
class PhaseBegun:
    """A phase begins."""

    phase: Phase


@dataclass(frozen=True)
class PhaseDone:
    """A phase is over, and is not repeated when the job is resumed."""

    phase: Phase


@dataclass(frozen=True)
class MachineRequested:
    """The lease opens: a request for a machine is about to be sent."""

    machine: str
    zone: str
    request_id: str
    seconds: int  # after which the machine deletes itself


@dataclass(frozen=True)
class MachineReady:
    """The machine runs and accepts commands."""


@dataclass(frozen=True)
class MachineDeleting:
    """The deletion of the machine is about to be requested."""


@dataclass(frozen=True)
class MachineDeleted:
    """The lease closes: the machine was seen to be gone."""

    proof: str


@dataclass(frozen=True)
class ScriptStarted:
    """The job's script is about to be started on the machine."""

    attempt: int  # 1, 2, … over all machines of the job
    log_base: int  # bytes of the log that earlier attempts wrote


@dataclass(frozen=True)
class ScriptLost:
    """The script ended without an exit code, for example because the machine restarted."""

    attempt: int


@dataclass(frozen=True)
class ResultsPulled:
    """Every result is in the job's folder, and its checksum matched."""

    sha256: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """The launcher stops working on the job."""

    outcome: Outcome
    error: str = ""


Event = (
    Created
    | Resumed
    | PhaseBegun
    | PhaseDone
    | MachineRequested
    | MachineReady
    | MachineDeleting
    | MachineDeleted
    | ScriptStarted
    | ScriptLost
    | ResultsPulled
    | Ended
)


def name_of(kind: type) -> str:
    """The event's name in a ledger: MachineReady → "machine ready"."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", kind.__name__).lower()


KINDS = {name_of(kind): kind for kind in get_args(Event)}
_TYPES: dict[str, Callable[[Any], Any]] = {
    "plan": Plan.from_json,
    "phase": Phase,
    "outcome": Outcome,
}


def to_facts(event: Event) -> dict[str, Any]:
    """The event's fields as JSON values."""
    return asdict(event)


def from_record(record: Record) -> Event | None:
    """The event of a ledger's record; None for one that only a newer launcher knows. Raises
    KeyError, TypeError or ValueError for a damaged one."""
    kind = KINDS.get(record["event"])
    if kind is None:
        return None
    known = {f.name for f in fields(kind)} & record.keys()
    facts = {name: _TYPES.get(name, _unchanged)(record[name]) for name in known}
    event: Event = kind(**facts)
    return event


def _unchanged(value: Any) -> Any:
    return value
