"""A model's history: its append-only record, its lock, and the retrainings that it tells of."""

import hashlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from launcher.errors import NotNow, UsageError
from launcher.jobs import records

MODELS = Path("models")
FILE = "history.jsonl"
FORMAT = 1  # of the records; a launcher reads its own and older ones
BESIDE = ("current", "held_out.npz", "v[0-9]*")  # what only a model with a history has
DONE = ("promoted", "kept")  # verdicts after which the same data need no other retraining


@dataclass(frozen=True)
class Run:
    """One retraining. Moments are seconds since the epoch."""

    run: int
    began: float
    scheduled: str = ""  # ISO 8601, in UTC
    fingerprint: dict = field(default_factory=dict)
    changes: tuple[str, ...] = ()  # since the last one that was promoted or kept
    job: str = ""  # its folder
    cap_usd: float = 0.0  # what it may cost at most
    champion: str = ""  # that it was compared with; "" = there was none
    version: str = ""  # that it was given, "" = none
    comparison: dict = field(default_factory=dict)
    ended: float = 0.0
    verdict: str = ""  # promoted, kept, failed, over budget; "" = it is going, or was killed
    reasons: tuple[str, ...] = ()  # a sentence each
    error: str = ""
    hint: str = ""
    exit_code: int = 0
    cost_usd: float = 0.0
    delivery: str = ""  # a UUID, under which its end is told
    told: bool = False
    untold: tuple[str, ...] = ()  # who could not be told, a sentence each


class History(records.Records):
    """A model's record in the hands of the one launcher that retrains it or rolls it back."""

    FILE = FILE

    @classmethod
    def take(cls, name: str) -> Self:
        """Open the record of the model `name`, which is made if need be.

        Raises NotNow while another launcher holds it, UsageError where it is damaged or a newer
        launcher's.
        """
        folder = MODELS / name
        folder.mkdir(parents=True, exist_ok=True)
        keep_damaged(folder)
        try:
            history = cls.open(folder, os.O_CREAT)
        except BlockingIOError:
            raise NotNow(*_busy(folder)) from None
        if not history.records:
            history.append("history", format=FORMAT)
        return history

    @property
    def runs(self) -> list[Run]:
        """Every retraining, oldest first."""
        return fold(self.records)

    @property
    def unfinished(self) -> Run | None:
        """The retraining that was killed half-way, if the last one was."""
        last = self.runs[-1:]
        return last[0] if last and not last[0].verdict else None

    @property
    def rolling_back(self) -> dict | None:
        """The roll-back that was killed half-way, if that was the last thing that happened."""
        last = self.records[-1]
        return last if last["event"] == "rolling back" else None

    def last(self, run: int) -> Run:
        """What is known of one retraining now."""
        return next(found for found in self.runs if found.run == run)


def read(name: str) -> list[dict]:
    """The records of the model `name`, without locking it. Raises UsageError where there are
    none, or they are damaged or a newer launcher's."""
    known = sorted(path.name for path in MODELS.glob("*/"))
    if name in known:
        keep_damaged(MODELS / name)
        if found := records.read(MODELS / name / FILE):
            return found
    raise UsageError(
        f"no model {name!r} here", f"models below {MODELS}/: {', '.join(known) or 'none'}"
    )


def is_going(name: str) -> bool:
    """Whether some launcher retrains the model or rolls it back at this moment."""
    return records.is_held(MODELS / name / FILE)


def fold(found: list[dict], path: Path = Path(FILE)) -> list[Run]:
    """The retrainings that the records of the file `path` tell of, oldest first. Raises UsageError
    that names the first line that does not go with those before it."""
    runs: dict[int, Run] = {}
    for number, record in enumerate(found, 1):
        try:
            _note(runs, record)
            int(record.get("format", 0))
        except (KeyError, TypeError, ValueError):
            raise UsageError(
                f"{path}, line {number}: damaged, it does not go with those before it"
            ) from None
    return list(runs.values())


def _note(runs: dict[int, Run], record: dict) -> None:
    facts = {key: value for key, value in record.items() if key in Run.__dataclass_fields__}
    for name in ("changes", "reasons", "untold"):
        facts |= {name: tuple(facts[name])} if name in facts else {}
    if record["event"] == "begun":
        runs[facts["run"]] = Run(began=record["time"], **facts)
    elif record["event"] in ("job", "decided", "told"):
        runs[facts["run"]] = replace(runs[facts["run"]], **facts)
    elif record["event"] == "ended":
        runs[facts["run"]] = replace(runs[facts["run"]], ended=record["time"], **facts)


def last_done(runs: list[Run]) -> Run | None:
    """The last retraining that came to a verdict about its challenger."""
    return next((run for run in reversed(runs) if run.verdict in DONE), None)


def keep_damaged(folder: Path) -> None:
    """Raise UsageError for a record that cannot be trusted, or was lost; a damaged one is copied
    first, so that whoever mends it has the original."""
    path = folder / FILE
    try:
        found = records.read(path)
        fold(found, path)
    except UsageError as error:
        damaged = path.read_bytes()  # each state of it has a copy of its own
        copy = path.with_name(f"{FILE}.damaged-{hashlib.sha256(damaged).hexdigest()[:8]}")
        copy.write_bytes(damaged)
        hint = f"mend or remove that line; {copy} is a copy, and nothing else was changed"
        raise UsageError(str(error), hint) from None
    left = [] if found else sorted(name.name for kind in BESIDE for name in folder.glob(kind))
    if left:
        raise UsageError(
            f"{path} is empty or gone, though there is {', '.join(left)}",
            f"put it back from a backup, or move {folder} away to begin anew",
        )
    newest = max((int(record.get("format", 0)) for record in found), default=0)
    if newest > FORMAT:
        raise newer(path, newest)


def newer(path: Path, found: int) -> UsageError:
    """The refusal of a file that a newer launcher wrote."""
    return UsageError(
        f"{path} was made by a newer launcher (format {found}; this one knows {FORMAT})",
        "update the launcher: pip install --upgrade micro-speech-launcher",
    )


def _busy(folder: Path) -> tuple[str, str]:
    """What to say, and to hint at, while another launcher holds the record."""
    runs = fold(records.read(folder / FILE))
    job = Path(runs[-1].job).name if runs and not runs[-1].verdict and runs[-1].job else ""
    return (
        f"another retraining of {folder.name} is going" + (f", as job {job}" if job else ""),
        f"launcher logs {job} -f follows it; launcher cancel {job} ends it" if job else "",
    )
