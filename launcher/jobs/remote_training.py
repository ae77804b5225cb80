"""The half of a job that happens on a machine: upload, start, follow the log, pull."""

import contextlib
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.errors import (
    ConfigError,
    Detached,
    HostKeyMismatch,
    JobFailed,
    MachineLost,
    PullFailed,
    StepFailed,
)
from launcher.jobs import remote_script
from launcher.jobs.job import Job
from launcher.jobs.lease import order_of
from launcher.jobs.ledger import refer
from launcher.jobs.plan import Plan, job_script, marker
from launcher.machines.base import Machine

if TYPE_CHECKING:
    from launcher.jobs.pipeline import Work

LOG = "training.log"
STARTS = 3  # how often a script that was cut off is started again on one machine
PULLS = 3
CHECKPOINTS = "checkpoints"  # the newest, in the job's folder until the results are there
SILENCE_SECONDS = 180  # a machine that answers nothing for so long counts as lost
REFUSAL_SECONDS = 10
RETRY_SECONDS = 2
OUT_OF_TIME = 124  # what `timeout` exits with
# Only names that a trainer of ours gives: the log is a stranger's, and this becomes a path.
SAVED = re.compile(r'.*Saving to "\S*?(train/[a-z0-9_]{1,40}\.ckpt-\d{1,9})"')
PROGRESS = re.compile(
    r"(?P<what>[^:#]*?)(?: #|: )(?P<done>\d{1,12})(?:/(?P<total>\d{1,12}))?(?P<note>.*)"
)


def follow(work: "Work", machine: Machine) -> None:
    """Bring the machine's script to its end: start it, or take up the one that runs there, over
    as many reconnections as it takes.

    Raises ConfigError where the trainer refused its data, StepFailed where a command failed,
    MachineLost where the machine is gone or stays silent, Detached where the user wants to go.
    """
    patience = Patience(work)
    while True:
        try:
            return _follow(work, machine, patience)
        except (ConnectionError, TimeoutError, PullFailed, HostKeyMismatch) as error:
            patience.wait(machine, error)


class Patience:
    """How long a machine may stay silent before it counts as lost."""

    def __init__(self, work: "Work") -> None:
        self._work = work
        self.heard()

    def heard(self) -> None:
        """The machine has answered."""
        self._since = time.monotonic()

    def wait(self, machine: Machine, error: Exception) -> None:
        """Pause before the next try. Raises MachineLost where there is no use in one, and `error`
        where the machine answers, but keeps refusing: it may be just about to vanish."""
        if gone := self._work.backend.why_gone(order_of(self._work.ledger)):
            raise MachineLost(gone) from error
        if isinstance(error, HostKeyMismatch):  # it exists, and somebody else answers for it
            raise error
        silent = time.monotonic() - self._since
        if isinstance(error, PullFailed) and silent > REFUSAL_SECONDS:
            raise error
        if silent > SILENCE_SECONDS:
            raise MachineLost(
                f"machine {machine.name} has not answered for {silent:.0f} s: {error}"
            ) from error
        self._work.screen.say(f"{machine.name} does not answer ({error}); asking again")
        time.sleep(RETRY_SECONDS)


def _follow(work: "Work", machine: Machine, patience: Patience) -> None:
    plan = Plan(**work.job.plan)
    log = work.folder / LOG
    for _ in range(STARTS):
        if work.job.script != "started":
            _start(work, machine, plan, log)
        code = _read_to_end(work, machine, plan, log, patience)
        if code == 0:
            return
        if code is not None:
            raise _failure(log, plan, code, work.job)
        work.screen.say("the machine lost its job; it goes on from its last checkpoint")
        remote_script.stop(machine, f"run-{work.job.attempt}")
        work.ledger.append("lost", attempt=work.job.attempt)
    raise JobFailed(
        f"the machine lost its job {STARTS} times", f"launcher logs {refer(work.folder)}"
    )


