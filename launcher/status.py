"""Looking at jobs without touching them: no lock is taken, nothing is written."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from launcher.errors import LauncherError
from launcher.jobs import folders, inventory, ledger, report
from launcher.jobs.inventory import Found
from launcher.jobs.job import Job
from launcher.jobs.remote_training import LOG
from launcher.jobs.states import Outcome
from launcher.machines import cost

POLL_SECONDS = 0.3
CHUNK = 1 << 16  # bytes of a log read at once


def one(folder: Path) -> dict[str, Any]:
    """The state of one job as plain JSON values."""
    return _job(folder, ledger.read(folder) or Job())


def everything(project: str = "") -> dict[str, Any]:
    """Every job below runs/ and every machine of the launcher, here and in the cloud; `unseen` are
    the errors of what could not be looked at."""
    found = inventory.look(project)
    return {
        "jobs": [_job(folder, job) for folder, job in found.jobs.items()],
        "machines": [_machine(each) for each in found.machines],
        "looked_at": found.places,
        "unseen": [error.to_json() for error in found.unseen],
        "paying": found.verdict(),
    }


def open_leases(arguments: list[str]) -> list[str]:
    """What is still being paid for, of the jobs in runs/ and those in `arguments`, as their ledgers
    say it; no other place is looked at."""
    lines = []
    for folder in dict.fromkeys([*folders.all_jobs(), *map(Path, arguments)]):
        with contextlib.suppress(LauncherError, OSError):
            if (shown := one(folder))["lease_open"]:
                lines.append(f"{shown['name']}: {shown['paying']}")
    return lines or ["no job in runs/ has a machine; launcher status looks everywhere"]


def text(shown: dict[str, Any]) -> str:
    """Either of the above for people."""
    if "jobs" not in shown:
        return _detail(shown)
    lines = [_line(job) for job in shown["jobs"]] or ["no jobs in runs/"]
    for found in shown["machines"]:
        lines.append(_machine_line(found))
    for error in shown["unseen"]:
        lines.append(f"not seen: {error['error']}")
        lines += [f"hint: {error['hint']}"] if error["hint"] else []
    return "\n".join([*lines, shown["paying"]])


def log(folder: Path, follow: bool) -> Iterator[bytes]:
    """The bytes of a job's log; with `follow`, until no launcher works on the job."""
    offset = 0
    while True:
        alive = follow and ledger.is_alive(folder)  # asked first: what it wrote last is read too
        path = folder / LOG
        if path.exists():
            with path.open("rb") as file:
                file.seek(offset)
                while chunk := file.read(CHUNK):
                    offset += len(chunk)
                    yield chunk
        if not alive:
            return
        time.sleep(POLL_SECONDS)


def _job(folder: Path, job: Job) -> dict[str, Any]:
    alive = ledger.is_alive(folder)
    shown = asdict(job) | {"done": sorted(job.done), "alive": alive}
    facts = {"lease_open": job.lease_open, "cost_usd": job.cost_usd(time.time())}
    return {
        "folder": str(folder),
        **shown,
        **facts,
        "paying": report.paying(job, ledger.refer(folder), alive),
    }


def _machine(found: Found) -> dict[str, Any]:
    machine = found.machine
    age = found.now - machine.created
    return {
        "name": machine.name,
        "zone": machine.zone,
        "state": machine.state,
        "folder": machine.folder,
        "owner": found.owner,
        "delete_with": found.delete_with,
        "age_seconds": round(age),
        "ends_in_seconds": round(machine.ends - found.now) if machine.ends else None,
        "cost_usd": cost.usd(machine.usd_per_hour, age),
    }


def _machine_line(shown: dict[str, Any]) -> str:
    where = f" in {shown['zone']}" if shown["zone"] else ""
    parts = [f"machine {shown['name']}{where}", shown["state"], f"{shown['age_seconds']} s old"]
    parts += [f"{cost.dollars(shown['cost_usd'])} so far"] if shown["zone"] else []
    ends = shown["ends_in_seconds"]
    parts += [f"deletes itself in {ends} s"] if ends else []
    parts.append(shown["owner"])
    parts += [f"{shown['delete_with']} deletes it"] if shown["delete_with"] else []
    parts += [f"job folder {shown['folder'] or 'unknown'}"]
    return ", ".join(parts).replace("\n", r"\x0a")  # what a cloud says makes no line of its own


def _line(shown: dict[str, Any]) -> str:
    what = "is at work" if shown["alive"] else "still exists"
    machine = f", machine {shown['machine']} {what}" if shown["lease_open"] else ""
    return f"{shown['name']:24} {_state(shown):12} {shown['phase']}{machine}"


def _detail(shown: dict[str, Any]) -> str:
    lines = [
        f"{shown['name']} ({', '.join(shown['plan']['wanted_words'])}): {_state(shown)}",
        f"  phase   {shown['phase']}",
        f"  folder  {shown['folder']}",
        f"  cost    {cost.dollars(shown['cost_usd'])}{' so far' if shown['lease_open'] else ''}",
    ]
    lines += [f"  {phase:9} {spent:.1f} s" for phase, spent in shown["phase_seconds"].items()]
    lines += [f"  error   {shown['error']}"] if shown["error"] else []
    return "\n".join([*lines, shown["paying"]])


def _state(shown: dict[str, Any]) -> str:
    if shown["outcome"] != Outcome.UNFINISHED:
        return str(shown["outcome"])
    return "running" if shown["alive"] else "stopped"
