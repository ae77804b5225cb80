"""One cell: a job is struck at one step; then whoever comes afterwards, and what is left."""

import re
import shutil
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from desk import CONFIGS, SMALL, digests
from fake_gce import FOR_EVER, FakeGce
from fake_gce.faults import HTML, Hangup, Reply

from launcher.jobs import ledger
from launcher.jobs.job import Job
from leak_cells.nursery import Launched, Nursery
from leak_cells.steps import AFTER, BEFORE, JOB, LOST_REPLY, STEPS, Step, lease
from leak_cells.strikes import GOES_ON, LINES, STRUCK

CONFIG = "words.toml"
TRAIN = ("train", CONFIG, "--backend=gce", *SMALL)
RESULTS = ("time_conv.pb", "labels.txt", "metrics.json", "test_features.npz")
UNHEARD_SECONDS = 1.0  # that a request is under way when its sender is struck
# What becomes of an answer that is lost: no answer, a proxy's page, no body, half a body.
JSON = "application/json"
LOST = [
    Hangup(),
    Reply(502, "text/html; charset=UTF-8", HTML),
    Reply(200, JSON, b""),
    Reply(200, JSON, b'{"kind": "compute#oper'),
]
# How a launcher ends that is struck. A lost reply is asked for again: it ends with a firmware.
CODES = {"SIGKILL": -9, "SIGINT": 130, "SIGTERM": 130, "exception": 1, LOST_REPLY: 0}


@dataclass(frozen=True)
class Cell:
    """One fault at one step. `reaps`: `launcher reap` comes before `launcher resume`."""

    step: Step
    fault: str
    reaps: bool

    @property
    def name(self) -> str:
        """One line, for people and patterns."""
        return f"{self.step.name} × {self.fault}" + (" + reap" if self.reaps else "")


@dataclass
class Outcome:
    """What came of a cell."""

    cell: Cell
    at_once: int = 0  # machines that stood when the struck launcher had ended
    left: int = 0  # machines and disks that stood when all was over, or after `reap`
    lost: list[str] = field(default_factory=list)  # results that were, a sentence each
    wrong: list[str] = field(default_factory=list)  # whatever else is not as it should be
    again: int = 0  # trainings that were repeated, since the machine went back before its results
    seconds: float = 0.0  # that it took to play
    lived: float = 0.0  # seconds of the cloud's time until a machine that nobody wants was gone

    @property
    def ok(self) -> bool:
        """Nothing left, nothing lost, nothing wrong."""
        return not (self.left or self.lost or self.wrong)


