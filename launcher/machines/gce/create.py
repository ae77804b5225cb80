"""From an order to a machine that runs: make it, take it up again, start it again."""

import time
import uuid
from datetime import UTC, datetime

from launcher import interrupts
from launcher.errors import CloudRefused, MachineLost
from launcher.machines.base import MachineSpec
from launcher.machines.gce import api_errors, request
from launcher.machines.gce.api_errors import Exists, Where
from launcher.machines.gce.client import Client

MAKING = ("PENDING", "PROVISIONING", "STAGING", "REPAIRING")
GOING = ("PENDING_STOP", "STOPPING", "SUSPENDING", "DEPROVISIONING")
STOPPED = ("TERMINATED", "STOPPED")
SERIAL = "gcloud compute instances get-serial-port-output {} --zone={} --project={}"


def make(client: Client, spec: MachineSpec, body: dict) -> None:
    """Have the machine made; one that was made for this order before is taken up. Raises NoCapacity,
    CloudRefused, and MachineLost where Compute Engine does not come to an end with it."""
    try:
        # Interrupted amid the request, we would look for the machine before it is made.
        with interrupts.deferred():
            operation = client.insert(spec.zone, body, spec.request_id)
    except Exists:
        machine = client.instance(spec.zone, spec.name)
        if machine is not None and not is_ours(machine, spec):
            raise CloudRefused(
                f"{spec.zone} has a machine {spec.name} that this job did not make",
                f"gcloud compute instances describe {spec.name} --zone={spec.zone}",
            ) from None
        settle(client, spec)
    else:
        _complete(client, spec, operation, "made")


def is_ours(machine: dict, spec: MachineSpec) -> bool:
    """Whether this is the order's machine, and not a stranger of the same name."""
    labels = machine.get("labels", {})
    return labels.get("managed-by") == request.MANAGED_BY and all(
        labels.get(key) == spec.labels.get(key, "") for key in ("job", "uid")
    )


def insert_under_way(client: Client, name: str, zone: str) -> dict | None:
    """The operation that is still making a machine, None where there is none."""
    unfinished = (o for o in client.operations(zone, name) if o.get("status") != "DONE")
    return next((o for o in unfinished if o.get("operationType") == "insert"), None)


def settle(client: Client, spec: MachineSpec) -> dict | None:
    """The machine once it neither comes nor goes, None where it does not exist or is going for
    longer than timeouts.stopping. Raises MachineLost where it does not come in timeouts.insert."""
    started = time.monotonic()
    while True:
        machine = client.instance(spec.zone, spec.name)
        if machine is None:
            making = insert_under_way(client, spec.name, spec.zone)
            if making is not None:
                if api_errors.of_operation(_finished(client, spec, making, "made")):
                    return None
            elif client.instance(spec.zone, spec.name) is None:  # nor did it come meanwhile
                return None
            continue
        if not is_ours(machine, spec):
            return None
        waited, status = time.monotonic() - started, machine.get("status", "")
        if status in GOING and waited > client.timeouts.stopping:
            return None
        if status in MAKING and waited > client.timeouts.insert:
            raise _too_slow(client, spec, "made")
        if status not in MAKING + GOING:
            return machine
        time.sleep(client.timeouts.poll)


def start_again(
    client: Client, spec: MachineSpec, machine: dict, user: str, public_key: str
) -> None:
    """Start a machine that powered itself off, and let our key in for as long as it may live."""
    metadata = machine.get("metadata", {})
    expires = request.key_end(datetime.now(UTC), spec.max_run_seconds)
    renewed = {"key": "ssh-keys", "value": request.ssh_key(user, public_key, expires)}
    others = [item for item in metadata.get("items", []) if item["key"] != "ssh-keys"]
    body = {"fingerprint": metadata.get("fingerprint", ""), "items": [*others, renewed]}
    operation = client.set_metadata(spec.zone, spec.name, body, str(uuid.uuid4()))
    _complete(client, spec, operation, "given its key")
    operation = client.start(spec.zone, spec.name, str(uuid.uuid4()))
    _complete(client, spec, operation, "started")


def _complete(client: Client, spec: MachineSpec, operation: dict, what: str) -> None:
    fault = api_errors.of_operation(_finished(client, spec, operation, what))
    if fault:
        raise api_errors.refusal(fault, Where(client.project, spec.zone, spec.name))


def _finished(client: Client, spec: MachineSpec, operation: dict, what: str) -> dict:
    try:
        return client.finish(spec.zone, operation, client.timeouts.insert)
    except TimeoutError:
        raise _too_slow(client, spec, what) from None


def _too_slow(client: Client, spec: MachineSpec, what: str) -> MachineLost:
    return MachineLost(
        f"{spec.name} was not {what} in {spec.zone} within {client.timeouts.insert:g} s",
        api_errors.STATUS_PAGE,
    )
