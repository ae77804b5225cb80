"""The folders of jobs on this computer's disk: find one, list them, name a new one."""

import os
import re
import secrets
from pathlib import Path

from launcher.errors import UsageError
from launcher.jobs import ledger
from launcher.jobs.events import Created
from launcher.jobs.ledger import RUNS, Ledger
from launcher.jobs.plan import Plan


def find(name: str) -> Path:
    """The folder of a job, by its name below runs/ or by its path. Raises UsageError."""
    for folder in (RUNS / name, Path(name)):
        if ledger.read(folder):
            return folder
    known = ", ".join(folder.name for folder in all_jobs()) or "none"
    raise UsageError(f"there is no job {name!r}", f"jobs in {RUNS}/: {known}")


def all_jobs() -> list[Path]:
    """The folders of all jobs below runs/, oldest first."""
    folders = [path.parent for path in RUNS.glob(f"[!.]*/{ledger.FILE}")]
    return sorted(folders, key=lambda folder: folder.stat().st_ctime)


def next_name(config_name: str) -> str:
    """The name of the next job of a config: quickstart-1, quickstart-2, …"""
    names = [path.name for path in RUNS.glob(f"{config_name}-*")]
    found = [re.fullmatch(rf"{config_name}-(\d+)", name) for name in names]
    return f"{config_name}-{1 + max((int(match[1]) for match in found if match), default=0)}"


def create(plan: Plan, folder: Path) -> Ledger:
    """Begin the ledger of a new job. Raises FileExistsError where `folder` exists, UsageError
    where it cannot be created."""
    try:
        return Ledger.create(folder, Created(plan, uid=secrets.token_hex(4), pid=os.getpid()))
    except FileExistsError:
        raise
    except OSError as error:
        what = f"{folder} cannot be created: {error.strerror or error}"
        raise UsageError(what, "name another folder with --out") from error
