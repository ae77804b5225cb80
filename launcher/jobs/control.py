"""What a user can do with jobs: begin, resume, finish and cancel one; reap their machines."""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import vm_startup
from launcher.config import data_checks, size_check
from launcher.config.settings import Config
from launcher.console import Screen
from launcher.errors import (
    Detached,
    Interrupted,
    JobFailed,
    LauncherError,
    MachineKept,
    UsageError,
    describe,
)
from launcher.jobs import folders, lease, ledger, pipeline
from launcher.jobs import plan as plans
from launcher.jobs.context import JobContext
from launcher.jobs.events import Ended, Resumed
from launcher.jobs.job import Job
from launcher.jobs.ledger import RUNS, Ledger, refer
from launcher.jobs.plan import Plan
from launcher.jobs.states import Outcome
from launcher.machines import registry
from launcher.machines.base import MachinePlan
from vm_startup.speech_commands.data import survey_text
from vm_startup.speech_commands.progress import Progress, no_progress

MOST_MINUTES = 120 * 24 * 60  # no machine may run for longer
CANCEL_SECONDS = 90  # for another launcher to delete its machine


def begin(config: Config, out: Path | None, progress: Progress = no_progress) -> Ledger:
    """Check the data, make the plan, and begin the ledger of a new job. Raises ConfigError before
    anything is written if the job cannot work, UsageError if `out` exists."""
    plan = draft(config, f"{config.name}-1", out, progress=progress)
    if out:
        try:
            return folders.create(plan, out)
        except FileExistsError:
            raise UsageError(f"{out} exists", "name another folder with --out") from None
    while True:
        name = folders.next_name(config.name)
        # Another launcher may take the same number at this moment; then the next one is free.
        with contextlib.suppress(FileExistsError):
            return folders.create(replace(plan, job=name), RUNS / name)


def draft(
    config: Config,
    name: str,
    out: Path | None = None,
    needs_account: bool = True,
    progress: Progress = no_progress,
) -> Plan:
    """Check data and size, and make the plan of a job called `name`; nothing is written. Raises
    ConfigError if the job cannot work. Without `needs_account`, the plan is made without one too;
    it then says what is open."""
    size_check.check(config)
    found = data_checks.check(config, out or RUNS, progress)
    backend = registry.load(config.backend).for_config(config)
    plan = make_plan(config, name, backend.plan_machine(config, needs_account))
    return replace(plan, data=[survey_text.lines(facts, config.words.wanted) for facts in found])


def make_plan(config: Config, name: str, machine: MachinePlan) -> Plan:
    """The plan of a job called `name` on the machine that a backend offers."""
    return plans.make(config, name, str(Path(vm_startup.__file__).parent), machine)


def resume(folder: Path, add_minutes: float = 0) -> Ledger:
    """Open the ledger of an unfinished job, with so much more machine time. Raises UsageError."""
    if not 0 <= add_minutes <= MOST_MINUTES:
        raise UsageError(f"--add-minutes {add_minutes:g} is not within 0 to {MOST_MINUTES:,}")
    opened = Ledger.open(folder)
    if opened.job.outcome == Outcome.DONE:
        opened.close()
        raise UsageError(f"job {refer(folder)} is done", f"its firmware is in {folder}/firmware")
    opened.add(Resumed(os.getpid(), add_minutes * 60))
    return opened


def finish(opened: Ledger, screen: Screen, detach: bool = False) -> dict[str, Any]:
    """Run a job to its end and record how it ended; its report, if it went well. With `detach`,
    raises Detached as soon as the job's machine works."""
    with _ending(opened):
        try:
            backend = registry.for_plan(opened.job.plan.machine, screen.say)
        except KeyboardInterrupt:  # while its libraries were loaded
            backend = registry.for_plan(opened.job.plan.machine)
            lease.delete_after_interrupt(opened, backend, screen)
            raise
        try:
            return pipeline.run(JobContext(opened, backend, screen, detach))
        finally:
            screen.close()


def cancel(folder: Path) -> Job:
    """End a job and delete its machine, also while another launcher works on it."""
    request_end(folder)
    deadline = time.monotonic() + CANCEL_SECONDS
    while ledger.is_alive(folder):
        if time.monotonic() > deadline:
            raise JobFailed(f"the launcher of {refer(folder)} does not end", "launcher status")
        time.sleep(0.1)
    with Ledger.open(folder) as opened:
        if opened.job.outcome == Outcome.DONE:
            raise UsageError(f"job {refer(folder)} is done; there is nothing to cancel")
        lease.delete_machine(opened, registry.for_plan(opened.job.plan.machine))
        opened.add(Ended(Outcome.CANCELLED))
        return opened.job


def delete_machine(folder: Path) -> None:
    """Delete the machine of a job. Raises MachineNotDeleted, or UsageError while the job lives."""
    with Ledger.open(folder) as opened:
        lease.delete_machine(opened, registry.for_plan(opened.job.plan.machine))


def request_end(folder: Path) -> None:
    """Ask the launcher that works on a job to end. Its process number may belong to another process
    by now: only one that has the ledger open is asked."""
    import psutil

    record = (folder / ledger.FILE).resolve()
    with contextlib.suppress(psutil.Error):
        process = psutil.Process((ledger.read(folder) or Job()).pid)
        if any(Path(file.path) == record for file in process.open_files()):
            process.terminate()


@contextlib.contextmanager
def _ending(opened: Ledger) -> Iterator[None]:
    """Record how the job ended as the last event of its ledger."""

    def end(outcome: Outcome, error: str = "") -> None:
        with contextlib.suppress(OSError):  # a full disk must not hide what filled it
            opened.add(Ended(outcome, error))

    name = refer(opened.folder)
    try:
        yield
    except KeyboardInterrupt:
        end(Outcome.INTERRUPTED)
        raise Interrupted("interrupted", f"launcher resume {name} continues it") from None
    except Detached:
        end(Outcome.DETACHED)
        raise
    except MachineKept as error:
        end(Outcome.DETACHED, str(error))
        error.hint = error.hint or (
            f"launcher resume {name} tries again, with --add-minutes N for longer; "
            f"launcher cancel {name} deletes it with its results"
        )
        raise
    except LauncherError as error:
        end(Outcome.FAILED, str(error))
        raise
    except OSError as error:
        end(Outcome.FAILED, str(error))
        raise JobFailed(describe(error), f"launcher resume {name} continues it") from error
    except BaseException as error:
        end(Outcome.FAILED, repr(error))
        raise
    end(Outcome.DONE)
