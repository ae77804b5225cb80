"""A job whose launchers are killed at random instants, on a disorderly Compute Engine."""

import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from fake_gce import Behaviour

from launcher.jobs import ledger
from launcher.jobs.job import Job
from leak_cells.cell import Cell
from leak_cells.fork_server import ForkServer
from leak_cells.job_run import JobRun, Outcome
from leak_cells.steps import Step

KILLS = 3  # launchers of one job that are killed at most, one after another
LATE = 20.0  # seconds by which an answer is late at most, before the speed
UNREACHABLE = 0.02  # probability that a zone does not answer one request
TRIES = 12  # of a command that could not see everything, as one in three cannot


@dataclass
class Killed(Outcome):
    """The outcome of one job."""

    at: list[str] = field(default_factory=list)  # the phase of the job at each kill


class KilledRun(JobRun):
    """A workspace, a disorderly cloud, and launchers that are killed."""

    def __init__(
        self, seed: int, folder: Path, forks: ForkServer, reference: Path, speed: float
    ) -> None:
        super().__init__(folder, forks, reference)
        self._dice = random.Random(seed)
        self._cell = Cell(Step("time", f"seed {seed}", "random"), "SIGKILL", reaps=False)
        self._behaviour = Behaviour.disorderly(seed, LATE / speed, UNREACHABLE)

    def run(self, seconds: float = 0.0) -> Killed:
        """Kill launchers at random instants of the next `seconds` each (0: none), reap or resume
        after each, then let the job end."""
        outcome, began = Killed(self._cell), time.monotonic()
        with self.cloud(behaviour=self._behaviour):
            for _ in range(KILLS if seconds else 0):
                if not self._kill(self._dice.uniform(0, seconds), outcome):
                    break
                if self._dice.random() < 0.5:
                    self._until_seen("reap", outcome)
            if not self.is_done():
                self._until_seen("resume", outcome)
            self._until_seen("reap", outcome)
            self.wait_for_requests(2 * LATE)
            outcome.left = self.left()
        self.check(outcome)
        outcome.seconds = time.monotonic() - began
        return outcome

    def _kill(self, seconds: float, outcome: Killed) -> bool:
        """Start or resume the job, and kill its launcher after `seconds`. False where it ended
        before."""
        launcher = self.launch("resume")
        if launcher.wait(seconds):
            self.check_said(outcome, "resume", launcher.code, (0, 3))
            return False
        launcher.signal(signal.SIGKILL)
        launcher.wait()
        outcome.at.append((ledger.read(self.job) or Job()).phase or "before the first phase")
        self.note_kept()
        return True

    def _until_seen(self, command: str, outcome: Killed) -> None:
        """Run a command until it ends with 0; while zones do not answer, it may end with 3."""
        for _ in range(TRIES):
            code = self.run_command(outcome, command, codes=(0, 3))
            if code in (0, None):
                return
        outcome.wrong.append(f"launcher {command} ended with {code} {TRIES} times")
