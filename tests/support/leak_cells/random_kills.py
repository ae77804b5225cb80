"""A job whose launchers are killed at random instants, on a disorderly Compute Engine."""

import random
import re
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from fake_gce import Behaviour, FakeGce

from launcher.jobs import ledger, records
from launcher.jobs.job import Job
from leak_cells.cell import TRAIN, Cell, CellRun, Outcome
from leak_cells.fork_server import LAUNCHER_SECONDS, ForkServer, Launched
from leak_cells.steps import JOB, Step

KILLS = 3  # launchers of one job that are killed at most, one after another
LATE = 20.0  # seconds by which an answer is late at most, before the speed
UNREACHABLE = 0.02  # probability that a zone does not answer one request
TRIES = 6  # of a command that could not see everything
VERDICT = re.compile(
    r"(Nothing is still being paid for|Still being paid for: |Whether anything is still|"
    r"Machine \S+ (?:is at work|works|may still exist)).*"
)
NAMED = re.compile(r"(\S+) in [a-z]+-[a-z0-9]+-[a-z]\b|Machine (\S+) (?:is at work|works)")


@dataclass
class Killed(Outcome):
    """The outcome of one job."""

    at: list[str] = field(default_factory=list)  # the phase of the job at each kill
    untrue: list[str] = field(default_factory=list)  # last lines, a sentence each
    unknown: int = 0  # last lines that said what could not be seen

    @property
    def ok(self) -> bool:
        """Nothing left, nothing lost, nothing wrong, nothing untrue."""
        return super().ok and not self.untrue


class KilledRun(CellRun):
    """A workspace, a disorderly cloud, and launchers that are killed."""

    def __init__(
        self, seed: int, folder: Path, forks: ForkServer, reference: Path, speed: float
    ) -> None:
        self._dice = random.Random(seed)
        cell = Cell(Step("time", f"seed {seed}", "random"), "SIGKILL", reaps=False)
        super().__init__(cell, folder, forks, reference)
        self._behaviour = Behaviour.disorderly(seed, LATE / speed, UNREACHABLE)

    def run(self, seconds: float = 0.0) -> Killed:
        """Kill launchers at random instants of the next `seconds` each (0: none), reap or resume
        after each, then let the job end."""
        outcome, began = Killed(self._cell), time.monotonic()
        self.prepare()
        environment = {"PYTHON": sys.executable}
        with FakeGce(
            self._folder / "gce", vm_environment=environment, behaviour=self._behaviour
        ) as gce:
            self._gce, self._environment = gce, gce.environment
            for _ in range(KILLS if seconds else 0):
                if not self._kill(self._dice.uniform(0, seconds), outcome):
                    break
                if self._dice.random() < 0.5:
                    self._until_seen("reap", outcome)
            if not self.is_done():
                self._until_seen("resume", outcome)
            self._until_seen("reap", outcome)
            self._wait_for_requests()
            outcome.left = len(gce.instances) + len(gce.disks)
            outcome.wrong += gce.violations
        self.check(outcome)
        outcome.seconds = time.monotonic() - began
        return outcome

    def _kill(self, seconds: float, outcome: Killed) -> bool:
        """Start or resume the job, and kill its launcher after `seconds`. False where it ended
        before."""
        launcher = self._begin("resume")
        if launcher.wait(seconds):
            self._check_verdict("resume", launcher, outcome)
            return False
        launcher.signal(signal.SIGKILL)
        launcher.wait()
        job = ledger.read(self.job) or Job()
        outcome.at.append(job.phase or "before the first phase")
        events = [event["event"] for event in records.read(self.job / ledger.FILE)]
        if "results pulled" not in events and any(self.job.glob("checkpoints/*.index")):
            self._kept = True
        return True

    def _until_seen(self, command: str, outcome: Killed) -> None:
        """Run a command until it ends with 0; while zones do not answer, it may end with 3."""
        for _ in range(TRIES):
            launcher = self._begin(command)
            if not launcher.wait(4 * LAUNCHER_SECONDS):
                launcher.signal(signal.SIGKILL)
                outcome.wrong.append(f"launcher {command} hangs")
                return
            self._check_verdict(command, launcher, outcome)
            if launcher.code == 0:
                return
        outcome.wrong.append(f"launcher {command} ended with {launcher.code} {TRIES} times")

    def _begin(self, command: str) -> Launched:
        """Start `reap`, or `resume`; `train` in its place where no job began."""
        for path in self._output():
            path.unlink(missing_ok=True)
        if command == "resume":
            return self._launch(*((command, JOB) if self.job.exists() else TRAIN))
        return self._launch(command)

    def _check_verdict(self, command: str, launcher: Launched, outcome: Killed) -> None:
        if launcher.code not in (0, 3):
            outcome.wrong.append(f"launcher {command} ended with {launcher.code}")
        said = "".join(path.read_text(errors="replace") for path in self._output())
        with (self._folder / "said").open("a") as file:
            file.write(f"$ launcher {command}: {launcher.code}\n{said}")
        verdicts = [match[0] for match in VERDICT.finditer(said)]
        if "Traceback" in said:
            outcome.wrong.append(f"launcher {command} ended with a traceback")
        if not verdicts:
            outcome.wrong.append(f"launcher {command} did not say what is paid for")
            return
        outcome.unknown += "Whether anything" in verdicts[-1]
        if false := untrue(verdicts[-1], self._known()):
            outcome.untrue.append(f"launcher {command}: {false}")

    def _known(self) -> set[str]:
        """Every machine and disk that exists, and those whose request has arrived."""
        inserts = self._inserts()
        answered = {r.query.get("requestId") for r in inserts if r.code}
        waiting = [r for r in inserts if not r.code and r.query.get("requestId") not in answered]
        arrived = {str(request.body.get("name")) for request in waiting}
        return arrived | set(self._gce.instances) | set(self._gce.disks)

    def _wait_for_requests(self) -> None:
        """Wait for inserts and operations that are under way."""
        deadline = time.monotonic() + 2 * LATE
        while time.monotonic() < deadline and (
            any(request.code == 0 for request in self._inserts())
            or any(operation["status"] != "DONE" for operation in self._gce.operations)
        ):
            time.sleep(0.05)

    def _inserts(self) -> list:
        return self._gce.asked("instances.insert")

    def _output(self) -> list[Path]:
        """What the last launcher printed: messages, then results."""
        return [self.workspace / name for name in ("err", "out")]


def untrue(said: str, known: set[str]) -> str:
    """What is wrong with a last line, given the machines that are known; "" = it is true."""
    if said.startswith("Nothing") and known:
        return f"{said!r}, but there is {', '.join(sorted(known))}"
    named = {next(filter(None, found)) for found in NAMED.findall(said)}
    if not said.startswith("Nothing") and named - known:
        return f"{said!r}, but there is no {', '.join(sorted(named - known))}"
    return ""
