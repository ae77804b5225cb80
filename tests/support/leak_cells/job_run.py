"""Launchers that work on one job in one workspace on one cloud, and what they leave behind."""

import re
import shutil
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fake_gce import FakeGce
from workspace import CONFIGS, SMALL, digests

from launcher.jobs import ledger, records
from launcher.jobs.job import Job
from leak_cells import said
from leak_cells.fork_server import LAUNCHER_SECONDS, ForkServer, Launched
from leak_cells.injection import CONTINUES, LINES
from leak_cells.steps import JOB

CONFIG = "words.toml"
TRAIN = ("train", CONFIG, "--backend=gce", *SMALL)
RESULTS = ("time_conv.pb", "labels.txt", "metrics.json", "test_features.npz")
# Of launcher/machines/gce/timeouts.py: a cell would only wait for a request that never arrives.
TIMEOUTS = {"unanswered": 5.0}


@dataclass
class Outcome:
    """The outcome of a cell."""

    cell: Any  # Cell, Story or KilledRun's seed: something with a name
    at_once: int = 0  # machines that existed when the faulty launcher had ended
    left: int = 0  # machines and disks that existed after `reap` or at the end
    lost: list[str] = field(default_factory=list)  # lost results, a sentence each
    untrue: list[str] = field(default_factory=list)  # last lines, a sentence each
    wrong: list[str] = field(default_factory=list)  # any other failure, a sentence each
    compared: int = 0  # last lines that were compared with what the fake knows
    unknown: int = 0  # those of them that said what could not be seen
    again: int = 0  # repeated trainings, where the machine was deleted before the pull
    seconds: float = 0.0  # that the cell took
    lived: float = 0.0  # seconds of the fake's clock until an unattended machine was gone

    @property
    def ok(self) -> bool:
        """Nothing left, nothing lost, nothing untrue, nothing wrong."""
        return not (self.left or self.sentences)

    @property
    def sentences(self) -> list[str]:
        """Everything that is not as it should be."""
        return self.lost + self.untrue + self.wrong


class JobRun:
    """A workspace, a cloud, and launchers."""

    timeouts = TIMEOUTS

    def __init__(self, folder: Path, forks: ForkServer, reference: Path) -> None:
        self._folder, self._forks, self._reference = folder, forks, reference
        self.workspace = folder / "workspace"
        self.job = self.workspace / "runs" / JOB
        self._kept = False  # whether a checkpoint was here when its launcher had ended

    def cloud(self, **options: Any) -> FakeGce:
        """The cloud of this job, not yet open; writes the files of the workspace."""
        self.workspace.mkdir(parents=True)
        shutil.copyfile(CONFIGS / "quickstart.toml", self.workspace / CONFIG)
        (self._folder / "reference").mkdir()
        for name in RESULTS:
            shutil.copyfile(self._reference / name, self._folder / "reference" / name)
        environment = {"PYTHON": sys.executable}
        self.gce = FakeGce(self._folder / "gce", vm_environment=environment, **options)
        state = {"XDG_STATE_HOME": str(self.workspace / "state")}
        self.environment = self.gce.environment | state
        return self.gce

    def is_done(self) -> bool:
        """Whether the job is done."""
        return (ledger.read(self.job) or Job()).outcome == "done"

    def left(self) -> int:
        """How many machines and disks exist."""
        return len(self.gce.instances) + len(self.gce.disks)

    def launch(self, *arguments: str, **fault: Any) -> Launched:
        """Start a launcher; `fault` has arguments of injection.install. `resume` is `train` where
        no job began."""
        if arguments == ("resume",):
            arguments = ("resume", JOB) if self.job.exists() else TRAIN
        for path in self._output():
            path.unlink(missing_ok=True)
        fault |= {"reference": str(self._folder / "reference"), "timeouts": self.timeouts}
        return self._forks.launch(self.workspace, self.environment, *arguments, fault=fault)

    def run_command(
        self, outcome: Outcome, *arguments: str, codes: tuple[int, ...] = (0,), **fault: Any
    ) -> int | None:
        """Run a command to its end, and check its exit code and its last line."""
        launcher = self.launch(*arguments, **fault)
        if not launcher.wait(4 * LAUNCHER_SECONDS):
            launcher.signal(signal.SIGKILL)
            outcome.wrong.append(f"launcher {' '.join(arguments)} hangs")
        else:
            self.check_said(outcome, arguments[0], launcher.code, codes)
        return launcher.code

    def check_said(
        self, outcome: Outcome, command: str, code: int | None, codes: tuple[int, ...], own=False
    ) -> str:
        """Compare what a command that has ended said with what the fake knows; what it said.
        `own`: it has an error of its own, so a traceback is right."""
        text = "".join(path.read_text(errors="replace") for path in self._output())
        with (self._folder / "said").open("a") as file:
            file.write(f"$ launcher {command}: {code}\n{text}")
        if code not in codes:
            outcome.wrong.append(f"launcher {command} ended with {code}")
        if "Traceback" in text and not own:
            outcome.wrong.append(f"launcher {command} ended with a traceback")
        job = ledger.read(self.job)
        line = said.last_line(text)
        if not line:
            outcome.wrong.append(f"launcher {command} did not say what is paid for")
            return text
        outcome.compared += 1
        outcome.unknown += "Whether anything" in line
        if false := said.untrue(line, said.known(self.gce), f"{job.name}-{job.uid}" if job else ""):
            outcome.untrue.append(f"launcher {command}: {false}")
        return text

    def note_kept(self) -> None:
        """Note that a checkpoint was pulled, and its results were not, when a launcher ended."""
        events = [event["event"] for event in records.read(self.job / ledger.FILE)]
        if "results pulled" not in events and any(self.job.glob("checkpoints/*.index")):
            self._kept = True

    def wait_for_requests(self, seconds: float = 40.0) -> None:
        """Wait for inserts and operations that are under way."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and (
            any(request.code == 0 for request in self.gce.asked("instances.insert"))
            or any(operation["status"] != "DONE" for operation in self.gce.operations)
        ):
            time.sleep(0.05)

    def check(self, outcome: Outcome) -> None:
        """Whether the job lost anything, and how often it was trained."""
        outcome.wrong += self.gce.violations
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

    def _output(self) -> list[Path]:
        """What the last launcher printed: messages, then results."""
        return [self.workspace / name for name in ("err", "out")]


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
