"""One cell: a job with a fault at one step, then reap and resume."""

import signal
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from fake_gce import FOR_EVER, Behaviour
from fake_gce.faults import HTML, Hangup, Reply

from leak_cells.fork_server import ForkServer, Launched
from leak_cells.injection import INJECTED
from leak_cells.job_run import TRAIN, JobRun, Outcome
from leak_cells.steps import AFTER, BEFORE, DISORDERLY, LOST_REPLY, STEPS, Step, lease

UNANSWERED_SECONDS = 1.0  # for which a request stays under way after its sender was killed
# What arrives in place of a lost reply: nothing, a proxy's page, no body, half a body.
JSON = "application/json"
LOST = [
    Hangup(),
    Reply(502, "text/html; charset=UTF-8", HTML),
    Reply(200, JSON, b""),
    Reply(200, JSON, b'{"kind": "compute#oper'),
]
# The exit code of a launcher by its fault. After a lost reply it sends the request again.
CODES = {"SIGKILL": -9, "SIGINT": 130, "SIGTERM": 130, "exception": 1, LOST_REPLY: 0}


@dataclass(frozen=True)
class Cell:
    """One fault at one step. `reaps`: `launcher reap` runs before `launcher resume`."""

    step: Step
    fault: str
    reaps: bool

    @property
    def name(self) -> str:
        """One line, for people and patterns."""
        return f"{self.step.name} × {self.fault}" + (" + reap" if self.reaps else "")

    @property
    def behaviour(self) -> Behaviour:
        """That of the fake; each step has another order."""
        seed = STEPS.index(self.step)
        return Behaviour.disorderly(seed, 0.0) if self.fault == DISORDERLY else Behaviour()


class CellRun(JobRun):
    """A workspace, a cloud, and a launcher with a fault."""

    def __init__(self, cell: Cell, folder: Path, forks: ForkServer, reference: Path) -> None:
        super().__init__(folder, forks, reference)
        self._cell = cell
        self._fault = "SIGKILL" if cell.fault == DISORDERLY else cell.fault
        self._launched = threading.Event()
        self._launcher: Launched | None = None
        self._lock = threading.Lock()
        self._left = cell.step.number

    def run(self) -> Outcome:
        """Inject the fault, reap, resume, check."""
        outcome, began = Outcome(self._cell), time.monotonic()
        with self.cloud(behaviour=self._cell.behaviour):
            self.run_with_fault(outcome)
            if self._cell.reaps:
                self.run_command(outcome, "reap")
                outcome.left = self.left()
            if not self.is_done():
                self.run_command(outcome, "resume")
            outcome.left += self.left()
        self.check(outcome)
        outcome.seconds = time.monotonic() - began
        return outcome

    def run_with_fault(self, outcome: Outcome, *options: str) -> None:
        """Begin the job, inject the fault, and wait for the end of the launcher."""
        step = self._cell.step
        inside = step.where != "api" or self._fault == "exception"
        if not inside:
            kind = "call" if step.moment == BEFORE else "call_after"
            self.gce.faults.add(step.what, kind, times=FOR_EVER, function=self._at_call)
        injected = {"step": asdict(step), "fault": self._fault} if inside else {}
        self._launcher = self.launch(*TRAIN, *options, **injected)
        self._launched.set()
        if not self._launcher.wait():
            outcome.wrong.append("the faulty launcher hangs")
            self._launcher.signal(signal.SIGKILL)
        elif self._fault != "SIGKILL":  # else it had no last line
            own = self._fault == "exception"
            code = self._launcher.code
            self.check_said(outcome, "train", code, (CODES[self._fault],), own=own)
        self.gce.faults.clear()
        outcome.at_once = len(self.gce.instances)
        self._kept = any(self.job.glob("checkpoints/*.index"))
        if not (self.workspace / INJECTED).exists():
            outcome.wrong.append("the step was not reached")
        # An exception during the deletion leaves the machine to `reap`, as the ledger says.
        deleting = self._fault == "exception" and lease(self.workspace) == "deleting"
        if self._fault != "SIGKILL" and outcome.at_once and not deleting:
            outcome.wrong.append("the faulty launcher did not delete its machine")

    def _at_call(self, facts: dict[str, str]) -> None:
        """Called by the fake within a request: injects the fault if this is the step."""
        self._launched.wait()
        step = self._cell.step
        with self._lock:
            if not self._left or lease(self.workspace) != step.lease:
                return
            self._left -= 1
            if self._left:
                return
        (self.workspace / INJECTED).touch()
        if self._fault != LOST_REPLY:
            self._launcher.signal(signal.Signals[self._fault])
            self._launcher.wait(UNANSWERED_SECONDS)
        elif step.moment == AFTER:
            raise LOST[STEPS.index(step) % len(LOST)]
        else:
            raise Hangup
