"""Create a machine, wait until it runs, start it again."""

import contextlib
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

from launcher import interrupts
from launcher.errors import CloudRefused, MachineKept, MachineLost, NoCapacity
from launcher.machines.base import LEAST_SECONDS, MachineSpec
from launcher.machines.gce import api_errors, labels, request, uptime
from launcher.machines.gce.api_errors import AlreadyExists, InternalError
from launcher.machines.gce.client import Client

BOOTING = ("PENDING", "PROVISIONING", "STAGING", "REPAIRING")
ENDING = ("PENDING_STOP", "STOPPING", "SUSPENDING", "DEPROVISIONING")


def create(client: Client, spec: MachineSpec, body: dict) -> None:
    """Create the machine, unless an earlier request with this spec did. Raises NoCapacity,
    CloudRefused, and MachineLost where the operation takes too long."""
    try:
        # A deletion right after an interrupted request might not find its machine yet.
        with interrupts.deferred():
            operation = client.insert(spec.zone, body, spec.request_id)
    except AlreadyExists:
        machine = client.instance(spec.zone, spec.name)
        if machine is not None and not labels.for_job_of(spec.name, machine):
            raise CloudRefused(
                f"zone {spec.zone} has a machine {spec.name} that belongs to another job",
                f"gcloud compute instances describe {spec.name} --zone={spec.zone}",
            ) from None
        wait_until_stable(client, spec)
    else:
        try:
            _complete(client, spec, operation, "created")
        except InternalError as error:
            raise NoCapacity(f"zone {spec.zone}: {error}", error.hint, again=True) from error


def inserts(client: Client, name: str, zone: str) -> list[dict]:
    """The operations that created a machine, or are creating it, newest first."""
    return [o for o in client.operations(zone, name) if o.get("operationType") == "insert"]


def unfinished(operations: list[dict]) -> dict | None:
    """The newest operation that is not done, None where all are."""
    return next((o for o in operations if o.get("status") != "DONE"), None)


def wait_until_stable(client: Client, spec: MachineSpec) -> dict | None:
    """The machine once it is neither booting nor ending; None where it does not exist, or does not
    end within timeouts.stopping. Raises MachineLost where it does not boot in timeouts.insert."""
    started = time.monotonic()
    while True:
        machine = client.instance(spec.zone, spec.name)
        if machine is None:
            insert = unfinished(inserts(client, spec.name, spec.zone))
            if insert is not None:
                with _in_time(client, spec, "created"):
                    insert = client.wait_for(spec.zone, insert, client.timeouts.insert)
                if api_errors.of_operation(insert):
                    return None
            elif client.instance(spec.zone, spec.name) is None:  # it was not created meanwhile
                return None
            continue
        if not labels.for_job_of(spec.name, machine):
            return None
        waited, status = time.monotonic() - started, machine.get("status", "")
        if status in ENDING and waited > client.timeouts.stopping:
            return None
        with _in_time(client, spec, "created"):
            if status in BOOTING and waited > client.timeouts.insert:
                raise TimeoutError
        if status not in BOOTING + ENDING:
            return machine
        time.sleep(client.timeouts.poll)


def start(client: Client, spec: MachineSpec, machine: dict, user: str, public_key: str) -> None:
    """Start a machine that powered itself off, for what is left of its time, and extend the job's
    SSH key to its new end. Raises MachineKept where it cannot start at the moment."""
    now = client.now()
    ran = uptime.ran(machine, now)
    left = int(spec.max_run_seconds - ran)
    if left < LEAST_SECONDS:
        raise MachineKept(
            f"{spec.name} is stopped with its results, and has used {ran / 60:.0f} of its "
            f"{spec.max_run_seconds / 60:.0f} minutes"
        )
    expires = request.key_expiry(datetime.fromtimestamp(now, UTC), left)
    changed = {
        "ssh-keys": request.ssh_key(user, public_key, expires),
        uptime.RAN: uptime.note(machine, ran),
    }
    items = request.metadata_of(machine) | changed
    body = {
        "fingerprint": machine.get("metadata", {}).get("fingerprint", ""),
        "items": [{"key": key, "value": value} for key, value in items.items()],
    }
    # Documented for a stopped machine; not confirmed by a request to Google.
    scheduling = machine.get("scheduling", {}) | {"maxRunDuration": {"seconds": str(left)}}
    place = (spec.zone, spec.name)
    operation = client.set_metadata(*place, body, str(uuid.uuid4()))
    _complete(client, spec, operation, "updated")
    operation = client.limit_run(*place, scheduling, str(uuid.uuid4()))
    _complete(client, spec, operation, "updated")
    try:
        operation = client.start(*place, str(uuid.uuid4()))
        _complete(client, spec, operation, "started")
    except (NoCapacity, InternalError) as error:
        what = f"{spec.name} is stopped with its results, and cannot start at the moment"
        raise MachineKept(f"{what}: {error}") from error


def _complete(client: Client, spec: MachineSpec, operation: dict, what: str) -> None:
    with _in_time(client, spec, what):
        client.complete(spec.zone, spec.name, operation, client.timeouts.insert)


@contextlib.contextmanager
def _in_time(client: Client, spec: MachineSpec, what: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise MachineLost(
            f"{spec.name} was not {what} in {spec.zone} within {client.timeouts.insert:g} s",
            api_errors.TRY_LATER,
        ) from None