def pull(work: "Work", machine: Machine) -> None:
    """Bring the results here, verified; a pull that fails is tried again.

    Raises MachineLost where the machine is gone: another one can make the results anew from the
    last checkpoint.
    """
    plan, patience, failed = Plan(**work.job.plan), None, 0
    while True:
        try:
            sums = remote_script.pull(machine, plan.results, work.folder)
            break
        except PullFailed as error:
            failed += 1
            if gone := work.backend.why_gone(order_of(work.ledger)):
                raise MachineLost(gone) from error
            if failed == PULLS:
                raise
            work.screen.say(f"{error}; pulling again ({failed + 1} of {PULLS})")
            time.sleep(failed)
        except (ConnectionError, TimeoutError, HostKeyMismatch) as error:
            patience = patience or Patience(work)  # a pull itself may take longer than that
            patience.wait(machine, error)
    work.ledger.append("pulled", sha256=sums)
    shutil.rmtree(work.folder / CHECKPOINTS, ignore_errors=True)


def _start(work: "Work", machine: Machine, plan: Plan, log: Path) -> None:
    work.begin("upload")
    for target, source in plan.upload.items():
        machine.put(Path(source), target)
    if (work.folder / CHECKPOINTS).exists():
        machine.put(work.folder / CHECKPOINTS, "train")
    size = log.stat().st_size if log.exists() else 0
    # Written down first: a launcher that dies here finds the same run folder again, and `start`
    # does not begin a run twice.
    work.ledger.append("started", attempt=work.job.attempt + 1, log_base=size)


def _read_to_end(
    work: "Work", machine: Machine, plan: Plan, log: Path, patience: Patience
) -> int | None:
    run = f"run-{work.job.attempt}"
    # It stops a little before the machine deletes itself, so that what it has to say is heard.
    seconds = work.job.ends - time.time()
    remote_script.start(machine, run, job_script(plan), max(1, seconds - min(120, seconds / 10)))
    if work.detach:
        raise Detached
    reader = LogReader(work, plan)
    if log.exists():
        reader.catch_up(log.read_bytes()[work.job.log_base :])

    def on_poll(chunk: bytes) -> None:
        patience.heard()
        if saved := reader(chunk):
            with contextlib.suppress(PullFailed):  # a newer one has replaced it meanwhile
                remote_script.pull_checkpoint(machine, saved, work.folder / CHECKPOINTS)

    deadline = work.job.ends + 60
    return remote_script.follow(machine, run, log, work.job.log_base, deadline, on_poll)


def _failure(log: Path, plan: Plan, code: int, job: Job) -> Exception:
    name = refer(log.parent)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    # The trainer's own refusals: one sentence, exit code 2.
    if code == 2 and lines and lines[-1].startswith("error: "):
        return ConfigError(lines[-1].removeprefix("error: "))
    if code == OUT_OF_TIME:
        return JobFailed(
            f"the machine's time, {plan.max_run_seconds / 60:g} min, was over before the job was",
            f"launcher resume {name} --add-minutes N goes on from the last checkpoint",
        )
    command = plan.steps.get(job.phase, "the job's script")
    hint = f"launcher logs {name} shows all of it; launcher resume {name} tries again"
    return StepFailed(command, code, "\n".join(lines[-15:]), hint)


class LogReader:
    """Reads a job's log as it grows: markers become phases, counts become progress, and what was
    saved is told."""

    def __init__(self, work: "Work", plan: Plan) -> None:
        self._work = work
        self._markers = {marker(phase): phase for phase in plan.steps}
        self._total_steps = plan.total_steps
        self._rest = b""

    def __call__(self, chunk: bytes) -> str:
        """Read on; the newest checkpoint that this piece tells of, or ""."""
        self._saved = ""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._read(line.decode(errors="replace").rstrip())
        return self._saved

    def catch_up(self, text: bytes) -> None:
        """Take note of what was read before, by this launcher or another, and say it not again."""
        *lines, self._rest = text.split(b"\n")
        phases = [self._markers.get(line.decode(errors="replace").rstrip()) for line in lines]
        *_, last = [phase for phase in phases if phase] or [""]
        if last and last != self._work.job.phase:
            self._work.begin(last)

    def _read(self, line: str) -> None:
        phase = self._markers.get(line)
        if phase and phase != self._work.job.phase:
            self._work.begin(phase)
        elif match := SAVED.fullmatch(line):
            self._saved = match[1]
        elif match := PROGRESS.fullmatch(line):
            # Upstream's trainer prints `Step #120: …` and leaves the total to whoever knows it.
            total = match["total"] or (self._total_steps if match["what"] == "Step" else None)
            if total:
                self._work.screen.progress(
                    match["what"], int(match["done"]), int(total), match["note"]
                )
