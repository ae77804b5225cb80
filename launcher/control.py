"""Jobs on this computer's disk: begin one, find one, list them, finish one, cancel one."""

import contextlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from launcher import job as jobs
from launcher import ledger
from launcher.backends.base import Backend
from launcher.config import Config
from launcher.console import Screen
from launcher.errors import Interrupted, JobFailed, LauncherError, UsageError, describe
from launcher.ledger import Ledger

RUNS = Path("runs")
CANCEL_SECONDS = 90  # for another launcher to give its machine back


def backend_for(name: str) -> Backend:
    """The backend called `name`."""
    from launcher.backends.local import LocalBackend

    return {"local": LocalBackend}[name]()


def begin(config: Config, out: Path | None) -> Ledger:
    """Check the data, make the plan, and open the record of a new job.

    Raises ConfigError before anything is written where the job cannot work, UsageError where
    `out` exists.
    """
    from launcher import preflight

    preflight.check(config, out or RUNS)
    if out:
        return _create(config, out, f"{config.name}-1")
    while True:
        number = 1 + max(_numbers(config.name), default=0)
        name = f"{config.name}-{number}"
        # Another launcher may take the same number at this moment; then the next one is free.
        with contextlib.suppress(FileExistsError):
            return _create(config, RUNS / name, name, retry=True)


def make_plan(config: Config, name: str):
    """The plan of a job called `name`."""
    import vm_startup
    from launcher import plan

    return plan.make(config, name, str(Path(vm_startup.__file__).parent))


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


def take_up(folder: Path) -> Ledger:
    """Open the record of an unfinished job to go on with it. Raises UsageError."""
    opened = Ledger.open(folder)
    if jobs.fold(opened.records).outcome == "done":
        opened.close()
        raise UsageError(
            f"job {refer(folder)} is done", f"its firmware stands in {folder}/firmware"
        )
    opened.append("attached", pid=os.getpid())
    return opened


def finish(opened: Ledger, screen: Screen) -> dict:
    """Bring a job to its end, whatever that is, and write it down; the report if it went well."""
    from launcher.run import Work, run

    work = Work(opened, backend_for(jobs.fold(opened.records).plan["backend"]), screen)
    with _ending(opened):
        try:
            return run(work)
        finally:
            screen.close()


def cancel(folder: Path) -> jobs.Job:
    """End a job and give its machine back, also when another launcher is at work on it."""
    from launcher.machine import give_back

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
        give_back(opened, backend_for(job.plan["backend"]))
        opened.append("ended", outcome="cancelled")
        return jobs.fold(opened.records)


def request_end(folder: Path) -> None:
    """Ask the launcher at work on a job to end, if there is one. The ledger may name one that is
    long gone, and whose number another process has now: only who holds the ledger open is meant."""
    import psutil

    record = (folder / ledger.FILE).resolve()
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(jobs.fold(ledger.read(folder)).pid)
        if any(Path(file.path) == record for file in process.open_files()):
            process.terminate()


def refer(folder: Path) -> str:
    """How a user names a job on the command line."""
    return folder.name if folder.parent == RUNS else str(folder)


def _numbers(name: str) -> list[int]:
    found = (re.fullmatch(rf"{name}-(\d+)", path.name) for path in RUNS.glob(f"{name}-*"))
    return [int(match[1]) for match in found if match]


def _create(config: Config, folder: Path, name: str, retry: bool = False) -> Ledger:
    plan = make_plan(config, name).to_json()
    try:
        return Ledger.create(folder, plan=plan, uid=secrets.token_hex(4), pid=os.getpid())
    except FileExistsError:
        if retry:
            raise
        raise UsageError(f"{folder}: exists already", "name another folder with --out") from None
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be made: {error.strerror or error}", "name another folder with --out"
        ) from error


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
