"""The job that trains a challenger: its folder, its ledger, its cost, its machine."""

import re
import time
from pathlib import Path

from launcher.jobs import control, ledger
from launcher.jobs.job import Job
from launcher.jobs.ledger import RUNS
from launcher.jobs.states import Outcome, Phase
from launcher.retrain.history import RetrainRun


def read(run: RetrainRun) -> Job:
    """The run's job as its ledger has it; an empty one if there is none."""
    return (ledger.read(Path(run.job)) if run.job else None) or Job()


def choose_folder(model: str, runs: list[RetrainRun]) -> Path:
    """The folder of the last run's job: the one that it has, that of a failed run whose training
    can be used, or a new one. Deletes the machines that failed runs left."""
    *earlier, last = runs
    if last.job:
        return Path(last.job)
    for run in reversed(earlier):
        if run.completed:
            break
        delete_machine(run)
        if run.fingerprint == last.fingerprint and _is_trained(run):
            return Path(run.job)
    taken = [run.job for run in runs] + [str(path) for path in RUNS.glob("*-r*")]
    pattern = re.compile(rf"{RUNS}/{re.escape(model)}-r(\d+)")
    numbers = [int(found[1]) for found in map(pattern.fullmatch, taken) if found]
    return RUNS / f"{model}-r{1 + max(numbers, default=0)}"


def cost_usd(runs: list[RetrainRun]) -> float:
    """What the last run cost, in US dollars: its job's machines, less what earlier runs paid for
    the same job."""
    *earlier, last = runs
    total = read(last).cost_usd(time.time())
    return max(0.0, total - sum(run.cost_usd for run in earlier if run.job == last.job))


def delete_machine(run: RetrainRun) -> None:
    """Delete the machine that a failed run may have left. Raises MachineNotDeleted."""
    if read(run).lease_open and not ledger.is_alive(Path(run.job)):
        control.delete_machine(Path(run.job))


def _is_trained(run: RetrainRun) -> bool:
    """Whether the results of a failed run were pulled, and its job was not cancelled."""
    job = read(run)
    return Phase.PULL in job.done and job.outcome != Outcome.CANCELLED
