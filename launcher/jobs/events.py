"""What a job's ledger can say: each event is a small dataclass of JSON values."""

from dataclasses import dataclass, field
from typing import get_args

from launcher.jobs.plan import Plan
from launcher.jobs.records import Codec
from launcher.jobs.states import Outcome, Phase

FORMAT = 2  # of the events below; 1 had other names


@dataclass(frozen=True)
class Created:
    """The first event of every ledger."""

    plan: Plan
    uid: str  # random; differs between jobs of one name
    pid: int
    format: int = FORMAT


@dataclass(frozen=True)
class Resumed:
    """Another launcher continues the job."""

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

    ran: float = 0.0  # seconds that it has run so far, by its backend's clock
    left: float = 0.0  # seconds until it deletes itself; 0 = as requested


@dataclass(frozen=True)
class MachineRefused:
    """The cloud answered the request: it creates no machine."""

    reason: str


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
    | MachineRefused
    | MachineDeleting
    | MachineDeleted
    | ScriptStarted
    | ScriptLost
    | ResultsPulled
    | Ended
)


CODEC: Codec[Event] = Codec(get_args(Event), plan=Plan.from_json, phase=Phase, outcome=Outcome)
