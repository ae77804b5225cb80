"""The steps of a retraining: check, train, compare, promote."""

import time
from pathlib import Path

from launcher.errors import JobFailed, NotNow, OverBudget
from launcher.jobs import control, folders, ledger
from launcher.jobs.job import Job
from launcher.jobs.ledger import Ledger
from launcher.jobs.states import Outcome, Phase
from launcher.retrain import budget, challenger_job, versions
from launcher.retrain.events import ChallengerCompared, JobAssigned, Verdict
from launcher.retrain.retraining import Retraining


def check(retraining: Retraining) -> None:
    """Raise UsageError if the champion or the held-out clips cannot be used, ConfigError if the
    config's model cannot be compared with them. Before anything is trained."""
    from launcher.retrain import held_out

    if champion := versions.champion(retraining.model, retraining.state.runs):
        versions.verify(retraining.model, champion)
    held_out.check(retraining.model / held_out.FILE, retraining.config)


def train(retraining: Retraining) -> Path:
    """The folder of the run's finished job, a resumed one where there is one. Raises OverBudget
    before a machine is created."""
    folder = challenger_job.choose_folder(retraining.model.name, retraining.state.runs)
    if (ledger.read(folder) or Job()).outcome != Outcome.DONE:
        with _open_job(retraining, folder) as opened:
            control.finish(opened, retraining.screen)
    elif not retraining.run.job:  # an earlier run failed after this training
        retraining.history.add(JobAssigned(retraining.run.run, str(folder)))
    return folder


def compare(retraining: Retraining, job: Path) -> None:
    """Compare the job's firmware with the champion's, and record the decision."""
    from launcher.retrain import held_out
    from launcher.retrain.compare import compare_firmware

    retraining.screen.phase("compare")
    model, config = retraining.model, retraining.config
    champion = versions.champion(model, retraining.state.runs)
    clips = held_out.add_test_clips(model / held_out.FILE, job, config)
    old = model / champion if champion else None
    found = compare_firmware(old, job, clips, config.retrain, retraining.screen.progress)
    version = versions.for_job(model, str(job)) if found.promoted else ""
    run = retraining.run.run
    retraining.history.add(ChallengerCompared(run, champion, version, found.to_json()))
    retraining.screen.over()


def promote(retraining: Retraining) -> Verdict:
    """Make the challenger the champion, if that was decided."""
    run, model = retraining.run, retraining.model
    if not run.version:
        return Verdict.KEPT
    why = versions.Promotion(run.version, run.job, run.run, run.champion, run.comparison)
    versions.publish(model, why)
    versions.set_current(model, run.version)
    return Verdict.PROMOTED


def _open_job(retraining: Retraining, folder: Path) -> Ledger:
    """The job's ledger, new or resumed, if the month's budget allows its cap."""
    existing = ledger.read(folder)
    job = existing or Job()
    if job.outcome == Outcome.CANCELLED:
        raise JobFailed(f"job {folder.name} was cancelled", "the next retraining begins another")
    if ledger.is_alive(folder):
        hint = f"launcher logs {folder.name} -f follows it"
        raise NotNow(f"another launcher works on job {folder.name}", hint)
    plan = None if existing else control.draft(retraining.config, folder.name)
    # Nothing of a job costs money after its results were pulled.
    cap_usd = 0.0 if Phase.PULL in job.done else (plan or job.plan).cap_usd
    try:
        bound = retraining.config.retrain.max_usd_per_month
        budget.check(retraining.state.runs[:-1], cap_usd, bound, time.time())
    except OverBudget:
        if job.lease_open:
            control.delete_machine(folder)
        raise
    # Recorded first: a launcher that resumes the run then finds the folder, or creates it.
    retraining.history.add(JobAssigned(retraining.run.run, str(folder), cap_usd))
    return folders.create(plan, folder) if plan else control.resume(folder)
