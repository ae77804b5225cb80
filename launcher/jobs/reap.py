"""Delete every machine that no living job needs."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from launcher.errors import LauncherError
from launcher.jobs import control, inventory, lease, ledger
from launcher.jobs.inventory import Found, Inventory, Owner
from launcher.jobs.job import Job
from launcher.jobs.ledger import Ledger
from launcher.jobs.states import Outcome
from launcher.machines.base import Say, say_nothing

Deletion = tuple[str, Callable[[], None]]  # of a machine's name, and what deletes it


@dataclass
class Reaped:
    """What was deleted, a sentence for each machine that could not be, and what is left."""

    left: Inventory
    deleted: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def reap(
    project: str = "",
    names: Sequence[str] = (),
    everybody: bool = False,
    say: Say = say_nothing,
) -> Reaped:
    """Delete the machines that no living job needs, wherever they can be seen; with `names` these
    alone. Machines of other users and computers, whose ledgers are not here, stay unless they are
    named, or `everybody`."""
    found = inventory.look(project)
    reaped = Reaped(found)
    deletions = [*_listed(found, names, everybody), *_unlisted(found, names, say)]
    for name, delete in deletions:
        try:
            delete()
            reaped.deleted.append(name)
        except (LauncherError, OSError) as error:
            reaped.failures.append(f"{name}: {error}")
    unknown = set(names) - {name for name, _ in deletions}
    reaped.failures += [f"{name}: no such machine was seen" for name in sorted(unknown)]
    # Looked at again: what was under way before may be over by now.
    left = inventory.look(project) if reaped.deleted else found
    reaped.left = left.without(reaped.deleted)
    return reaped


def _listed(found: Inventory, names: Sequence[str], everybody: bool) -> Iterator[Deletion]:
    """Machines that exist."""
    wanted = {Owner.NOBODY, Owner.UNKNOWN} | ({Owner.ELSEWHERE} if everybody else set())
    for each in found.machines:
        name = each.machine.name
        if name in names if names else each.owner in wanted:
            yield name, partial(_delete, each)


def _unlisted(found: Inventory, names: Sequence[str], say: Say) -> Iterator[Deletion]:
    """Machines that only an open lease names: one that is gone, or that may still come."""
    listed = {each.machine.name for each in found.machines}
    for folder, job in found.jobs.items():
        chosen = job.machine in names or not names
        if not job.lease_open or job.machine in listed or not chosen or ledger.is_alive(folder):
            continue
        # It may work in a zone that did not answer, and this computer's clock may be wrong.
        at_work = found.missing or time.time() < job.ends
        if job.outcome != Outcome.DETACHED or not at_work:
            yield job.machine, partial(_close, folder, job, say)


def _delete(found: Found) -> None:
    """Delete a machine, through the ledger of its job where that is here."""
    machine = found.machine
    if found.owner in (Owner.JOB, Owner.UNKNOWN):
        raise LauncherError(f"it is not deleted: {found.owner}")
    folder = Path(machine.folder or "/nowhere")
    if (job := ledger.read(folder)) and job.lease_open and job.machine == machine.name:
        with Ledger.open(folder) as opened:
            lease.delete_machine(opened, found.backend)
    else:  # the ledger is lost, or has a newer machine
        found.backend.delete(machine.name, machine.zone)


def _close(folder: Path, job: Job, say: Say) -> None:
    """Delete the machine of a lease, and close the lease."""
    if job.unanswered_since:
        say(f"waiting for the answer to the request for {job.machine}")
    control.delete_machine(folder)
