"""The half of a job that happens on a machine: upload, start, follow the log, pull."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from launcher import remote
from launcher.backends.base import Machine
from launcher.errors import ConfigError, JobFailed, PullFailed, StepFailed
from launcher.plan import Plan, job_script, marker

if TYPE_CHECKING:
    from launcher.run import Work

LOG = "training.log"
STARTS = 3  # how often a script that was cut off is started again on one machine
PULLS = 3
OUT_OF_TIME = 124  # what `timeout` exits with
PROGRESS = re.compile(
    r"(?P<what>[^:#]*?)(?: #|: )(?P<done>\d{1,12})(?:/(?P<total>\d{1,12}))?(?P<note>.*)"
)


def follow(work: "Work", machine: Machine) -> None:
    """Bring the machine's script to its end: start it, or take up the one that runs there.

    Raises ConfigError where the trainer refused its data, StepFailed where a command failed.
    """
    plan = Plan(**work.job.plan)
    log = work.folder / LOG
    for _ in range(STARTS):
        if not _is_under_way(work):
            _start(work, machine, plan, log)
        code = _read_to_end(work, machine, plan, log)
        if code == 0:
            return
        if code is not None:
            raise _failure(log, plan, code, work.job)
        work.screen.say("the machine lost its job; it goes on from its last checkpoint")
        remote.stop(machine, f"run-{work.job.attempt}")
        work.ledger.append("lost", attempt=work.job.attempt)
    raise JobFailed(f"the machine lost its job {STARTS} times", f"launcher logs {work.job.name}")


def pull(work: "Work", machine: Machine) -> None:
    """Bring the results here, verified; a pull that fails is tried again."""
    plan = Plan(**work.job.plan)
    for attempt in range(1, PULLS + 1):
        try:
            sums = remote.pull(machine, plan.results, work.folder)
        except (PullFailed, ConnectionError, TimeoutError) as error:
            if attempt == PULLS:
                raise
            work.screen.say(f"{error}; pulling again ({attempt + 1} of {PULLS})")
            time.sleep(attempt)
        else:
            work.ledger.append("pulled", sha256=sums)
            return


def _is_under_way(work: "Work") -> bool:
    return work.job.script == "started"


def _start(work: "Work", machine: Machine, plan: Plan, log: Path) -> None:
    work.begin("upload")
    for target, source in plan.upload.items():
        machine.put(Path(source), target)
    size = log.stat().st_size if log.exists() else 0
    # Written down first: a launcher that dies here finds the same run folder again, and `start`
    # does not begin a run twice.
    work.ledger.append("started", attempt=work.job.attempt + 1, log_base=size)


def _read_to_end(work: "Work", machine: Machine, plan: Plan, log: Path) -> int | None:
    run = f"run-{work.job.attempt}"
    remote.start(machine, run, job_script(plan), plan.max_run_seconds)
    deadline = work.job.rented_at + plan.max_run_seconds + 60
    reader = LogReader(work, plan)
    if log.exists():
        reader(log.read_bytes()[work.job.log_base :])
    return remote.follow(machine, run, log, work.job.log_base, deadline, reader)


def _failure(log: Path, plan: Plan, code: int, job) -> Exception:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    # The trainer's own refusals: one sentence, exit code 2.
    if code == 2 and lines and lines[-1].startswith("error: "):
        return ConfigError(lines[-1].removeprefix("error: "))
    if code == OUT_OF_TIME:
        return JobFailed(
            f"the machine's time, {plan.max_run_seconds / 60:g} min, was over before the job was",
            "begin a job with more: --set machine.max_run_minutes=…",
        )
    command = plan.steps.get(job.phase, "the job's script")
    hint = f"launcher logs {job.name} shows all of it; launcher resume {job.name} tries again"
    return StepFailed(command, code, "\n".join(lines[-15:]), hint)


class LogReader:
    """Reads a job's log as it grows: markers become phases, counts become progress."""

    def __init__(self, work: "Work", plan: Plan) -> None:
        self._work = work
        self._markers = {marker(phase): phase for phase in plan.steps}
        self._total_steps = plan.total_steps
        self._rest = b""

    def __call__(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._read(line.decode(errors="replace").rstrip())

    def _read(self, line: str) -> None:
        phase = self._markers.get(line)
        if phase and phase != self._work.job.phase:
            self._work.begin(phase)
        elif match := PROGRESS.fullmatch(line):
            # Upstream's trainer prints `Step #120: …` and leaves the total to whoever knows it.
            total = match["total"] or (self._total_steps if match["what"] == "Step" else None)
            if total:
                self._work.screen.progress(
                    match["what"], int(match["done"]), int(total), match["note"]
                )
