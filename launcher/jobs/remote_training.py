"""The half of a job that happens on a machine: upload, start, follow the log, pull."""

import contextlib
import io
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from launcher import errors
from launcher.config.settings import as_settings
from launcher.errors import ConfigError, HostKeyMismatch, JobFailed, MachineLost, PullFailed
from launcher.jobs import remote_script, results
from launcher.jobs.bounded_log import END_BYTES, BoundedLog
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
MOST_STARTS = 3  # of the script on one machine
MOST_PULLS = 3
CHECKPOINTS = "checkpoints"  # the newest one, in the job's folder until the results are there
SILENCE_SECONDS = 180  # after which a machine that does not answer counts as lost
REFUSAL_SECONDS = 10
RETRY_SECONDS = 2
LINE_BYTES = 4096  # most that is read of a line of the log
LINE_SHOWN = 500  # most characters of a line in the message of a failed step
OUT_OF_TIME = 124  # exit code of `timeout`
# Only names that our trainers give: the log is untrusted, and this becomes a path.
SAVED = re.compile(".*" + checkpoint_line(r"\S*?(train/[a-z0-9_]{1,40}\.ckpt-\d{1,9})"))
PROGRESS = re.compile(
    r"(?P<what>[^:#]*?)(?: #|: )(?P<done>\d{1,12})(?:/(?P<total>\d{1,12}))?(?P<note>.*)"
)


def follow(context: JobContext, machine: Machine) -> None:
    """Run the job's script on the machine to its end: start it, or follow the one that already
    runs there, over as many connections as it takes.

    Raises ConfigError where the trainer refused its data, StepFailed where a command failed,
    MachineLost where the machine is gone or stays silent, Detached where the user asked for it.
    """
    silence = Silence(context)
    while True:
        try:
            return _follow(context, machine, silence)
        except (ConnectionError, TimeoutError, PullFailed, HostKeyMismatch) as error:
            silence.wait(machine, error)


