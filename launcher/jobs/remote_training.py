"""The half of a job that happens on a machine: upload, start, follow the log, pull."""

import contextlib
import re
import shutil
import time
from pathlib import Path

from launcher.config.settings import as_settings
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
from launcher.jobs.context import JobContext
from launcher.jobs.events import ResultsPulled, ScriptLost, ScriptStarted
from launcher.jobs.job import Job
from launcher.jobs.lease import spec_of
from launcher.jobs.ledger import refer
from launcher.jobs.plan import Plan, job_script
from launcher.jobs.states import Phase, ScriptState
from launcher.machines.base import Machine
from vm_startup.conventions import checkpoint_line, phase_line

LOG = "training.log"
STARTS = 3  # how often a script that was cut off is started again on one machine
PULLS = 3
CHECKPOINTS = "checkpoints"  # the newest, in the job's folder until the results are there
SILENCE_SECONDS = 180  # a machine that answers nothing for so long counts as lost
REFUSAL_SECONDS = 10
RETRY_SECONDS = 2
OUT_OF_TIME = 124  # what `timeout` exits with
# Only names that a trainer of ours gives: the log is a stranger's, and this becomes a path.
SAVED = re.compile(
    ".*" + checkpoint_line(r"\S*?(train/[a-z0-9_]{1,40}\.ckpt-\d{1,9})")  # no character to escape
)
PROGRESS = re.compile(
    r"(?P<what>[^:#]*?)(?: #|: )(?P<done>\d{1,12})(?:/(?P<total>\d{1,12}))?(?P<note>.*)"
)


def follow(context: JobContext, machine: Machine) -> None:
    """Bring the machine's script to its end: start it, or take up the one that runs there, over
    as many reconnections as it takes.

    Raises ConfigError where the trainer refused its data, StepFailed where a command failed,
    MachineLost where the machine is gone or stays silent, Detached where the user wants to go.
    """
    patience = Patience(context)
    while True:
        try:
            return _follow(context, machine, patience)
        except (ConnectionError, TimeoutError, PullFailed, HostKeyMismatch) as error:
            patience.wait(machine, error)


class Patience:
    """How long a machine may stay silent before it counts as lost."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self.heard()

    def heard(self) -> None:
        """The machine has answered."""
        self._since = time.monotonic()

    def wait(self, machine: Machine, error: Exception) -> None:
        """Pause before the next try. Raises MachineLost where there is no use in one, and `error`
        where the machine answers, but keeps refusing: it may be just about to vanish."""
        if gone := self._context.backend.termination_reason(spec_of(self._context.ledger)):
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
        self._context.screen.say(f"{machine.name} does not answer ({error}); asking again")
        time.sleep(RETRY_SECONDS)


def _follow(context: JobContext, machine: Machine, patience: Patience) -> None:
    plan = context.job.plan
    log = context.folder / LOG
    for _ in range(STARTS):
        if context.job.script != ScriptState.STARTED:
            _start(context, machine, plan, log)
        code = _read_to_end(context, machine, plan, log, patience)
        if code == 0:
            return
        if code is not None:
            raise _failure(log, plan, code, context.job)
        context.screen.say("the machine lost its job; it goes on from its last checkpoint")
        remote_script.stop(machine, f"run-{context.job.attempt}")
        context.ledger.add(ScriptLost(context.job.attempt))
    raise JobFailed(
        f"the machine lost its job {STARTS} times", f"launcher logs {refer(context.folder)}"
    )


def pull(context: JobContext, machine: Machine) -> None:
    """Bring the results here, verified; a pull that fails is tried again.

    Raises MachineLost where the machine is gone: another one can make the results anew from the
    last checkpoint.
    """
    plan, patience, failed = context.job.plan, None, 0
    while True:
        try:
            sums = remote_script.pull(machine, plan.results, context.folder)
            break
        except PullFailed as error:
            failed += 1
            if gone := context.backend.termination_reason(spec_of(context.ledger)):
                raise MachineLost(gone) from error
            if failed == PULLS:
                raise
            context.screen.say(f"{error}; pulling again ({failed + 1} of {PULLS})")
            time.sleep(failed)
        except (ConnectionError, TimeoutError, HostKeyMismatch) as error:
            patience = patience or Patience(context)  # a pull itself may take longer than that
            patience.wait(machine, error)
    context.ledger.add(ResultsPulled(sums))
    shutil.rmtree(context.folder / CHECKPOINTS, ignore_errors=True)


def _start(context: JobContext, machine: Machine, plan: Plan, log: Path) -> None:
    context.begin(Phase.UPLOAD)
    for target, source in plan.upload.items():
        machine.put(Path(source), target)
    if (context.folder / CHECKPOINTS).exists():
        machine.put(context.folder / CHECKPOINTS, "train")
    size = log.stat().st_size if log.exists() else 0
    # Written down first: a launcher that dies here finds the same run folder again, and `start`
    # does not begin a run twice.
    context.ledger.add(ScriptStarted(context.job.attempt + 1, log_base=size))


def _read_to_end(
    context: JobContext, machine: Machine, plan: Plan, log: Path, patience: Patience
) -> int | None:
    run = f"run-{context.job.attempt}"
    # It stops a little before the machine deletes itself, so that what it has to say is heard.
    seconds = context.job.ends - time.time()
    remote_script.start(machine, run, job_script(plan), max(1, seconds - min(120, seconds / 10)))
    if context.detach:
        raise Detached
    reader = LogReader(context, plan)
    if log.exists():
        reader.catch_up(log.read_bytes()[context.job.log_base :])

    def on_poll(chunk: bytes) -> None:
        patience.heard()
        if saved := reader(chunk):
            with contextlib.suppress(PullFailed):  # a newer one has replaced it meanwhile
                remote_script.pull_checkpoint(machine, saved, context.folder / CHECKPOINTS)

    deadline = context.job.ends + 60
    return remote_script.follow(machine, run, log, context.job.log_base, deadline, on_poll)


def _failure(log: Path, plan: Plan, code: int, job: Job) -> Exception:
    name = refer(log.parent)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    # The trainer's own refusals: one sentence, exit code 2.
    if code == 2 and lines and lines[-1].startswith("error: "):
        return ConfigError(as_settings(lines[-1].removeprefix("error: ")))
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

    def __init__(self, context: JobContext, plan: Plan) -> None:
        self._context = context
        self._phases = {phase_line(phase): phase for phase in plan.steps}
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
        seen = [self._phases.get(line.decode(errors="replace").rstrip()) for line in lines]
        last = next((phase for phase in reversed(seen) if phase), None)
        if last and last != self._context.job.phase:
            self._context.begin(last)

    def _read(self, line: str) -> None:
        phase = self._phases.get(line)
        if phase and phase != self._context.job.phase:
            self._context.begin(phase)
        elif match := SAVED.fullmatch(line):
            self._saved = match[1]
        elif match := PROGRESS.fullmatch(line):
            # Upstream's trainer prints `Step #120: …` and leaves the total to whoever knows it.
            total = match["total"] or (self._total_steps if match["what"] == "Step" else None)
            if total:
                self._context.screen.progress(
                    match["what"], int(match["done"]), int(total), match["note"]
                )
