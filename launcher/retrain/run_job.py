"""The job of a retraining: what its ledger says, what it cost, and the end of its machine."""

import time
from pathlib import Path

from launcher.jobs import control, ledger
from launcher.jobs.job import Job
from launcher.retrain.history import Run


def of(run: Run) -> Job:
    """The run's job as its ledger has it; an empty one where there is none."""
    return (ledger.read(Path(run.job)) if run.job else None) or Job()


def cost_usd(runs: list[Run]) -> float:
    """What the last run cost, in US dollars: its job's machines, less what earlier runs had of
    the same job."""
    total = of(runs[-1]).cost_usd(time.time())
    return max(0.0, total - sum(run.cost_usd for run in runs[:-1] if run.job == runs[-1].job))


def delete_machine(run: Run) -> None:
    """Delete the machine that a failed run may have left."""
    if of(run).lease_open and not ledger.is_alive(Path(run.job)):
        control.delete_machine(Path(run.job))
