"""A machine's end: brought about and proven, or found out afterwards."""

import contextlib
import time
import uuid
from datetime import UTC, datetime

from launcher.errors import CloudRefused, ConfigError, MachineNotDeleted
from launcher.machines.base import MachineSpec
from launcher.machines.gce import api_errors, request
from launcher.machines.gce.api_errors import Unavailable, Where
from launcher.machines.gce.client import Client
from launcher.machines.gce.create import MAKING, insert_under_way

HOPELESS = 5  # tries where the cloud says no rather than nothing

# What Compute Engine did by itself, as the types of its operations have it.
CAUSES = {
    "compute.instances.preempted": "was taken away by Compute Engine, as spot machines may be",
    "compute.instances.hostError": "was lost with the computer that it ran on",
    "compute.instances.terminateOnHostMaintenance": "was ended for maintenance of its host",
    "compute.instances.guestTerminate": "powered itself off",
    "stop": "was stopped",
}


def delete(client: Client, name: str, zone: str) -> str:
    """Delete a machine and its disk; the proof that both are gone, one sentence.

    A deletion that fails is tried again until timeouts.delete are over. Raises MachineNotDeleted then.
    """
    deadline = time.monotonic() + client.timeouts.delete
    pause, refused = client.timeouts.poll, 0
    while True:
        try:
            return _delete_once(client, name, zone, deadline)
        except (CloudRefused, ConfigError, TimeoutError) as error:
            refused += isinstance(error, CloudRefused | ConfigError) and not isinstance(
                error, Unavailable
            )
            if refused >= HOPELESS or time.monotonic() + pause > deadline:
                raise _owed(client, name, zone, error) from error
        time.sleep(pause)
        pause = min(2 * pause, 15.0)


def termination_reason(client: Client, spec: MachineSpec) -> str:
    """How the order's machine came to its end, one sentence; "" while it runs, and where Compute
    Engine cannot be asked: an outage of our own network ends nobody's machine."""
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
            return f"{spec.name} {_ended(spec, operations, operation)} at {at}"
    if machine is not None:
        return f"{spec.name} is {machine.get('status', 'in no known state').lower()}"
    return f"{spec.name} is gone from {spec.zone}, and Compute Engine does not say why"


def _delete_once(client: Client, name: str, zone: str, deadline: float) -> str:
    machine = client.instance(zone, name)
    if machine is None or machine.get("status") in MAKING:
        _await_insert(client, name, zone, known=machine is not None)
        machine = client.instance(zone, name)
    if machine is not None and not _made_by_us(machine, name):
        return f"{name} in {zone} is somebody else's and was left alone; ours does not exist"
    if machine is not None:
        _carry_out(client, zone, name, client.delete(zone, name, str(uuid.uuid4())), deadline)
        if client.instance(zone, name) is not None:
            raise Unavailable(f"{name} was deleted and is there all the same")
    disk = client.disk(zone, name)
    if disk is not None and _made_by_us(disk, name):
        _carry_out(client, zone, name, client.delete_disk(zone, name, str(uuid.uuid4())), deadline)
        if client.disk(zone, name) is not None:
            raise Unavailable(f"the disk {name} was deleted and is there all the same")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{name} was looked for in {zone} and not found (404) at {now}, nor was its disk"


def _carry_out(
    client: Client, zone: str, name: str, operation: dict | None, deadline: float
) -> None:
    if operation is None:  # it was gone before we asked
        return
    left = max(1.0, deadline - time.monotonic())
    fault = api_errors.of_operation(client.finish(zone, operation, left))
    if fault:
        raise api_errors.refusal(fault, Where(client.project, zone, name))


def _await_insert(client: Client, name: str, zone: str, known: bool) -> None:
    """What is still being made can appear after it was looked for. One that hangs is deleted all
    the same if the machine is there; else there is no proof."""
    making = insert_under_way(client, name, zone)
    if making is not None:
        with contextlib.suppress(*([TimeoutError] if known else [])):
            client.finish(zone, making, client.timeouts.unborn)


def _made_by_us(thing: dict, name: str) -> bool:
    labels = thing.get("labels", {})
    return labels.get("managed-by") == request.MANAGED_BY and name.startswith(
        f"{labels.get('job')}-{labels.get('uid')}"
    )


def _owed(client: Client, name: str, zone: str, error: Exception) -> MachineNotDeleted:
    hint = f"gcloud compute instances delete {name} --zone={zone} --project={client.project}"
    mend = getattr(error, "hint", "")
    return MachineNotDeleted(
        f"machine {name} in {zone} could not be given back: {error}",
        f"launcher reap tries again, by hand: {hint}" + (f"; first: {mend}" if mend else ""),
    )


def _ended(spec: MachineSpec, operations: list[dict], operation: dict) -> str:
    """By whom; or that it was its time, which shows only in how long it lived."""
    made = next((o for o in operations if o.get("operationType") == "insert"), {})
    lived = _epoch(operation) - _epoch(made) if made else 0.0
    if "max_run_duration" in operation["operationType"] or lived >= spec.max_run_seconds:
        return f"deleted itself after its {spec.max_run_seconds / 60:g} minutes"
    kind = operation["operationType"]
    how = "deleted" if kind == "delete" else f"ended ({kind})"
    return f"was {how} by {operation.get('user', 'somebody')}"


def _epoch(operation: dict) -> float:
    text = operation.get("insertTime", "")
    return datetime.fromisoformat(text).timestamp() if text else 0.0
