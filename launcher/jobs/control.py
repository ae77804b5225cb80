"""Jobs on this computer's disk: begin one, find one, list them, finish one, cancel one."""

import contextlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from launcher import state
from launcher.config.settings import Config
from launcher.console import Screen
from launcher.errors import Detached, Interrupted, JobFailed, LauncherError, UsageError, describe
from launcher.jobs import job as jobs
from launcher.jobs import ledger
from launcher.jobs.ledger import RUNS, Ledger, refer
from launcher.machines.base import Backend, Quote
from launcher.machines.local import LocalBackend

if TYPE_CHECKING:
    from launcher.jobs.plan import Plan

MOST_MINUTES = 120 * 24 * 60  # no machine may run for longer
CANCEL_SECONDS = 90  # for another launcher to give its machine back


def quoting(config: Config) -> Backend:
    """The backend that `config` names, to be asked what it offers."""
    if config.backend == "local":
        return LocalBackend()
    from launcher.machines.gce import GceBackend

    return GceBackend.for_quote(config)


def backend_of(plan: dict, say: Callable[[str], object] = lambda _: None) -> Backend:
    """The backend that a job's plan was made for; `say` hears what it waits for."""
    if plan["backend"] == "local":
        return LocalBackend()
    from launcher.machines.gce import GceBackend

    return GceBackend(plan["project"], plan["access"], plan["insert"], say)


def everywhere(project: str = "") -> list[Backend]:
    """Every backend where this user may have machines: this computer, each project that was ever
    rented in from here, and `project`."""
    found: list[Backend] = [LocalBackend()]
    known = {project: ""} if project else {}
    for name, impersonate in (known | state.projects()).items():
        # Google's client takes seconds to load: only who has used the cloud waits for it.
        from launcher.machines.gce import GceBackend

        found.append(GceBackend(name, {"impersonate": impersonate}))
    return found


def begin(config: Config, out: Path | None) -> Ledger:
    """Check the data, make the plan, and open the record of a new job.

    Raises ConfigError before anything is written where the job cannot work, UsageError where
    `out` exists.
    """
    plan = draft(config, f"{config.name}-1", out)
    if out:
        return create(plan, out)
    while True:
        name = f"{config.name}-{1 + max(_numbers(config.name), default=0)}"
        # Another launcher may take the same number at this moment; then the next one is free.
        with contextlib.suppress(FileExistsError):
            return create(replace(plan, job=name), RUNS / name, retry=True)


def draft(config: Config, name: str, out: Path | None = None) -> "Plan":
    """Check the data, and make the plan of a job called `name`; nothing is written. Raises
    ConfigError where the job cannot work."""
    from launcher.config import data_checks

    data_checks.check(config, out or RUNS)
    return make_plan(config, name, quoting(config).quote(config))


def create(plan: "Plan", folder: Path, retry: bool = False) -> Ledger:
    """Open the record of a new job. Raises UsageError where `folder` exists, or with `retry`
    FileExistsError."""
    try:
        return Ledger.create(folder, plan=plan.to_json(), uid=secrets.token_hex(4), pid=os.getpid())
    except FileExistsError:
        if retry:
            raise
        raise UsageError(f"{folder}: exists already", "name another folder with --out") from None
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be made: {error.strerror or error}", "name another folder with --out"
        ) from error


def make_plan(config: Config, name: str, quote: Quote) -> "Plan":
    """The plan of a job called `name` with what a backend offers."""
    import vm_startup
    from launcher.jobs import plan

    return plan.make(config, name, str(Path(vm_startup.__file__).parent), quote)


def find(name: str) -> Path:
    """The folder of a job, by its name below runs/ or by its path. Raises UsageError."""
    for folder in (RUNS / name, Path(name)):
        if ledger.read(folder):
            return folder
    known = ", ".join(folder.name for folder in all_jobs()) or "none"
    raise UsageError(f"no job {name!r} here", f"jobs below {RUNS}/: {known}")


def all_jobs() -> list[Path]:
    """The folders of all jobs below runs/, oldest first."""
    folders = [path.parent for path in RUNS.glob(f"[!.]*/{ledger.FILE}")]
    return sorted(folders, key=lambda folder: folder.stat().st_ctime)