class Silence:
    """How long a machine has not answered, and when it counts as lost."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self.end()

    def end(self) -> None:
        """The machine has answered."""
        self._since = time.monotonic()

    def wait(self, machine: Machine, error: Exception) -> None:
        """Pause before the next try. Raises MachineLost if the machine is gone or was silent for
        too long, and `error` if it answers but keeps refusing."""
        if gone := self._context.backend.termination_reason(spec_of(self._context.ledger)):
            raise MachineLost(gone) from error
        silent = time.monotonic() - self._since
        refuses = isinstance(error, PullFailed) and silent > REFUSAL_SECONDS
        # On a mismatch the machine exists, but another host answers at its address.
        if refuses or isinstance(error, HostKeyMismatch):
            raise error
        if silent > SILENCE_SECONDS:
            message = f"machine {machine.name} has not answered for {silent:.0f} s: {error}"
            raise MachineLost(message) from error
        self._context.screen.say(f"{machine.name} does not answer ({error}); asking again")
        time.sleep(RETRY_SECONDS)


def _follow(context: JobContext, machine: Machine, silence: Silence) -> None:
    plan = context.job.plan
    log = context.folder / LOG
    for _ in range(MOST_STARTS):
        if context.job.script != ScriptState.STARTED:
            _start(context, machine, plan, log)
        code = _read_to_end(context, machine, plan, log, silence)
        if code == 0:
            return
        if code is not None:
            raise _failure(log, plan, code, context.job)
        context.screen.say("the script was cut off; it continues from its last checkpoint")
        remote_script.stop(machine, f"run-{context.job.attempt}")
        context.ledger.add(ScriptLost(context.job.attempt))
    raise JobFailed(
        f"the machine's script was cut off {MOST_STARTS} times",
        f"launcher logs {refer(context.folder)}",
    )


def pull(context: JobContext, machine: Machine) -> None:
    """Copy the results here and verify them; a pull that fails is tried again. Raises JobFailed
    where they are not of this job, MachineLost if the machine is gone: another one continues from
    the last checkpoint."""
    plan, silence, failed = context.job.plan, None, 0
    while True:
        try:
            sums = remote_script.pull(machine, plan.results, context.folder)
            break
        except PullFailed as error:
            failed += 1
            if gone := context.backend.termination_reason(spec_of(context.ledger)):
                raise MachineLost(gone) from error
            if failed == MOST_PULLS:
                raise
            context.screen.say(f"{error}; pulling again ({failed + 1} of {MOST_PULLS})")
            time.sleep(failed)
        except (ConnectionError, TimeoutError, HostKeyMismatch) as error:
            silence = silence or Silence(context)  # a pull itself may take longer than that
            silence.wait(machine, error)
    results.check(context.folder, plan.wanted_words, machine.name)
    context.ledger.add(ResultsPulled(sums))
    shutil.rmtree(context.folder / CHECKPOINTS, ignore_errors=True)


def _start(context: JobContext, machine: Machine, plan: Plan, log: Path) -> None:
    context.begin(Phase.UPLOAD)
    for target, source in plan.upload.items():
        machine.put(Path(source), target)
    if (context.folder / CHECKPOINTS).exists():
        machine.put(context.folder / CHECKPOINTS, "train")
    size = log.stat().st_size if log.exists() else 0
    # In the ledger first: a launcher that dies here finds the same run folder again, and `start`
    # starts a run only once.
    context.ledger.add(ScriptStarted(context.job.attempt + 1, log_base=size))


def _read_to_end(
    context: JobContext, machine: Machine, plan: Plan, log: Path, silence: Silence
) -> int | None:
    run = f"run-{context.job.attempt}"
    # It stops a little before the machine deletes itself, so that its last lines can be read.
    seconds = context.job.ends - time.time()
    remote_script.start(machine, run, job_script(plan), max(1, seconds - min(120, seconds / 10)))
    if context.detach:
        raise errors.Detached
    reader = LogReader(context, plan)
    if log.exists():
        reader.catch_up(log, context.job.log_base)

    def on_poll(chunk: bytes) -> None:
        silence.end()
        if saved := reader(chunk):
            with contextlib.suppress(PullFailed):  # a newer one has replaced it meanwhile
                remote_script.pull_checkpoint(machine, saved, context.folder / CHECKPOINTS)

    deadline = context.job.ends + 60
    bounded = BoundedLog(log, context.job.log_base)
    try:
        with bounded:
            return remote_script.follow(machine, run, bounded, deadline, on_poll)
    finally:
        if bounded.cut:
            context.screen.say(f"the log is long: {bounded.cut:,} bytes in its middle are cut")


def _failure(log: Path, plan: Plan, code: int, job: Job) -> Exception:
    name = refer(log.parent)
    lines = _last_lines(log)
    # The trainer refuses its data with one sentence and exit code 2.
    if code == 2 and lines and lines[-1].startswith("error: "):
        return ConfigError(as_settings(lines[-1].removeprefix("error: ")))
    if code == OUT_OF_TIME:
        return JobFailed(
            f"the machine's time of {plan.max_run_seconds / 60:g} min ended before the job did",
            f"launcher resume {name} --add-minutes N continues from the last checkpoint",
        )
    command = plan.steps.get(job.phase, "the job's script")
    hint = f"launcher logs {name} shows all of it; launcher resume {name} tries again"
    tail = "\n".join(_shortened(line) for line in lines[-15:])
    return errors.StepFailed(command, code, tail, hint)


def _shortened(line: str) -> str:
    more = len(line) - LINE_SHOWN
    return f"{line[:LINE_SHOWN]} … {more:,} more characters" if more > 0 else line


def _last_lines(log: Path) -> list[str]:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - END_BYTES))
        return file.read(END_BYTES).decode(errors="replace").splitlines()


class LogReader:
    """Reads a job's log as it grows, for its phases, its progress and its saved checkpoints. It
    holds LINE_BYTES of the last line; what a line has beyond is in the log alone."""

    def __init__(self, context: JobContext, plan: Plan) -> None:
        self._context = context
        self._phases = {phase_line(phase): phase for phase in plan.steps}
        self._total_steps = plan.total_steps
        self._rest = b""

    def __call__(self, chunk: bytes) -> str:
        """Read the next piece; the newest checkpoint that it says was saved, or ""."""
        self._saved = ""
        for line in self._lines(chunk):
            self._read(line)
        return self._saved

    def catch_up(self, log: Path, base: int) -> None:
        """Note the phase that the log, from byte `base` on, had reached before, without showing
        all of it again."""
        last = None
        with log.open("rb") as file:
            file.seek(base)
            while chunk := file.read(END_BYTES):
                for line in self._lines(chunk):
                    last = self._phases.get(line, last)
        if last and last != self._context.job.phase:
            self._context.begin(last)

    def _lines(self, chunk: bytes) -> Iterator[str]:
        """The lines that end in the next piece of the log, each cut after LINE_BYTES."""
        for piece in io.BytesIO(chunk):
            line = (self._rest + piece[:LINE_BYTES])[:LINE_BYTES]
            ends = piece.endswith(b"\n")
            self._rest = b"" if ends else line
            if ends:
                yield line.decode(errors="replace").rstrip()

    def _read(self, line: str) -> None:
        phase = self._phases.get(line)
        if phase and phase != self._context.job.phase:
            self._context.begin(phase)
        elif match := SAVED.fullmatch(line):
            self._saved = match[1]
        elif match := PROGRESS.fullmatch(line):
            # TensorFlow's trainer prints `Step #120: …`; the plan knows the total.
            total = match["total"] or (self._total_steps if match["what"] == "Step" else None)
            if total:
                what, done, note = match["what"], int(match["done"]), match["note"]
                self._context.screen.progress(what, done, int(total), note)
