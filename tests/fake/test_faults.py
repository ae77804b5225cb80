"""Faults on cue: what the client sees of each, and what has or has not happened."""

import threading
import time
import uuid

import pytest
import requests
from fake_gce import FOR_EVER
from fake_gce.faults import KINDS
from google.api_core import exceptions
from google.protobuf import json_format

PROJECT, ZONE = "test-project", "us-west1-b"

REFUSALS = {  # kind: what the client raises, and the reason that it carries
    "permission": (exceptions.Forbidden, "forbidden"),
    "api_disabled": (exceptions.Forbidden, "accessNotConfigured"),
    "rate_limit": (exceptions.Forbidden, "rateLimitExceeded"),
    "quota": (exceptions.Forbidden, "quotaExceeded"),
    "unauthenticated": (exceptions.Unauthorized, "authError"),
    "not_found": (exceptions.NotFound, "notFound"),
    "internal": (exceptions.InternalServerError, "backendError"),
    "unavailable": (exceptions.ServiceUnavailable, "backendError"),
    "bad_gateway": (exceptions.BadGateway, ""),
    "drop": (requests.ConnectionError, ""),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_refused_insert_creates_no_machine(shared, connect, kind):
    """The client raises the same error as for Google's answer; the next try succeeds."""
    error, reason = REFUSALS[kind]
    client, name = connect(shared), kind.replace("_", "-")
    shared.faults.add("insert", kind, times=FOR_EVER)  # google-auth tries again after a 401
    with pytest.raises(error) as refused:
        client.insert(name)
    if kind == "permission":
        assert "Required 'compute.instances.create' permission" in str(refused.value)
    if reason:
        assert refused.value.errors[0]["reason"] == reason
    assert name not in shared.instances
    shared.faults.clear()
    client.insert(name)


LOST = {
    "lost_reply": requests.ConnectionError,
    "lost_reply_502": exceptions.BadGateway,
    "empty_body": json_format.ParseError,
    "bad_body": json_format.ParseError,
}


@pytest.mark.parametrize("kind", LOST)
def test_insert_with_a_lost_reply_is_executed(gce, client, kind):
    """The client raises, the machine is created, and the same request id finds the operation."""
    gce.faults.add("insert", kind)
    identity = str(uuid.uuid4())
    with pytest.raises(LOST[kind]):
        client.insert(request_id=identity)
    assert list(gce.instances) == ["vm-1"]
    assert client.insert(request_id=identity).operation_type == "insert"
    assert len(gce.operations) == 1


@pytest.mark.parametrize("elsewhere", ["", "us-central1-a,us-central1-f"])
def test_stockout_is_an_operation_that_fails(gce, client, elsewhere):
    """The instance is listed for a moment; the error may name zones with capacity."""
    moment = gce.faults.add("insert", "hold_operation")
    gce.faults.add("insert", "stockout", zone="us-west1-*", times=FOR_EVER, elsewhere=elsewhere)
    operation = client.insert()
    assert moment.reached.wait(10)
    assert client.get().status == "PROVISIONING"
    moment.release()
    operation = client.finish(operation)
    error = operation.error.errors[0]
    assert error.code.startswith("ZONE_RESOURCE_POOL_EXHAUSTED")
    assert operation.http_error_status_code == 503
    named = [detail.error_info.metadatas.get("zonesAvailable") for detail in error.error_details]
    assert [zones for zones in named if zones] == ([elsewhere] if elsewhere else [])
    assert (gce.instances, gce.disks) == ({}, {})
    zone = "us-central1-a"
    kind = f"zones/{zone}/machineTypes/n1-standard-8"
    assert not client.create(zone=zone, machine_type=kind).error.errors


def test_operation_may_have_an_error_while_it_runs(gce, client):
    """An operation may have an error before it is DONE, and without an HTTP status."""
    gce.faults.add("insert", "operation_error", code="RESOURCE_NOT_READY", early=5)
    operation = client.insert()
    while not operation.error.errors:
        operation = client.operations.get(project=PROJECT, zone=ZONE, operation=operation.name)
    assert operation.status.name == "RUNNING"
    gce.faults.clear()
    operation = client.finish(operation)
    assert operation.error.errors[0].code == "RESOURCE_NOT_READY"
    assert operation.http_error_status_code == 0


def test_delete_operation_fails_three_times(gce, client):
    """Three delete operations end with an error; the fourth deletes."""
    client.create()
    gce.faults.add("delete", "operation_error", times=3, http=500)
    codes = [client.delete().http_error_status_code for _ in range(4)]
    assert codes == [500, 500, 500, 0]
    assert gce.instances == {}


def test_orphan_disk_survives_its_machine(gce, client):
    """The machine is deleted, but not its disk, although autoDelete is set."""
    client.create()
    gce.faults.add("delete", "orphan_disk")
    client.delete()
    assert (list(gce.instances), list(gce.disks)) == ([], ["vm-1"])


def test_call_hangs_longer_than_the_client_waits(gce, client):
    """A call that hangs is executed once it is released."""
    fault = gce.faults.add("zoneOperations.wait", "hang", seconds=60)
    operation = client.insert()
    with pytest.raises(requests.Timeout):
        place = {"project": PROJECT, "zone": ZONE, "operation": operation.name}
        client.operations.wait(**place, timeout=0.3)
    fault.release()
    assert not client.finish(operation).error.errors


def _is_seen(client) -> bool:
    """Whether a client sees the machine, found or listed."""
    listed = [one.name for one in client.instances.list(project=PROJECT, zone=ZONE)]
    scopes = client.instances.aggregated_list(project=PROJECT)
    everywhere = [one.name for _, scope in scopes for one in scope.instances]
    try:
        found = [client.get().name]
    except exceptions.NotFound:
        found = []
    assert listed == everywhere == found
    return bool(found)


def test_machine_of_a_pending_insert_is_not_seen(gce, client, until):
    """While its insert is PENDING, a machine is neither listed nor found, nor deleted; later it
    exists. The list of operations has its insert."""
    held = gce.faults.add("insert", "pending_operation")
    operation = client.insert()
    assert held.reached.wait(10) and not _is_seen(client)
    with pytest.raises(exceptions.NotFound):
        client.delete()
    with pytest.raises(exceptions.Conflict):
        client.insert()
    (pending,) = client.operations.list(project=PROJECT, zone=ZONE)
    assert (pending.status.name, pending.operation_type) == ("PENDING", "insert")
    assert list(gce.instances) == ["vm-1"]  # it will exist
    held.release()
    client.finish(operation)
    assert _is_seen(client)


@pytest.mark.parametrize(("kind", "before"), [("hold", 0), ("hold_reply", 1)])
def test_insert_is_executed_for_a_client_that_hung_up(gce, client, until, kind, before):
    """An insert that arrived is executed, at once or later, whether or not its client waits."""
    held = gce.faults.add("insert", kind)
    request = {"project": PROJECT, "zone": ZONE, "instance_resource": client.body()}
    with pytest.raises(requests.Timeout):
        client.instances.insert_unary(request, timeout=0.3)
    assert len(gce.operations) == before
    held.release()
    until(lambda: gce.instances and client.finish(_newest(client)) and _is_seen(client))


def _newest(client):
    return next(iter(client.operations.list(project=PROJECT, zone=ZONE)))


def test_second_deletion_is_refused_while_the_first_is_under_way(gce, client):
    """Another DELETE is answered 400 resourceNotReady, the same request id with its operation."""
    client.create()
    held = gce.faults.add("delete", "hold_operation")
    request = {"project": PROJECT, "zone": ZONE, "instance": "vm-1"}
    first = client.instances.delete_unary(request | {"request_id": str(uuid.uuid4())})
    with pytest.raises(exceptions.BadRequest, match=r"vm-1' is not ready") as refused:
        client.instances.delete_unary(request | {"request_id": str(uuid.uuid4())})
    assert refused.value.errors[0]["reason"] == "resourceNotReady"
    held.release()
    assert not client.finish(first).error.errors
    assert gce.instances == {}


def test_call_is_held_until_it_is_released(gce, client):
    """A held call is not executed before its release, so that a test can act in between."""
    fault = gce.faults.add("insert", "hold")
    thread = threading.Thread(target=client.insert)
    thread.start()
    assert fault.reached.wait(10)
    assert gce.instances == {} and len(gce.asked("instances.insert")) == 1
    fault.release()
    thread.join(10)
    assert list(gce.instances) == ["vm-1"]


def test_call_runs_a_function_of_the_test(gce, client):
    """A planned function is called with the facts of the request."""
    seen = []
    gce.faults.add("insert", "call", function=seen.append)
    client.insert()
    assert (seen[0]["zone"], seen[0]["instance"]) == (ZONE, "vm-1")


def test_fault_is_limited_by_place_skip_and_times(gce, client):
    """A fault skips the first calls, then applies a number of times, only in its zone."""
    gce.faults.add("get", "internal", skip=1, times=2, instance="vm-1")
    client.create()
    answers = []
    for _ in range(4):
        try:
            client.get()
            answers.append(200)
        except exceptions.InternalServerError:
            answers.append(500)
    assert answers == [200, 500, 500, 200]


def test_faults_of_one_call_apply_one_after_another(gce, client):
    """Two faults of the same call apply to two calls."""
    gce.faults.add("insert", "rate_limit")
    gce.faults.add("insert", "internal")
    for error in (exceptions.Forbidden, exceptions.InternalServerError):
        with pytest.raises(error):
            client.insert()
    client.insert()


def test_unknown_kind_of_fault_is_refused(gce):
    """A typo in a kind or an option is an error."""
    with pytest.raises(ValueError, match="no fault is called"):
        gce.faults.add("insert", "stockuot")
    with pytest.raises(ValueError, match="stockout takes"):
        gce.faults.add("insert", "stockout", elsehwere="us-east1-b")
    assert {"stockout", "lost_reply", "wrong_host_key"} < set(KINDS)


def test_close_ends_hanging_calls(fake, connect):
    """Closing the fake ends a call that hangs."""
    gce = fake()
    client = connect(gce)
    gce.faults.add("insert", "hold_operation")
    client.insert()
    started = time.monotonic()
    gce.close()
    assert time.monotonic() - started < 10