def take_up(folder: Path, add_minutes: float = 0) -> Ledger:
    """Open the record of an unfinished job to go on with it, with more machine time if that is
    granted. Raises UsageError."""
    if not 0 <= add_minutes <= MOST_MINUTES:
        raise UsageError(f"--add-minutes {add_minutes:g} must lie between 0 and {MOST_MINUTES:,}")
    opened = Ledger.open(folder)
    if jobs.fold(opened.records).outcome == "done":
        opened.close()
        raise UsageError(
            f"job {refer(folder)} is done", f"its firmware stands in {folder}/firmware"
        )
    opened.append("attached", pid=os.getpid(), added_seconds=add_minutes * 60)
    return opened


def finish(opened: Ledger, screen: Screen, detach: bool = False) -> dict:
    """Bring a job to its end, whatever that is, and write it down; the report if it went well.

    With `detach`, raises Detached as soon as the job's machine is at work.
    """
    from launcher.jobs.pipeline import Work, run

    with _ending(opened):
        backend = backend_of(jobs.fold(opened.records).plan, screen.say)
        work = Work(opened, backend, screen, detach)
        try:
            return run(work)
        finally:
            screen.close()


def cancel(folder: Path) -> jobs.Job:
    """End a job and give its machine back, also when another launcher is at work on it."""
    from launcher.jobs.lease import give_back

    request_end(folder)
    deadline = time.monotonic() + CANCEL_SECONDS
    while ledger.is_alive(folder):
        if time.monotonic() > deadline:
            raise JobFailed(f"the launcher of {refer(folder)} does not end", "launcher status")
        time.sleep(0.1)
    with Ledger.open(folder) as opened:
        job = jobs.fold(opened.records)
        if job.outcome == "done":
            raise UsageError(f"job {refer(folder)} is done; there is nothing to cancel")
        give_back(opened, backend_of(job.plan))
        opened.append("ended", outcome="cancelled")
        return jobs.fold(opened.records)


def reap(project: str = "", everybody: bool = False) -> tuple[list[str], list[str]]:
    """Settle what dead jobs in runs/ still owe, then whatever machines no living job owns: (names
    of those given back, a sentence per failure)."""
    from launcher.jobs import lease

    given_back, failures = [], []
    for folder in all_jobs():
        name = folder.name
        try:
            job = jobs.fold(ledger.read(folder))
            name = job.machine or name
            if not job.owes or ledger.is_alive(folder) or lease.works_alone(job):
                continue
            settle(folder)
            given_back.append(job.machine)
        except (LauncherError, OSError) as error:
            failures.append(f"{name}: {error}")
    for backend in everywhere(project):
        try:
            reaped, failed = lease.reap(backend, everybody)
        except LauncherError as error:  # what one project refuses keeps no machine of another
            failures.append(f"{error} ({error.hint})")
            continue
        given_back += [rental.name for rental in reaped]
        failures += [failure for failure in failed if failure not in failures]
    return given_back, failures


def settle(folder: Path) -> None:
    """Give back what a dead job owes. Raises MachineOwed where that cannot be done, UsageError
    where the job lives."""
    from launcher.jobs.lease import give_back

    with Ledger.open(folder) as opened:
        give_back(opened, backend_of(jobs.fold(opened.records).plan))


def request_end(folder: Path) -> None:
    """Ask the launcher at work on a job to end, if there is one. The ledger may name one that is
    long gone, and whose number another process has now: only who holds the ledger open is meant."""
    import psutil

    record = (folder / ledger.FILE).resolve()
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(jobs.fold(ledger.read(folder)).pid)
        if any(Path(file.path) == record for file in process.open_files()):
            process.terminate()


def _numbers(name: str) -> list[int]:
    found = (re.fullmatch(rf"{name}-(\d+)", path.name) for path in RUNS.glob(f"{name}-*"))
    return [int(match[1]) for match in found if match]


@contextlib.contextmanager
def _ending(opened: Ledger) -> Iterator[None]:
    """Whatever happens to a job is the last thing its ledger says."""

    def end(outcome: str, error: str = "") -> None:
        with contextlib.suppress(OSError):  # a full disk must not hide what filled it
            opened.append("ended", outcome=outcome, error=error)

    name = refer(opened.folder)
    try:
        yield
    except KeyboardInterrupt:
        end("interrupted")
        raise Interrupted("interrupted", f"launcher resume {name} goes on") from None
    except Detached:
        end("detached")
        raise
    except LauncherError as error:
        end("failed", str(error))
        raise
    except OSError as error:
        end("failed", str(error))
        raise JobFailed(describe(error), f"launcher resume {name} goes on from there") from error
    except BaseException as error:
        end("failed", repr(error))
        raise
    end("done")
