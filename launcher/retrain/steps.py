"""What a retraining does: check, train, compare, promote. Each step knows what was done before."""

import re
import time
from pathlib import Path

from launcher.errors import JobFailed, NotNow, OverBudget
from launcher.jobs import control, folders, ledger
from launcher.jobs.job import Job
from launcher.jobs.ledger import RUNS, Ledger
from launcher.jobs.states import Outcome, Phase
from launcher.retrain import budget, history, run_job, versions
from launcher.retrain.history import Run
from launcher.retrain.retraining import Retraining


def check(work: Retraining) -> None:
    """Raise UsageError where a new version could not be compared with the champion, ConfigError
    where the config is the reason. Before anything is trained."""
    if work.run.comparison:
        return
    from launcher.retrain import held_out

    if champion := versions.champion(work.model, work.past.runs):
        versions.check(work.model, champion)
    held_out.check(work.model / held_out.FILE, work.config)


def train(work: Retraining) -> Path:
    """The folder of the run's job, done. Raises OverBudget before anything is rented. What was
    decided is of one job: where that is gone, no other takes its place."""
    folder = _job(work)
    if work.run.comparison:
        return folder
    if (ledger.read(folder) or Job()).outcome != Outcome.DONE:
        with _opened(work, folder) as opened:
            control.finish(opened, work.screen)
    elif not work.run.job:  # it failed only after its training
        work.note("job", job=str(folder))
    return folder


def decide(work: Retraining, job: Path) -> None:
    """Compare the job's model with the champion, as firmware, and write down what follows."""
    if work.run.comparison:
        return
    from launcher.retrain import compare, held_out

    work.screen.phase("compare")
    champion = versions.champion(work.model, work.past.runs)
    pinned = held_out.pin(work.model / held_out.FILE, job, work.config)
    rule, against = work.config.retrain, work.model / champion if champion else None
    found = compare.compare(against, job, pinned, rule, work.screen.progress)
    version = versions.for_job(work.model, str(job)) if found.promoted else ""
    work.note("decided", champion=champion, version=version, comparison=found.to_json())
    work.screen.over()


def promote(work: Retraining, job: Path) -> str:
    """Give the challenger its version and its place, if it earned them: the verdict."""
    run = work.run
    if not run.version:
        return "kept"
    why = {"run": run.run, "champion": run.champion, "comparison": run.comparison}
    versions.publish(work.model, run.version, job, why)
    versions.point(work.model, run.version)
    return "promoted"


def _job(work: Retraining) -> Path:
    """The folder of the run's job: the one it has, one whose training can be used, or a new one."""
    if work.run.job:
        return Path(work.run.job)
    for run in reversed(work.past.runs[:-1]):
        if run.verdict in history.DONE:
            break
        run_job.delete_machine(run)
        if run.fingerprint["digest"] == work.run.fingerprint["digest"] and _is_trained(run):
            return Path(run.job)
    taken = [run.job for run in work.past.runs] + [str(path) for path in RUNS.glob("*-r*")]
    pattern = re.compile(rf"{RUNS}/{re.escape(work.model.name)}-r(\d+)")
    numbers = [int(found[1]) for found in map(pattern.fullmatch, taken) if found]
    return RUNS / f"{work.model.name}-r{1 + max(numbers, default=0)}"


def _opened(work: Retraining, folder: Path) -> Ledger:
    """The job's record, begun or taken up, with its cap within the month's budget."""
    begun = ledger.read(folder)
    job = begun or Job()
    if job.outcome == Outcome.CANCELLED:
        raise JobFailed(f"job {folder.name} was cancelled", "the next retraining begins another")
    if ledger.is_alive(folder):
        raise NotNow(
            f"job {folder.name} is being worked on by another launcher",
            f"launcher logs {folder.name} -f follows it",
        )
    plan = None if begun else control.draft(work.config, folder.name)
    cap_usd = plan.cap_usd if plan else _still(job)
    try:
        bound = work.config.retrain.max_usd_per_month
        budget.check(work.past.runs[:-1], cap_usd, bound, time.time())
    except OverBudget:
        if job.lease_open:
            control.delete_machine(folder)
        raise
    # Written down first: whoever is killed between the two finds the folder, or makes it.
    work.note("job", job=str(folder), cap_usd=cap_usd)
    return folders.create(plan, folder) if plan else control.resume(folder)


def _still(job: Job) -> float:
    """What a job that was begun may cost, in US dollars: nothing more once its training is here."""
    return 0.0 if Phase.PULL in job.done else job.plan.cap_usd


def _is_trained(run: Run) -> bool:
    """Whether the training of a run that failed is here, and nobody cancelled it."""
    job = run_job.of(run)
    return Phase.PULL in job.done and job.outcome != Outcome.CANCELLED
