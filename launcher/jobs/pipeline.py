"""The story of one job, on one screen."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from launcher.console import Screen
from launcher.errors import MachineLost
from launcher.jobs import job, local_build, package, plan, remote_training, report
from launcher.jobs.lease import give_back, rent
from launcher.jobs.ledger import Ledger
from launcher.machines.base import Backend

MACHINES = 12  # a job that lost so many has another trouble than bad luck
UNREACHED = 2  # so many in a row that let nobody in, too: a firewall, or an image without an agent


def run(work: "Work") -> dict:
    """From a plan to proven firmware: the report. What the ledger says is done is not done again,
    so the same call begins a job and resumes one."""
    if "pull" not in work.job.done:
        work.screen.say(plan.headline(plan.Plan(**work.job.plan)))
    while "pull" not in work.job.done:
        with _replacing(work), rent(work.ledger, work.backend, work.screen.say) as machine:
            work.reached = True
            remote_training.follow(work, machine)  # set up → train → freeze
            work.step("pull", lambda: remote_training.pull(work, machine))
    work.step("give back", lambda: give_back(work.ledger, work.backend))
    work.step("convert", lambda: local_build.convert(work))
    work.step("C model", lambda: local_build.c_model(work))
    work.step("firmware", lambda: local_build.firmware(work))
    work.step("emulate", lambda: local_build.emulate(work))
    work.step("package", lambda: package.package(work.folder))
    work.step("report", lambda: report.write(work.job, work.folder))
    return report.read(work.folder)


@contextlib.contextmanager
def _replacing(work: "Work") -> Iterator[None]:
    """A machine that is lost makes room for another, which goes on from the last checkpoint."""
    work.reached = False
    try:
        yield
    except MachineLost as error:
        work.lost += 1
        work.unreached = 0 if work.reached else work.unreached + 1
        if work.lost == MACHINES or work.unreached == UNREACHED:
            raise
        work.screen.say(f"{error}; another machine goes on from the last checkpoint")


@dataclass
class Work:
    """A job in the hands of this launcher."""

    ledger: Ledger
    backend: Backend
    screen: Screen
    detach: bool = False  # leave once the machine is at work
    lost: int = 0  # machines, by this launcher
    unreached: int = 0  # of them, the last ones in a row that nobody got into
    reached: bool = False  # whether the present one let us in

    @property
    def job(self) -> job.Job:
        """What the ledger says now."""
        return job.fold(self.ledger.records)

    @property
    def folder(self) -> Path:
        """Where results go."""
        return self.ledger.folder

    def begin(self, phase: str) -> None:
        """Say, in the ledger and on the screen, that a phase begins."""
        self.ledger.append("phase", phase=phase)
        self.screen.phase(phase)

    def step(self, phase: str, action: Callable[[], object]) -> None:
        """Do a phase unless it was done before, and write down that it is."""
        if phase in self.job.done:
            return
        self.begin(phase)
        action()
        self.ledger.append("phase done", phase=phase)
        self.screen.over()
