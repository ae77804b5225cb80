"""The story of one job, on one screen."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from launcher.errors import MachineLost
from launcher.jobs import local_build, package, plan, remote_training, report
from launcher.jobs.context import JobContext
from launcher.jobs.lease import delete_machine, leased_machine
from launcher.jobs.states import Phase

MOST_LOST = 12  # machines; a job that lost so many has another problem than bad luck
MOST_UNREACHED = 2  # machines in a row without a login: a firewall, or an image without an agent


def run(context: JobContext) -> dict[str, Any]:
    """From a plan to proven firmware: the report. What the ledger says is done is not done again,
    so the same call begins a job and resumes one."""
    if Phase.PULL not in context.job.done:
        context.screen.say(plan.opening(context.job.plan))
    losses = Losses(context)
    while Phase.PULL not in context.job.done:
        with losses.tolerated(), leased_machine(context) as machine:
            losses.reached = True
            remote_training.follow(context, machine)  # set up → train → freeze
            context.step(Phase.PULL, lambda: remote_training.pull(context, machine))
    context.step(Phase.DELETE_MACHINE, lambda: delete_machine(context.ledger, context.backend))
    context.step(Phase.CONVERT, lambda: local_build.convert(context))
    context.step(Phase.C_ARRAY, lambda: local_build.write_c_array(context))
    context.step(Phase.BUILD, lambda: local_build.build(context))
    context.step(Phase.PROVE, lambda: local_build.prove(context))
    context.step(Phase.PACKAGE, lambda: package.package(context.folder))
    context.step(Phase.REPORT, lambda: report.write(context.job, context.folder))
    return report.read(context.folder)


@dataclass
class Losses:
    """Machines that this launcher lost: each is replaced by one that continues, within bounds."""

    context: JobContext
    lost: int = 0
    unreached: int = 0  # the last ones in a row that accepted no login
    reached: bool = False  # whether the present one did

    @contextlib.contextmanager
    def tolerated(self) -> Iterator[None]:
        """A MachineLost in the block is shown, and raised only where there were too many."""
        self.reached = False
        try:
            yield
        except MachineLost as error:
            self.lost += 1
            self.unreached = 0 if self.reached else self.unreached + 1
            if self.lost == MOST_LOST or self.unreached == MOST_UNREACHED:
                raise
            self.context.screen.say(f"{error}; another machine continues from the last checkpoint")
