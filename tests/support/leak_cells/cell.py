"""One cell: a job with a fault at one step, then reap and resume, and what is left."""

import re
import shutil
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fake_gce import FOR_EVER, FakeGce
from fake_gce.faults import HTML, Hangup, Reply
from workspace import CONFIGS, SMALL, digests

from launcher.jobs import ledger, records
from launcher.jobs.job import Job
from leak_cells.fork_server import ForkServer, Launched
from leak_cells.injection import CONTINUES, INJECTED, LINES
from leak_cells.steps import AFTER, BEFORE, JOB, LOST_REPLY, STEPS, Step, lease

CONFIG = "words.toml"
TRAIN = ("train", CONFIG, "--backend=gce", *SMALL)
RESULTS = ("time_conv.pb", "labels.txt", "metrics.json", "test_features.npz")
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


@dataclass
class Outcome:
    """The outcome of a cell."""

    cell: Cell
    at_once: int = 0  # machines that existed when the faulty launcher had ended
    left: int = 0  # machines and disks that existed after `reap` or at the end
    lost: list[str] = field(default_factory=list)  # lost results, a sentence each
    wrong: list[str] = field(default_factory=list)  # any other failure, a sentence each
    again: int = 0  # repeated trainings, where the machine was deleted before the pull
    seconds: float = 0.0  # that the cell took
    lived: float = 0.0  # seconds of the fake's clock until an unattended machine was gone

    @property
    def ok(self) -> bool:
        """Nothing left, nothing lost, nothing wrong."""
        return not (self.left or self.lost or self.wrong)


