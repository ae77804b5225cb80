"""No machine outlives its job: a lease opens before the request for a machine, and closes with the
proof that the machine is deleted."""

import contextlib
import time
import uuid
from collections.abc import Iterator

from launcher import interrupts, state
from launcher.console import Screen
from launcher.errors import (
    CloudRefused,
    ConfigError,
    Detached,
    JobFailed,
    MachineKept,
    MachineNotDeleted,
    NoCapacity,
    Unavailable,
)
from launcher.jobs.context import JobContext
from launcher.jobs.events import (
    MachineDeleted,
    MachineDeleting,
    MachineReady,
    MachineRefused,
    MachineRequested,
)
from launcher.jobs.job import Job
from launcher.jobs.ledger import Ledger, refer
from launcher.jobs.states import LeaseState
from launcher.machines.base import LEAST_SECONDS, SSH_KEY, Backend, Machine, MachineSpec

ANSWER_SECONDS = 300  # after which a request for a machine is no longer under way


@contextlib.contextmanager
def leased_machine(context: JobContext) -> Iterator[Machine]:
    """The job's machine, the one that it has or a new one; deleted on every way out of the block
    except Detached and MachineKept. The request is in the ledger before it is sent, so `resume` and
    `reap` find the machine also if the launcher is killed."""
    ledger, backend = context.ledger, context.backend
    try:
        machine = _connect(ledger, backend) or _create(ledger, backend)
        with contextlib.closing(machine):
            yield machine
    except (Detached, MachineKept):
        raise
    except KeyboardInterrupt:
        delete_after_interrupt(ledger, backend, context.screen)
        raise
    except BaseException:
        delete_machine(ledger, backend)
        raise
    delete_machine(ledger, backend)


def delete_after_interrupt(ledger: Ledger, backend: Backend, screen: Screen) -> None:
    """Delete the job's machine, if it has one; another Ctrl-C leaves that to `reap`."""
    try:
        if ledger.job.lease_open:
            screen.say("deleting the machine; Ctrl-C again leaves that to launcher reap")
    finally:  # also if the terminal is gone
        delete_machine(ledger, backend, cut_by=1)


def spec_of(ledger: Ledger) -> MachineSpec:
    """The request for the job's present machine."""
    job = ledger.job
    labels = {"job": job.name, "uid": job.uid, "owner": state.owner()}
    folder = ledger.folder.resolve()
    seconds = max(job.machine_bound, int(job.plan.max_run_seconds - job.machine_seconds))
    return MachineSpec(job.machine, job.zone, job.request_id, labels, folder, seconds)


def _connect(ledger: Ledger, backend: Backend) -> Machine | None:
    """The machine that the job has, None where it has none any more."""
    job, spec = ledger.job, spec_of(ledger)
    # A launcher that died before the answer came may have a request still under way: the same
    # request sent again finds it.
    recent = time.time() < job.requested_at + ANSWER_SECONDS
    unanswered = recent and job.unanswered_since
    find = backend.create if unanswered else backend.connect
    with contextlib.suppress(NoCapacity):
        usable = job.lease in (LeaseState.REQUESTED, LeaseState.ACTIVE)
        if usable and (machine := find(spec)):
            _note_ready(ledger, machine)
            return machine
    delete_machine(ledger, backend)  # a deletion was cut short, or the machine ended by itself
    return None


def _create(ledger: Ledger, backend: Backend) -> Machine:
    """A new machine, in the first zone that has one."""
    zones = planned = ledger.job.plan.machine.zones
    tried: list[str] = []
    refusals: dict[str, str] = {}  # sentence → hint
    while zones:
        spec = _request(ledger, zones[0])
        try:
            with _refusal_noted(ledger):
                machine = backend.create(spec)
        except NoCapacity as error:
            delete_machine(ledger, backend)  # it may have existed for a moment
            refusals[str(error)] = error.hint
            once_more = error.again and zones[0] not in tried
            tried.append(zones[0])
            zones = zones if once_more else _other_zones(zones, error)
        else:
            _note_ready(ledger, machine)
            return machine
    raise CloudRefused(
        f"no zone has a machine free: {', '.join(planned)}; {'; '.join(refusals)}",
        "; ".join(dict.fromkeys(filter(None, refusals.values())))
        or "try again later, or add zones to gce.zones",
    )


@contextlib.contextmanager
def _refusal_noted(ledger: Ledger) -> Iterator[None]:
    """Note that the cloud answered and creates no machine, so that no answer is awaited; also where
    a Ctrl-C waited for that answer."""
    try:
        yield
    except BaseException as error:
        refusal = error.__cause__ if isinstance(error, KeyboardInterrupt) else error
        answered = isinstance(refusal, CloudRefused | ConfigError)
        if answered and not isinstance(refusal, Unavailable):
            ledger.add(MachineRefused(str(refusal)))
        raise


def _note_ready(ledger: Ledger, machine: Machine) -> None:
    time_left = machine.uptime
    ledger.add(MachineReady(time_left.ran, time_left.left) if time_left else MachineReady())


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


def delete_machine(ledger: Ledger, backend: Backend, cut_by: int = 2) -> None:
    """Delete the job's machine, prove that it is gone, and close the lease, if one is open. A
    Ctrl-C waits for the end of it; the `cut_by`th does not. Raises MachineNotDeleted."""
    job = ledger.job
    if not job.lease_open:
        return
    with interrupts.deferred(cut_by):
        with contextlib.suppress(OSError):  # a full disk must not keep the machine
            ledger.add(MachineDeleting())
        try:
            proof = backend.delete(job.machine, job.zone, bool(job.unanswered_since))
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
