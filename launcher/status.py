"""Looking at jobs without touching them: no lock is taken, nothing is written."""

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from launcher.errors import LauncherError
from launcher.jobs import control, lease, ledger, report
from launcher.jobs import job as jobs
from launcher.jobs.job import Job
from launcher.jobs.remote_training import LOG
from launcher.machines import cost
from launcher.machines.base import Rental

POLL_SECONDS = 0.3


def one(folder: Path) -> dict:
    """The state of one job as plain JSON values."""
    job = jobs.fold(ledger.read(folder))
    shown = asdict(job) | {"done": sorted(job.done), "alive": ledger.is_alive(folder)}
    seconds = job.seconds_rented(time.time())
    usd = cost.usd(job.plan.get("usd_per_hour", 0.0), seconds)
    return {"folder": str(folder), **shown, "owes": job.owes, "cost_usd": usd}


def everything(project: str = "") -> dict:
    """Every job below runs/ and every machine of the launcher, here and in the cloud; `unseen`
    are the refusals of those projects and records that could not be looked into."""
    machines, unseen = [], []
    for backend in control.everywhere(project):
        try:
            machines += [_machine(rental) for rental in backend.rentals()]
        except LauncherError as error:  # the jobs here can be shown all the same
            unseen.append(error.to_json())
    jobs_here = []
    for folder in control.all_jobs():
        try:
            jobs_here.append(one(folder))
        except LauncherError as error:  # its record is damaged
            unseen.append(error.to_json())
    return {"jobs": jobs_here, "machines": machines, "unseen": unseen}


def text(shown: dict) -> str:
    """Either of the above for people."""
    if "jobs" not in shown:
        return _detail(shown)
    lines = [_line(job) for job in shown["jobs"]] or ["no jobs in runs/"]
    for found in shown["machines"]:
        lines.append(_machine_line(found))
    for refusal in shown["unseen"]:
        lines.append(f"not seen: {refusal['error']}")
        lines += [f"hint: {refusal['hint']}"] if refusal["hint"] else []
    if not shown["machines"] and not shown["unseen"]:
        lines.append("Nothing is still being paid for.")
    return "\n".join(lines)


def log(folder: Path, follow: bool) -> Iterator[bytes]:
    """The bytes of a job's log; with `follow`, until no launcher is at work on the job."""
    offset = 0
    while True:
        alive = follow and ledger.is_alive(folder)  # asked first: what it wrote last is read too
        path = folder / LOG
        if path.exists():
            with path.open("rb") as file:
                file.seek(offset)
                chunk = file.read()
            offset += len(chunk)
            yield chunk
        if not alive:
            return
        time.sleep(POLL_SECONDS)


def _machine(rental: Rental) -> dict:
    now = time.time()
    age = now - rental.created
    return {
        "name": rental.name,
        "place": rental.place,
        "state": rental.state,
        "folder": rental.folder,
        "ours": lease.is_ours(rental),
        "owned": lease.is_owned(rental),
        "age_seconds": round(age),
        "ends_in_seconds": round(rental.ends - now) if rental.ends else None,
        "cost_usd": cost.usd(rental.usd_per_hour, age),
    }


def _machine_line(shown: dict) -> str:
    where = f" in {shown['place']}" if shown["place"] else ""
    parts = [f"machine {shown['name']}{where}", shown["state"], f"{shown['age_seconds']} s old"]
    parts += [f"{cost.dollars(shown['cost_usd'])} so far"] if shown["place"] else []
    parts += [f"ends by itself in {shown['ends_in_seconds']} s"] if shown["ends_in_seconds"] else []
    parts += ["a job needs it" if shown["owned"] else "no job needs it: launcher reap"]
    parts += [] if shown["ours"] else ["ordered from another computer"]
    return ", ".join([*parts, f"of {shown['folder'] or 'a job unknown'}"])


def _line(shown: dict) -> str:
    owed = f", machine {shown['machine']} still there" if shown["owes"] else ""
    return f"{shown['name']:24} {_state(shown):12} {shown['phase']}{owed}"


def _detail(shown: dict) -> str:
    job = Job(**{key: shown[key] for key in Job.__dataclass_fields__})
    lines = [
        f"{shown['name']} ({', '.join(shown['plan'].get('wanted_words', []))}): {_state(shown)}",
        f"  phase   {shown['phase']}",
        f"  folder  {shown['folder']}",
        f"  cost    {cost.dollars(shown['cost_usd'])} so far",
    ]
    lines += [f"  {phase:9} {spent:.1f} s" for phase, spent in shown["phase_seconds"].items()]
    lines += [f"  error   {shown['error']}"] if shown["error"] else []
    return "\n".join([*lines, report.paying(job, shown["alive"])])


def _state(shown: dict) -> str:
    if shown["outcome"] != "unfinished":
        return shown["outcome"]
    return "running" if shown["alive"] else "stopped"
