"""A model's history: an append-only file, and the runs and rollbacks that its events say."""

import hashlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from launcher.errors import NotNow, UsageError
from launcher.jobs import records
from launcher.jobs.records import Record
from launcher.retrain import events
from launcher.retrain.events import CODEC, FORMAT, Event, Verdict
from launcher.retrain.fingerprint import Fingerprint

MODELS = Path("models")
FILE = "history.jsonl"
OTHER_FILES = ("current", "held_out.npz", "v[0-9]*")  # of a model that has a history


@dataclass(frozen=True)
class RetrainRun:
    """One retraining. Times are seconds since the epoch."""

    run: int  # 1, 2, …
    began: float
    fingerprint: Fingerprint = field(default_factory=Fingerprint)
    changes: tuple[str, ...] = ()  # since the last completed run, a sentence each
    scheduled: str = ""  # ISO 8601, in UTC
    champion: str = ""  # that the challenger is compared with; "" = none
    job: str = ""  # its folder
    cap_usd: float = 0.0  # the most that the job may cost
    version: str = ""  # of the challenger; "" if it is not promoted
    comparison: dict[str, Any] = field(default_factory=dict)  # of compare.Comparison
    verdict: Verdict | None = None  # None while it runs, and after it was killed
    ended: float = 0.0
    reasons: tuple[str, ...] = ()  # for the verdict, a sentence each
    error: str = ""
    hint: str = ""
    exit_code: int = 0
    cost_usd: float = 0.0
    delivery: str = ""  # a UUID for the notification; "" = no notification
    notified: bool = False
    notify_failures: tuple[str, ...] = ()  # a sentence each

    @property
    def completed(self) -> bool:
        """Whether its challenger was compared: the same inputs need no other retraining."""
        return self.verdict in (Verdict.PROMOTED, Verdict.KEPT)


@dataclass
class ModelState:
    """What a history says about its model."""

    runs: list[RetrainRun] = field(default_factory=list)  # the oldest first
    rollbacks: list[tuple[float, events.RollbackEnded]] = field(default_factory=list)  # when, what
    pending_rollback: events.RollbackBegun | None = None  # the launcher was killed during it

    @property
    def unfinished(self) -> RetrainRun | None:
        """The last run, if its launcher was killed."""
        return self.runs[-1] if self.runs and not self.runs[-1].verdict else None

    @property
    def last_completed(self) -> RetrainRun | None:
        """The last run whose challenger was compared."""
        return next((run for run in reversed(self.runs) if run.completed), None)


class History(records.Records):
    """A model's history, open and locked while this launcher changes the model."""

    FILE = FILE

    @classmethod
    def lock(cls, name: str) -> Self:
        """Open and lock the history of the model `name`, a new one if necessary. Raises NotNow
        while another launcher holds it, UsageError if it cannot be used."""
        folder = MODELS / name
        folder.mkdir(parents=True, exist_ok=True)
        _check(folder)
        try:
            history = cls.open(folder, os.O_CREAT)
        except BlockingIOError:
            run = fold(records.read(folder / FILE), folder / FILE).unfinished
            job = Path(run.job).name if run and run.job else ""
            raise NotNow(
                f"another retraining of {name} is running" + (f", as job {job}" if job else ""),
                f"launcher logs {job} -f follows it; launcher cancel {job} ends it" if job else "",
            ) from None
        if not history.records:
            history.add(events.HistoryCreated())
        return history

    @property
    def state(self) -> ModelState:
        """The model as the history has it now."""
        return fold(self.records, self.folder / FILE)


def read(name: str) -> ModelState:
    """The state of the model `name`, without locking it. Raises UsageError if it has no history, or
    one that cannot be used."""
    known = sorted(path.name for path in MODELS.glob("*/"))
    if name in known and (found := _check(MODELS / name)):
        return fold(found, MODELS / name / FILE)
    hint = f"models in {MODELS}/: {', '.join(known) or 'none'}"
    raise UsageError(f"there is no model {name!r}", hint)


def is_locked(name: str) -> bool:
    """Whether a launcher retrains the model or rolls it back at this moment."""
    return records.is_held(MODELS / name / FILE)


class OtherFormat(UsageError):
    """A file that another version of the launcher wrote."""


def check_format(path: Path, found: int) -> None:
    """Raise OtherFormat if this launcher cannot read a file of the format `found`."""
    if found != FORMAT:
        newer = "update the launcher, the package micro-speech-launcher"
        raise OtherFormat(
            f"{path}: format {found} is not supported; this launcher reads format {FORMAT}",
            newer if found > FORMAT else "move the model's folder away to start a new model",
        )


def fold(records: list[Record], path: Path) -> ModelState:
    """The model of these records of the file `path`. Raises UsageError, which names the line, for
    a damaged record, and OtherFormat."""
    state = ModelState()
    for number, record in enumerate(records, 1):
        try:
            check_format(path, record.get("format", FORMAT))
            if event := CODEC.event(record):
                _apply(state, event, record["time"])
        except (KeyError, TypeError, ValueError):
            raise UsageError(
                f"{path}, line {number}: damaged, {record['event']!r} is incomplete or does not "
                "follow from the lines before it"
            ) from None
    return state


def _apply(state: ModelState, event: Event, now: float) -> None:
    state.pending_rollback = None
    match event:
        case events.RunBegun():
            state.runs.append(RetrainRun(began=now, **vars(event)))
        case events.RunEvent(run):
            if not state.runs or state.runs[-1].run != run:
                raise ValueError(f"run {run} is not the last one")
            ended = now if isinstance(event, events.RunEnded) else state.runs[-1].ended
            state.runs[-1] = replace(state.runs[-1], ended=ended, **vars(event))
        case events.RollbackEnded():
            state.rollbacks += [(now, event)] if event.done else []
        case events.RollbackBegun():
            state.pending_rollback = event


def _check(folder: Path) -> list[Record]:
    """The records of a history. Raises UsageError if it is damaged, of another format or lost. A
    damaged one is copied first, so that the original survives a repair."""
    path = folder / FILE
    try:
        found = records.read(path)
        fold(found, path)
    except OtherFormat:
        raise
    except UsageError as error:
        damaged = path.read_bytes()  # each damaged content has a copy of its own
        copy = path.with_name(f"{FILE}.damaged-{hashlib.sha256(damaged).hexdigest()[:8]}")
        copy.write_bytes(damaged)
        hint = f"repair or remove that line; {copy} is a copy, and nothing else was changed"
        raise UsageError(str(error), hint) from None
    left = [] if found else sorted(name.name for kind in OTHER_FILES for name in folder.glob(kind))
    if left:
        raise UsageError(
            f"{path} is empty or missing, but there is {', '.join(left)}",
            f"restore it from a backup, or move {folder} away to start a new model",
        )
    return found
