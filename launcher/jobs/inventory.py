"""What exists and what is paid for, as far as it can be seen: jobs, machines, and what cannot be.

The one place that says whose a machine is.
"""

import shlex
import time
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from launcher import state
from launcher.errors import LauncherError, Unseen
from launcher.jobs import folders, ledger
from launcher.jobs.job import Job
from launcher.jobs.states import Outcome
from launcher.machines import registry
from launcher.machines.base import Backend, MachineInfo

NOTHING_PAID = "Nothing is still being paid for"


class Owner(StrEnum):
    """Who needs a machine."""

    JOB = "a job needs it"
    NOBODY = "no job needs it"
    ELSEWHERE = "created from another computer"  # where its job's ledger is
    UNKNOWN = "the ledger of its job cannot be read"


NAMED = {Owner.NOBODY: "", Owner.ELSEWHERE: " {}"}  # what `reap` must be told to delete it


@dataclass(frozen=True)
class Found:
    """A machine that exists."""

    machine: MachineInfo
    backend: Backend
    owner: Owner
    now: float  # by its backend's clock
    delete_with: str  # the command that deletes it; "" while a job needs it


@dataclass(frozen=True)
class Inventory:
    """Every machine of the launcher, and what keeps this from being all of them."""

    machines: list[Found] = field(default_factory=list)
    places: list[str] = field(default_factory=list)  # that were looked at
    jobs: dict[Path, Job] = field(default_factory=dict)  # those in runs/, by their folders
    missing: list[LauncherError] = field(default_factory=list)  # places and ledgers without answer
    unproved: dict[str, Unseen] = field(default_factory=dict)  # machines of leases, in no list

    @property
    def unseen(self) -> list[LauncherError]:
        """Everything that could not be seen."""
        return [*self.missing, *self.unproved.values()]

    def without(self, deleted: list[str]) -> "Inventory":
        """What is left once the machines of these names are proved to be gone."""
        machines = [found for found in self.machines if found.machine.name not in deleted]
        unproved = {name: why for name, why in self.unproved.items() if name not in deleted}
        return replace(self, machines=machines, unproved=unproved)

    def verdict(self) -> str:
        """What is still being paid for, as the last line of a command."""
        paid = [found.machine for found in self.machines if found.machine.zone]
        unseen = f"{len(self.unseen)} of the places and jobs above could not be seen"
        if paid:
            names = ", ".join(f"{machine.name} in {machine.zone}" for machine in paid)
            return f"Still being paid for: {names}" + (f"; {unseen}" if self.unseen else "")
        if self.unseen:
            return f"Whether anything is still being paid for is not known: {unseen}"
        return f"{NOTHING_PAID}: looked at {' and '.join(self.places)}"


def look(project: str = "") -> Inventory:
    """Look at every place where this user may have machines, and at the jobs in runs/."""
    backends, blind = registry.everywhere(project)
    found = Inventory(missing=[*blind])
    for folder in folders.all_jobs():
        try:
            found.jobs[folder] = ledger.read(folder) or Job()
        except LauncherError as error:
            found.missing.append(error)
    leases = {folder: job for folder, job in found.jobs.items() if job.lease_open}
    # A job in runs/ names a project also where this computer's memory of it is lost.
    backends += [registry.for_plan(job.plan.machine) for job in leases.values()]
    places: dict[str, Backend] = {}
    for backend in backends:
        places.setdefault(backend.place, backend)
    for place, backend in places.items():
        _look_at(place, backend, found, f" --project {shlex.quote(project)}" if project else "")
    listed = {each.machine.name for each in found.machines}
    for folder in leases:
        found.jobs[folder] = job = ledger.read(folder) or Job()  # the lease may be closed by now
        if job.lease_open and job.plan.machine.metered and job.machine not in listed:
            found.unproved[job.machine] = _unproved(folder, job)
    return found


def owner_of(machine: MachineInfo, now: float) -> Owner:
    """Who needs a machine, at the time `now` of its backend's clock. A job needs the machine of its
    present lease, while a launcher works on it, and while that machine works detached."""
    folder = Path(machine.folder or "/nowhere")
    alive = ledger.is_alive(folder)
    try:
        job = ledger.read(folder) or Job()
    except LauncherError:
        return Owner.JOB if alive else Owner.UNKNOWN
    if job.machine == machine.name:
        # The cloud's own times: this computer's clock may be wrong.
        ends = machine.ends or machine.created + job.machine_bound
        detached = job.outcome == Outcome.DETACHED and now < ends
        return Owner.JOB if alive or detached else Owner.NOBODY
    ours = machine.labels.get("owner") == state.owner()
    return Owner.NOBODY if ours else Owner.ELSEWHERE


def _look_at(place: str, backend: Backend, found: Inventory, option: str) -> None:
    """Add what `backend` sees. `option` stands in every command that looks there again."""
    try:
        listing = backend.list_machines()
    except LauncherError as error:
        found.missing.append(Unseen(f"{place}: {error}", error.hint))
        return
    found.places.append(place)
    again = f"launcher status{option} looks again"
    found.missing.extend(Unseen(f"{place}: {what}", again) for what in listing.unseen)
    for machine in listing.machines:
        owner = owner_of(machine, listing.now)
        command = (
            f"launcher reap{NAMED[owner].format(machine.name)}{option}" if owner in NAMED else ""
        )
        found.machines.append(Found(machine, backend, owner, listing.now, command))


def _unproved(folder: Path, job: Job) -> Unseen:
    """Why a machine that is in no list may still be paid for."""
    name = ledger.refer(folder)
    if ledger.is_alive(folder):
        what, hint = "is at work with", f"launcher status {name}"
    elif since := job.unanswered_since:
        ago = max(0.0, time.time() - since)
        what = f"sent a request {ago:.0f} s ago, without an answer yet, for"
        hint = "launcher reap waits for the answer, and deletes the machine"
    else:
        what, hint = "has no proof of the deletion of", f"launcher resume {name}, or launcher reap"
    return Unseen(f"job {name} {what} machine {job.machine}, which is in no list", hint)
