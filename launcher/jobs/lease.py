"""rent() and reap(): no machine outlives its job."""

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from launcher import interrupts, state
from launcher.errors import CloudRefused, Detached, JobFailed, LauncherError, MachineOwed, NoRoom
from launcher.jobs import job as jobs
from launcher.jobs.ledger import Ledger, is_alive, read, refer
from launcher.jobs.plan import Plan
from launcher.machines.base import Backend, Machine, Order, Rental

KEY = "ssh_key"  # the job's own, in its folder, for as long as a machine knows it
ANSWER_SECONDS = 300  # after which a request for a machine is no longer under way
LEAST_SECONDS = 60  # shorter rentals cannot do anything


@contextlib.contextmanager
def rent(
    ledger: Ledger, backend: Backend, say: Callable[[str], object] = lambda _: None
) -> Iterator[Machine]:
    """The job's machine, given back on every way out of the block but being Detached.

    The intent is on the disk before the request is made, so that whatever a killed launcher leaves
    behind is found by `resume` and `reap`. A machine that this job already has is taken up again.
    """
    try:
        machine = _take_up(ledger, backend) or _order(ledger, backend)
        with contextlib.closing(machine):
            yield machine
    except Detached:
        raise
    except KeyboardInterrupt:
        try:
            say("giving the machine back; Ctrl-C again leaves that to launcher reap")
        finally:  # whoever asked may be gone together with the screen
            give_back(ledger, backend, insisted=True)
        raise
    except BaseException:
        give_back(ledger, backend)
        raise
    give_back(ledger, backend)


def order_of(ledger: Ledger) -> Order:
    """What the job's present machine was ordered with."""
    job = jobs.fold(ledger.records)
    labels = {"job": job.name, "uid": job.uid, "owner": state.owner()}
    folder = ledger.folder.resolve()
    return Order(job.machine, job.place, job.request_id, labels, folder, job.order_seconds)


def _take_up(ledger: Ledger, backend: Backend) -> Machine | None:
    """The machine that the job has, None where it has none any more."""
    job, order = jobs.fold(ledger.records), order_of(ledger)
    # Where a launcher died before it heard an answer, asking again under the same id finds also a
    # request that is still on its way to becoming a machine.
    unanswered = job.rental == "renting" and time.time() < job.rented_at + ANSWER_SECONDS
    find = backend.create if unanswered else backend.attach
    with contextlib.suppress(NoRoom):
        if job.rental in ("renting", "rented") and (machine := find(order)):
            ledger.append("rented")
            return machine
    give_back(ledger, backend)  # a launcher died amid a deletion, or the machine ended by itself
    return None


def _order(ledger: Ledger, backend: Backend) -> Machine:
    """A new machine, in the first place that has one."""
    plan = Plan(**jobs.fold(ledger.records).plan)
    if plan.project:
        state.remember_project(plan.project, plan.access.get("impersonate", ""))
    places, refusal = plan.places, None
    while places:
        order = _intend(ledger, plan, places[0])
        try:
            machine = backend.create(order)
        except NoRoom as error:
            give_back(ledger, backend)  # it may have stood there for a moment
            places, refusal = _elsewhere(places, error), error
        else:
            ledger.append("rented")
            return machine
    raise CloudRefused(
        f"no machine was to be had in any of {', '.join(plan.places)}; the last answer: {refusal}",
        refusal.hint or "try again later, or allow more zones in gce.zones",
    )


def _elsewhere(places: list[str], refusal: NoRoom) -> list[str]:
    """The places that are left: first those that the refusal itself names."""
    left = [p for p in places[1:] if not (refusal.region and p.startswith(f"{refusal.region}-"))]
    return sorted(left, key=lambda place: place not in refusal.elsewhere)


def _intend(ledger: Ledger, plan: Plan, place: str) -> Order:
    job = jobs.fold(ledger.records)
    number = job.machines + 1
    seconds = seconds_left(job)
    if job.machines and seconds < LEAST_SECONDS:
        raise JobFailed(
            f"the machine time of the plan, {plan.max_run_seconds / 60:g} min, is used up",
            f"launcher resume {refer(ledger.folder)} --add-minutes N grants more",
        )
    name = f"{job.name}-{job.uid}" + (f"-{number}" if number > 1 else "")
    ledger.append(
        "renting",
        machine=name,
        place=place,
        request_id=str(uuid.uuid4()),
        seconds=int(seconds),
    )
    return order_of(ledger)


def seconds_left(job: jobs.Job) -> float:
    """How long another machine may run: the plan's time holds over all of them together. Time on
    this computer is on nobody's bill."""
    allowed = job.plan["max_run_seconds"]
    return allowed if job.plan["backend"] == "local" else allowed - job.seconds_rented(time.time())


def give_back(ledger: Ledger, backend: Backend, insisted: bool = False) -> None:
    """Delete the job's machine, prove that it is gone, and say so in the ledger.

    Does nothing where nothing is owed. A Ctrl-C waits for the end of it, a second one, or with
    `insisted` the first, does not. Raises MachineOwed when the machine cannot be given back.
    """
    job = jobs.fold(ledger.records)
    if not job.owes:
        return
    with interrupts.deferred(insisted):
        with contextlib.suppress(OSError):  # a full disk must not keep the machine
            ledger.append("returning")
        try:
            proof = backend.delete(job.machine, job.place)
        except MachineOwed:
            raise
        except Exception as error:  # whatever it was, the machine may still be there
            raise MachineOwed(
                f"machine {job.machine} could not be given back: {error}",
                "launcher reap tries again; launcher status shows what is owed",
            ) from error
        ledger.append("returned", proof=proof)
        for name in (KEY, f"{KEY}.pub"):
            (ledger.folder / name).unlink(missing_ok=True)


def reap(backend: Backend, everybody: bool = False) -> tuple[list[Rental], list[str]]:
    """Delete every machine that no living job owns: (those deleted, a sentence per failure).

    A job is alive while a launcher holds its ledger, wherever it was started from, and while it
    works on detached. Machines that other computers ordered are left alone unless `everybody`:
    whether their jobs live cannot be seen from here.
    """
    reaped, failures = [], []
    for rental in backend.rentals():
        try:
            if is_owned(rental) or not (everybody or is_ours(rental)):
                continue
            _reap_one(rental, backend)
            reaped.append(rental)
        except (LauncherError, OSError) as error:
            failures.append(f"{rental.name}: {error}")
    return reaped, failures


def is_ours(rental: Rental) -> bool:
    """Whether this user ordered it from this computer."""
    return rental.labels.get("owner") == state.owner()


def is_owned(rental: Rental) -> bool:
    """Whether a job that lives, as far as can be seen from here, needs it."""
    folder = Path(rental.folder or "/nowhere")
    if is_alive(folder):
        return True
    job = jobs.fold(read(folder))
    return works_alone(job) and job.machine == rental.name


def works_alone(job: jobs.Job) -> bool:
    """Whether the job was detached, and its machine may still be at work."""
    return job.outcome == "detached" and time.time() < job.ends


def _reap_one(rental: Rental, backend: Backend) -> None:
    try:
        ledger = Ledger.open(Path(rental.folder or "/nowhere"))
    except OSError:  # the job's record is lost; its machine must go all the same
        backend.delete(rental.name, rental.place)
        return
    with ledger:
        job = jobs.fold(ledger.records)
        if job.owes and job.machine == rental.name:
            give_back(ledger, backend)
        else:
            backend.delete(rental.name, rental.place)