class Scene:
    """A desk, a cloud, and a launcher that is struck there."""

    def __init__(self, cell: Cell, folder: Path, nursery: Nursery, past: Path) -> None:
        self._cell, self._nursery, self._past = cell, nursery, past
        self._folder = folder
        self.desk = folder / "desk"
        self.job = self.desk / "runs" / JOB
        self._launched = threading.Event()
        self._launcher: Launched | None = None
        self._lock = threading.Lock()
        self._left = cell.step.number
        self._kept = False  # whether a checkpoint was here when the struck launcher had ended

    def play(self) -> Outcome:
        """Strike, reap, resume, look."""
        began = time.monotonic()
        outcome = Outcome(self._cell)
        self.set()
        with FakeGce(self._folder / "gce", vm_environment={"PYTHON": sys.executable}) as gce:
            self.strike(gce, outcome)
            if self._cell.reaps:
                self.come("reap", outcome)
                outcome.left = len(gce.instances) + len(gce.disks)
            if not self.is_done():
                self.come("resume", outcome)
            outcome.left += len(gce.instances) + len(gce.disks)
            outcome.wrong += gce.violations
        self.judge(outcome)
        outcome.seconds = time.monotonic() - began
        return outcome

    def set(self) -> None:
        """Lay out the desk."""
        self.desk.mkdir(parents=True)
        shutil.copyfile(CONFIGS / "quickstart.toml", self.desk / CONFIG)
        (self._folder / "past").mkdir()
        for name in RESULTS:
            shutil.copyfile(self._past / name, self._folder / "past" / name)

    def is_done(self) -> bool:
        """Whether the job came to its good end."""
        return (ledger.read(self.job) or Job()).outcome == "done"

    def strike(self, gce: FakeGce, outcome: Outcome, *options: str) -> None:
        """Begin the job and strike its launcher; return when that has ended."""
        step, fault = self._cell.step, self._cell.fault
        inside = step.where != "api" or fault == "exception"
        if not inside:
            kind = "call" if step.moment == BEFORE else "call_after"
            gce.faults.add(step.what, kind, times=FOR_EVER, function=self._at_call)
        self._environment = gce.environment
        strike = {"step": asdict(step), "fault": fault} if inside else {}
        self._launcher = self._launch(*TRAIN, *options, strike=strike)
        self._launched.set()
        if not self._launcher.wait():
            outcome.wrong.append("the struck launcher hangs")
            self._launcher.signal(signal.SIGKILL)
        gce.faults.clear()
        outcome.at_once = len(gce.instances)
        self._kept = any(self.job.glob("checkpoints/*.index"))
        if not (self.desk / STRUCK).exists():
            outcome.wrong.append("the step never came")
        if self._launcher.code != CODES[fault]:
            outcome.wrong.append(f"the struck launcher ended with {self._launcher.code}")
        # An error amid the deletion itself leaves the machine to `reap`, and the ledger says so.
        amid = fault == "exception" and lease(self.desk) == "deleting"
        if fault != "SIGKILL" and outcome.at_once and not amid:
            outcome.wrong.append("the struck launcher left its machine behind")

    def _at_call(self, facts: dict[str, str]) -> None:
        """Within a request: strike whoever sent it, if it is the one."""
        self._launched.wait()
        step = self._cell.step
        with self._lock:
            if not self._left or lease(self.desk) != step.lease:
                return
            self._left -= 1
            if self._left:
                return
        (self.desk / STRUCK).touch()
        if self._cell.fault != LOST_REPLY:
            self._launcher.signal(signal.Signals[self._cell.fault])
            self._launcher.wait(UNHEARD_SECONDS)
        elif step.moment == AFTER:
            raise LOST[STEPS.index(step) % len(LOST)]
        else:
            raise Hangup

    def come(self, command: str, outcome: Outcome) -> None:
        """Whoever comes afterwards: `reap`, or `resume`, which is `train` where no job began."""
        if command == "reap":
            launcher = self._launch(command)
        else:
            launcher = self._launch(*((command, JOB) if self.job.exists() else TRAIN))
        if not launcher.wait():
            launcher.signal(signal.SIGKILL)
            outcome.wrong.append(f"launcher {command} hangs")
        elif launcher.code != 0:
            outcome.wrong.append(f"launcher {command} ended with {launcher.code}")

    def _launch(self, *arguments: str, strike: dict | None = None) -> Launched:
        with (self.desk / "err").open("a") as err:
            err.write(f"$ launcher {' '.join(arguments)}\n")
        environment = {**self._environment, "XDG_STATE_HOME": str(self.desk / "state")}
        strike = {**(strike or {}), "past": str(self._folder / "past")}
        return self._nursery.launch(self.desk, environment, *arguments, strike=strike)

    def judge(self, outcome: Outcome) -> None:
        """Look at what the job left: whether anything was lost, and how often it was trained."""
        records = ledger.read(self.job)
        if not self.is_done() or records[-1]["event"] != "ended":
            outcome.lost.append("the job is not done")
            return
        undisturbed, made = digests(self._past), digests(self.job)
        outcome.lost += [f"{name} differs" for name in made if made[name] != undisturbed[name]]
        log = (self.job / "training.log").read_text()
        outcome.lost += _trainings(records, log, outcome)
        if self._kept and outcome.again and GOES_ON not in log:
            outcome.lost.append("the checkpoint that had been pulled was not used")
        commands = (self.desk / "err").read_text().split("$ launcher ")[1:]
        own = self._cell.fault == "exception"  # which is shown as what it is: an error of ours
        if "Traceback" in "".join(commands[1:] if own else commands):
            outcome.wrong.append("a traceback")


def _trainings(records: list[dict], log: str, outcome: Outcome) -> list[str]:
    """What is wrong with how often it was trained: more than once only where a machine was given
    back before its results had been pulled, and then from the checkpoint that had been."""
    events = [record["event"] for record in records]
    pulled = events.index("results pulled")
    runs = log.split("== train ==\n")[1:]
    outcome.again = len(runs) - 1
    found = []
    if "machine requested" in events[pulled:] or "script started" in events[pulled:]:
        found.append("it was trained again although its results were here")
    if outcome.again > events[:pulled].count("machine deleted"):
        found.append("it was trained again although its machine was there")
    lines = [int(number) for number in re.findall(r"(?m)^line (\d+)$", runs[-1])]
    if lines != list(range(1, LINES + 1)):
        found.append(f"of its log {len(lines)} of {LINES} lines are here")
    return found
