"""Delete a machine and prove it; say why a machine no longer exists."""

import contextlib
import time
import uuid
from datetime import UTC, datetime

from launcher.errors import CloudRefused, ConfigError, MachineNotDeleted, Unavailable
from launcher.machines.base import MachineSpec
from launcher.machines.gce import labels
from launcher.machines.gce.client import Client, epoch
from launcher.machines.gce.create import BOOTING, inserts, unfinished

MOST_REFUSALS = 5  # tries that Compute Engine may refuse; an outage may last longer

# What Compute Engine does by itself: operation types.
CAUSES = {
    "compute.instances.preempted": "was preempted by Compute Engine, as spot machines may be",
    "compute.instances.hostError": "was lost in an error of its host",
    "compute.instances.terminateOnHostMaintenance": "was stopped for maintenance of its host",
    "compute.instances.guestTerminate": "powered itself off",
    "stop": "was stopped",
}


def delete(client: Client, name: str, zone: str, unanswered: bool = False) -> str:
    """Delete a machine and its disk; the proof that both are gone, one sentence. A deletion that
    fails is tried again for timeouts.delete. Raises MachineNotDeleted after that.

    Where a request for it is `unanswered`, it may still be on its way: until its operation shows,
    or timeouts.unanswered is over, a 404 proves nothing."""
    deadline = time.monotonic() + client.timeouts.delete
    if unanswered:
        _await_request(client, name, zone)
    pause, refused = client.timeouts.poll, 0
    while True:
        try:
            return _delete_once(client, name, zone, deadline)
        except (CloudRefused, ConfigError, TimeoutError) as error:
            refused += not isinstance(error, Unavailable | TimeoutError)
            if refused >= MOST_REFUSALS or time.monotonic() + pause > deadline:
                raise _not_deleted(client, name, zone, error) from error
        time.sleep(pause)
        pause = min(2 * pause, 15.0)


def termination_reason(client: Client, spec: MachineSpec) -> str:
    """Why the machine of `spec` no longer runs, one sentence; "" while it runs, and where Compute
    Engine does not answer: an outage of our own network does not end a machine."""
    try:
        machine = client.instance(spec.zone, spec.name)
        if machine is not None and machine.get("status") == "RUNNING":
            return ""
        operations = client.operations(spec.zone, spec.name)
    except Unavailable:
        return ""
    for operation in operations:
        kind, at = operation.get("operationType", ""), operation.get("insertTime", "")
        if kind in CAUSES:
            return f"{spec.name} {CAUSES[kind]} at {at}"
        if kind == "delete" or kind.startswith("compute.instances."):
            return f"{spec.name} {_deleted(spec, operations, operation)} at {at}"
    if machine is not None:
        return f"{spec.name} is {machine.get('status', 'in no known state').lower()}"
    return f"{spec.name} no longer exists in {spec.zone}; Compute Engine does not say why"


def _delete_once(client: Client, name: str, zone: str, deadline: float) -> str:
    machine = client.instance(zone, name)
    if machine is None or machine.get("status") in BOOTING:
        _await_insert(client, name, zone, known=machine is not None)
        machine = client.instance(zone, name)
    if machine is not None and not labels.for_job_of(name, machine):
        return f"{name} in {zone} belongs to another job and was not deleted; this job has none"
    for kind in ("instance", "disk"):
        found = client.get(kind, zone, name)
        if found is None or not labels.for_job_of(name, found):
            continue
        operation = client.delete(kind, zone, name, str(uuid.uuid4()))
        if operation is not None:  # else it was gone before the request
            client.complete(zone, name, operation, max(1.0, deadline - time.monotonic()))
        if client.get(kind, zone, name) is not None:
            raise Unavailable(f"{kind} {name} still exists after its deletion")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{name} and its disk were not found (404) in {zone} at {now}"


def _await_request(client: Client, name: str, zone: str) -> None:
    """Wait from now on: by this computer's clock, which may be wrong, it may be sent long ago."""
    deadline = time.monotonic() + client.timeouts.unanswered
    while time.monotonic() < deadline:
        with contextlib.suppress(Unavailable):
            if client.instance(zone, name) is not None or inserts(client, name, zone):
                return
        time.sleep(client.timeouts.poll)


def _await_insert(client: Client, name: str, zone: str, known: bool) -> None:
    """Wait for an insert under way, whose machine could appear after a 404. Where that takes too
    long, a `known` machine can be deleted; else there is no proof: raises TimeoutError."""
    insert = unfinished(inserts(client, name, zone))
    if insert is not None:
        with contextlib.suppress(*([TimeoutError] if known else [])):
            client.wait_for(zone, insert, client.timeouts.pending_insert)


def _not_deleted(client: Client, name: str, zone: str, error: Exception) -> MachineNotDeleted:
    hint = f"gcloud compute instances delete {name} --zone={zone} --project={client.project}"
    first = getattr(error, "hint", "")
    return MachineNotDeleted(
        f"machine {name} in {zone} could not be deleted: {error}",
        f"launcher reap tries again; or by hand: {hint}" + (f"; first: {first}" if first else ""),
    )


def _deleted(spec: MachineSpec, operations: list[dict], operation: dict) -> str:
    """By whom, or by its time limit, which shows only in the machine's age."""
    kind = operation["operationType"]
    inserted = [o.get("insertTime", "") for o in operations if o.get("operationType") == "insert"]
    age = epoch(operation.get("insertTime", "")) - epoch(inserted[0]) if inserted else 0.0
    if "max_run_duration" in kind or age >= spec.max_run_seconds:
        return f"deleted itself after {spec.max_run_seconds / 60:g} minutes, its time limit"
    how = "deleted" if kind == "delete" else f"ended ({kind})"
    return f"was {how} by {operation.get('user', 'an unknown user')}"
