"""No machine outlives its job: a lease opens before the request for a machine, and closes with the
proof that the machine is deleted."""

import contextlib
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from launcher import errors, interrupts, state
from launcher.errors import CloudRefused, Detached, JobFailed, MachineNotDeleted, NoCapacity
from launcher.jobs import ledger as ledgers
from launcher.jobs.context import JobContext
from launcher.jobs.events import MachineDeleted, MachineDeleting, MachineReady, MachineRequested
from launcher.jobs.job import Job
from launcher.jobs.ledger import Ledger, refer
from launcher.jobs.states import LeaseState, Outcome
from launcher.machines.base import SSH_KEY, Backend, Machine, MachineInfo, MachineSpec

ANSWER_SECONDS = 300  # after which a request for a machine is no longer under way
LEAST_SECONDS = 60  # a machine with less time left cannot do anything useful


@contextlib.contextmanager
def leased_machine(context: JobContext) -> Iterator[Machine]:
    """The job's machine, the one that it has or a new one; deleted on every way out of the block
    except Detached. The request is in the ledger before it is sent, so `resume` and `reap` find
    the machine also if the launcher is killed."""
    ledger, backend = context.ledger, context.backend
    try:
        machine = _connect(ledger, backend) or _create(ledger, backend)
        with contextlib.closing(machine):
            yield machine
    except Detached:
        raise
    except KeyboardInterrupt:
        try:
            context.screen.say("deleting the machine; Ctrl-C again leaves that to launcher reap")
        finally:  # also if the terminal is gone
            delete_machine(ledger, backend, insisted=True)
        raise
    except BaseException:
        delete_machine(ledger, backend)
        raise
    delete_machine(ledger, backend)


def spec_of(ledger: Ledger) -> MachineSpec:
    """The request for the job's present machine."""
    job = ledger.job
    labels = {"job": job.name, "uid": job.uid, "owner": state.owner()}
    folder = ledger.folder.resolve()
    return MachineSpec(job.machine, job.zone, job.request_id, labels, folder, job.machine_bound)


def _connect(ledger: Ledger, backend: Backend) -> Machine | None:
    """The machine that the job has, None where it has none any more."""
    job, spec = ledger.job, spec_of(ledger)
    # A launcher that died before the answer came may have a request still under way: the same
    # request sent again finds it.
    recent = time.time() < job.requested_at + ANSWER_SECONDS
    unanswered = job.lease == LeaseState.REQUESTED and recent
    find = backend.create if unanswered else backend.connect
    with contextlib.suppress(NoCapacity):
        usable = job.lease in (LeaseState.REQUESTED, LeaseState.ACTIVE)
        if usable and (machine := find(spec)):
            ledger.add(MachineReady())
            return machine
    delete_machine(ledger, backend)  # a deletion was cut short, or the machine ended by itself
    return None


def _create(ledger: Ledger, backend: Backend) -> Machine:
    """A new machine, in the first zone that has one."""
    planned = ledger.job.plan.machine.zones
    zones, refusal = planned, None
    while zones:
        spec = _request(ledger, zones[0])
        try:
            machine = backend.create(spec)
        except NoCapacity as error:
            delete_machine(ledger, backend)  # it may have existed for a moment
            zones, refusal = _other_zones(zones, error), error
        else:
            ledger.add(MachineReady())
            return machine
    raise CloudRefused(
        f"no zone has a machine free: {', '.join(planned)}; the last answer: {refusal}",
        (refusal and refusal.hint) or "try again later, or add zones to gce.zones",
    )


def _other_zones(zones: list[str], refusal: NoCapacity) -> list[str]:
    """The zones that are left: first those that the refusal itself names."""
    left = [z for z in zones[1:] if not (refusal.region and z.startswith(f"{refusal.region}-"))]
    return sorted(left, key=lambda zone: zone not in refusal.elsewhere)


def _request(ledger: Ledger, zone: str) -> MachineSpec:
    """Open a lease in the ledger: the request that is sent next."""
    job = ledger.job
    number = job.machines + 1
    seconds = seconds_left(job)
    if job.machines and seconds < LEAST_SECONDS:
        raise JobFailed(
            f"the plan's machine time, {job.plan.max_run_seconds / 60:g} min, is used up",
            f"launcher resume {refer(ledger.folder)} --add-minutes N adds more",
        )
    name = f"{job.name}-{job.uid}" + (f"-{number}" if number > 1 else "")
    ledger.add(MachineRequested(name, zone, str(uuid.uuid4()), int(seconds)))
    return spec_of(ledger)


def seconds_left(job: Job) -> float:
    """How long another machine may run: if time costs money, all machines share the plan's."""
    used = job.machine_seconds_used(time.time()) if job.plan.machine.metered else 0.0
    return job.plan.max_run_seconds - used


def delete_machine(ledger: Ledger, backend: Backend, insisted: bool = False) -> None:
    """Delete the job's machine, prove that it is gone, and close the lease, if one is open. A
    Ctrl-C waits for the end of it; a second one, or with `insisted` the first, does not. Raises
    MachineNotDeleted."""
    job = ledger.job
    if not job.lease_open:
        return
    with interrupts.deferred(insisted):
        with contextlib.suppress(OSError):  # a full disk must not keep the machine
            ledger.add(MachineDeleting())
        try:
            proof = backend.delete(job.machine, job.zone)
        except MachineNotDeleted:
            raise
        except Exception as error:  # after any error the machine may still exist
            raise MachineNotDeleted(
                f"machine {job.machine} could not be deleted: {error}",
                "launcher reap tries again; launcher status shows what still exists",
            ) from error
        ledger.add(MachineDeleted(proof))
        for name in (SSH_KEY, f"{SSH_KEY}.pub"):
            (ledger.folder / name).unlink(missing_ok=True)


def reap(backend: Backend, everybody: bool = False) -> tuple[list[MachineInfo], list[str]]:
    """Delete every machine that no living job owns: (those deleted, a sentence per failure).

    A job lives while a launcher holds its ledger, and while its machine works detached. Machines
    of other users and computers stay unless `everybody`: their ledgers are not here.
    """
    reaped, failures = [], []
    for machine in backend.list_machines():
        try:
            if is_owned(machine) or not (everybody or is_ours(machine)):
                continue
            _reap_one(machine, backend)
            reaped.append(machine)
        except (errors.LauncherError, OSError) as error:
            failures.append(f"{machine.name}: {error}")
    return reaped, failures


def is_ours(machine: MachineInfo) -> bool:
    """Whether this user created it from this computer."""
    return machine.labels.get("owner") == state.owner()


def is_owned(machine: MachineInfo) -> bool:
    """Whether a living job, with its ledger on this computer, needs it."""
    folder = Path(machine.folder or "/nowhere")
    if ledgers.is_alive(folder):
        return True
    job = ledgers.read(folder)
    return job is not None and runs_detached(job) and job.machine == machine.name


def runs_detached(job: Job) -> bool:
    """Whether the job was detached, and its machine may still work."""
    return job.outcome == Outcome.DETACHED and time.time() < job.ends


def _reap_one(machine: MachineInfo, backend: Backend) -> None:
    try:
        ledger = Ledger.open(Path(machine.folder or "/nowhere"))
    except OSError:  # the ledger is lost, but the machine must be deleted
        backend.delete(machine.name, machine.zone)
        return
    with ledger:
        job = ledger.job
        if job.lease_open and job.machine == machine.name:
            delete_machine(ledger, backend)
        else:
            backend.delete(machine.name, machine.zone)