class CellRun:
    """A workspace, a cloud, and a launcher with a fault."""

    def __init__(self, cell: Cell, folder: Path, forks: ForkServer, reference: Path) -> None:
        self._cell, self._forks, self._reference = cell, forks, reference
        self._folder = folder
        self.workspace = folder / "workspace"
        self.job = self.workspace / "runs" / JOB
        self._launched = threading.Event()
        self._launcher: Launched | None = None
        self._lock = threading.Lock()
        self._left = cell.step.number
        self._kept = False  # whether a checkpoint was here when the faulty launcher had ended

    def run(self) -> Outcome:
        """Inject the fault, reap, resume, check."""
        began = time.monotonic()
        outcome = Outcome(self._cell)
        self.prepare()
        with FakeGce(self._folder / "gce", vm_environment={"PYTHON": sys.executable}) as gce:
            self.run_with_fault(gce, outcome)
            if self._cell.reaps:
                self.run_command("reap", outcome)
                outcome.left = len(gce.instances) + len(gce.disks)
            if not self.is_done():
                self.run_command("resume", outcome)
            outcome.left += len(gce.instances) + len(gce.disks)
            outcome.wrong += gce.violations
        self.check(outcome)
        outcome.seconds = time.monotonic() - began
        return outcome

    def prepare(self) -> None:
        """Write the files of the workspace."""
        self.workspace.mkdir(parents=True)
        shutil.copyfile(CONFIGS / "quickstart.toml", self.workspace / CONFIG)
        (self._folder / "reference").mkdir()
        for name in RESULTS:
            shutil.copyfile(self._reference / name, self._folder / "reference" / name)

    def is_done(self) -> bool:
        """Whether the job is done."""
        return (ledger.read(self.job) or Job()).outcome == "done"

    def run_with_fault(self, gce: FakeGce, outcome: Outcome, *options: str) -> None:
        """Begin the job, inject the fault, and wait for the end of the launcher."""
        step, fault = self._cell.step, self._cell.fault
        inside = step.where != "api" or fault == "exception"
        if not inside:
            kind = "call" if step.moment == BEFORE else "call_after"
            gce.faults.add(step.what, kind, times=FOR_EVER, function=self._at_call)
        self._environment = gce.environment
        injected = {"step": asdict(step), "fault": fault} if inside else {}
        self._launcher = self._launch(*TRAIN, *options, fault=injected)
        self._launched.set()
        if not self._launcher.wait():
            outcome.wrong.append("the faulty launcher hangs")
            self._launcher.signal(signal.SIGKILL)
        gce.faults.clear()
        outcome.at_once = len(gce.instances)
        self._kept = any(self.job.glob("checkpoints/*.index"))
        if not (self.workspace / INJECTED).exists():
            outcome.wrong.append("the step was not reached")
        if self._launcher.code != CODES[fault]:
            outcome.wrong.append(f"the faulty launcher ended with {self._launcher.code}")
        # An exception during the deletion leaves the machine to `reap`, as the ledger says.
        deleting = fault == "exception" and lease(self.workspace) == "deleting"
        if fault != "SIGKILL" and outcome.at_once and not deleting:
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
        if self._cell.fault != LOST_REPLY:
            self._launcher.signal(signal.Signals[self._cell.fault])
            self._launcher.wait(UNANSWERED_SECONDS)
        elif step.moment == AFTER:
            raise LOST[STEPS.index(step) % len(LOST)]
        else:
            raise Hangup

    def run_command(self, command: str, outcome: Outcome) -> None:
        """Run `reap`, or `resume`; `train` in its place where no job began."""
        if command == "reap":
            launcher = self._launch(command)
        else:
            launcher = self._launch(*((command, JOB) if self.job.exists() else TRAIN))
        if not launcher.wait():
            launcher.signal(signal.SIGKILL)
            outcome.wrong.append(f"launcher {command} hangs")
        elif launcher.code != 0:
            outcome.wrong.append(f"launcher {command} ended with {launcher.code}")

    def _launch(self, *arguments: str, fault: dict | None = None) -> Launched:
        with (self.workspace / "err").open("a") as err:
            err.write(f"$ launcher {' '.join(arguments)}\n")
        environment = {**self._environment, "XDG_STATE_HOME": str(self.workspace / "state")}
        fault = {**(fault or {}), "reference": str(self._folder / "reference")}
        return self._forks.launch(self.workspace, environment, *arguments, fault=fault)

    def check(self, outcome: Outcome) -> None:
        """Whether the job lost anything, and how often it was trained."""
        events = records.read(self.job / ledger.FILE)
        if not self.is_done() or events[-1]["event"] != "ended":
            outcome.lost.append("the job is not done")
            return
        expected, created = digests(self._reference), digests(self.job)
        outcome.lost += [f"{name} differs" for name in created if created[name] != expected[name]]
        log = (self.job / "training.log").read_text()
        outcome.lost += _trainings([event["event"] for event in events], log, outcome)
        if self._kept and outcome.again and CONTINUES not in log:
            outcome.lost.append("the checkpoint that had been pulled was not used")
        commands = (self.workspace / "err").read_text().split("$ launcher ")[1:]
        own = self._cell.fault == "exception"  # an error of the launcher, with its traceback
        if "Traceback" in "".join(commands[1:] if own else commands):
            outcome.wrong.append("a traceback")


def _trainings(events: list[str], log: str, outcome: Outcome) -> list[str]:
    """What is wrong with the number of trainings: there may be another one only for a machine that
    was deleted before its results were pulled, and it continues from the pulled checkpoint."""
    pulled = events.index("results pulled")
    runs = log.split("== train ==\n")[1:]
    outcome.again = len(runs) - 1
    found = []
    if "machine requested" in events[pulled:] or "script started" in events[pulled:]:
        found.append("it was trained again although its results were here")
    if outcome.again > events[:pulled].count("machine deleted"):
        found.append("it was trained again although its machine existed")
    lines = [int(number) for number in re.findall(r"(?m)^line (\d+)$", runs[-1])]
    if lines != list(range(1, LINES + 1)):
        found.append(f"of its log {len(lines)} of {LINES} lines are here")
    return found
