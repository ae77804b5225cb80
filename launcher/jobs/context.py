"""A job in the hands of this launcher: its ledger, its backend, its screen."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from launcher.console import Screen
from launcher.jobs.events import PhaseBegun, PhaseDone
from launcher.jobs.job import Job
from launcher.jobs.ledger import Ledger
from launcher.jobs.states import Phase
from launcher.machines.base import Backend


@dataclass
class JobContext:
    """What every step of the pipeline is given."""

    ledger: Ledger
    backend: Backend
    screen: Screen
    detach: bool = False  # leave once the machine works

    @property
    def job(self) -> Job:
        """The job as the ledger has it now."""
        return self.ledger.job

    @property
    def folder(self) -> Path:
        """The job's folder, which the results go to."""
        return self.ledger.folder

    def begin(self, phase: Phase) -> None:
        """Say, in the ledger and on the screen, that a phase begins."""
        self.ledger.add(PhaseBegun(phase))
        self.screen.phase(phase)

    def step(self, phase: Phase, action: Callable[[], object]) -> None:
        """Do a phase unless the ledger says that it is done; then note that it is."""
        if phase in self.job.done:
            return
        self.begin(phase)
        action()
        self.ledger.add(PhaseDone(phase))
        self.screen.over()
