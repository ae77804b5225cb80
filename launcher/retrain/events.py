"""What a model's history can say: each event is a small dataclass of JSON values."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from launcher.jobs.records import Codec
from launcher.retrain.fingerprint import Fingerprint

FORMAT = 2  # of the files in a model's folder; 1 had other names


class Verdict(StrEnum):
    """How a retraining ended."""

    PROMOTED = "promoted"
    KEPT = "kept"  # the champion stays
    FAILED = "failed"
    OVER_BUDGET = "over budget"


@dataclass(frozen=True)
class HistoryCreated:
    """The first event of every history."""

    format: int = FORMAT


@dataclass(frozen=True)
class RunEvent:
    """Something that happened to the last run."""

    run: int


@dataclass(frozen=True)
class RunBegun(RunEvent):
    """A retraining begins."""

    fingerprint: Fingerprint
    changes: tuple[str, ...]
    scheduled: str = ""
    champion: str = ""


@dataclass(frozen=True)
class JobAssigned(RunEvent):
    """The run has a job, which may not exist yet."""

    job: str
    cap_usd: float = 0.0


@dataclass(frozen=True)
class ChallengerCompared(RunEvent):
    """The challenger was compared with the champion."""

    champion: str
    version: str
    comparison: dict[str, Any]


@dataclass(frozen=True)
class RunEnded(RunEvent):
    """The run has its verdict."""

    verdict: Verdict
    reasons: tuple[str, ...] = ()
    version: str = ""
    error: str = ""
    hint: str = ""
    exit_code: int = 0
    cost_usd: float = 0.0
    delivery: str = ""


@dataclass(frozen=True)
class Notified(RunEvent):
    """The webhook and the hook were notified, except those that failed."""

    notify_failures: tuple[str, ...] = ()
    notified: bool = True


@dataclass(frozen=True)
class RollbackBegun:
    """The link to the champion is about to change."""

    old: str  # version; "" = none
    new: str


@dataclass(frozen=True)
class RollbackEnded(RollbackBegun):
    """The link to the champion has changed, or could not be changed."""

    done: bool


Event = HistoryCreated | RunEvent | RollbackBegun
KINDS = (HistoryCreated, RollbackBegun, RollbackEnded, *RunEvent.__subclasses__())
CODEC: Codec[Event] = Codec(
    KINDS,
    fingerprint=lambda facts: Fingerprint(**facts),
    verdict=Verdict,
    **dict.fromkeys(("changes", "reasons", "notify_failures"), tuple),
)
