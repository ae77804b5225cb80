import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from fake_gce import FOR_EVER

from launcher import state
from launcher.errors import (
    CloudRefused,
    HostKeyMismatch,
    MachineLost,
    MachineNotDeleted,
    NoCapacity,
)
from launcher.machines.gce import request
from launcher.machines.gce.backend import GceBackend
from launcher.machines.gce.details import Details
from launcher.machines.gce.timeouts import Timeouts

ZONE = "us-west1-b"
BEFORE = ("internal", "unavailable", "bad_gateway", "drop", "rate_limit")
AFTER = ("lost_reply", "lost_reply_502", "empty_body", "bad_body")


def test_create_then_delete_leaves_no_machine(gce, backend, spec, create):
    """A created machine answers over SSH, has a time limit, and its deletion is proved by a 404."""
    backend, spec = backend(), spec()
    create(backend, spec)
    created = gce.instances[spec.name]
    assert created["labels"]["managed-by"] == "micro-speech-launcher"
    assert created["scheduling"]["maxRunDuration"] == {"seconds": "600"}
    proof = backend.delete(spec.name, ZONE)
    assert spec.name in proof
    assert "not found (404)" in proof
    assert f"{datetime.now(UTC):%Y-%m-%dT%H:}" in proof
    assert not gce.instances
    assert not gce.disks


def test_project_is_remembered_before_the_insert(gce, backend, spec):
    """`status` and `reap` know the project also where the launcher ends during its insert."""
    known = []
    note = {"function": lambda facts: known.append(state.projects())}
    gce.faults.add("instances.insert", "call", **note)
    backend().create(spec()).close()
    assert known == [{gce.project: ""}]


@pytest.mark.parametrize("kind", AFTER)
def test_insert_whose_reply_is_lost_creates_one_machine(gce, backend, spec, create, kind):
    """The request is sent again under its request id, and Compute Engine creates one machine."""
    gce.faults.add("insert", kind)
    spec = spec()
    create(backend(), spec)
    assert len({r.query["requestId"] for r in gce.asked("instances.insert")}) == 1
    assert len(gce.instances) == 1


def test_create_twice_gives_the_same_machine(gce, backend, spec, create):
    """A second create returns the existing machine, also under another request id."""
    first, again = spec(), spec()
    create(backend(), first)
    create(backend(), first)
    create(backend(), again)
    assert len(gce.instances) == 1


@pytest.mark.parametrize("call", ["insert", "instances.get", "wait", "getGuestAttributes"])
def test_every_request_of_create_is_retried(gce, backend, spec, create, call):
    """A transient error of any request during a creation does not fail it."""
    for kind in BEFORE:
        gce.faults.add(call, kind)
    create(backend(), spec())
    assert len(gce.instances) == 1


DELETING = [(call, BEFORE) for call in ("instances.delete", "instances.get", "wait", "disks.get")]


@pytest.mark.parametrize(("call", "kinds"), [*DELETING, ("instances.delete", AFTER)])
def test_every_request_of_delete_is_retried(gce, backend, spec, insert, call, kinds):
    """A transient error of any request during a deletion does not keep the machine."""
    backend, spec = backend(), spec()
    insert(backend, spec)
    for kind in kinds:
        gce.faults.add(call, kind)
    assert "404" in backend.delete(spec.name, ZONE)
    assert not gce.instances


@pytest.mark.parametrize("code", ["RESOURCE_NOT_READY", "SOMETHING_NEW"])
def test_delete_operation_that_fails_is_retried(gce, backend, spec, insert, code):
    """A delete operation that fails three times without an HTTP status is sent a fourth time."""
    backend, spec = backend(), spec()
    insert(backend, spec)
    fault = gce.faults.add("instances.delete", "operation_error", times=3, code=code)
    assert "404" in backend.delete(spec.name, ZONE)
    assert fault.hits == 3
    assert not gce.instances


@pytest.mark.parametrize(
    ("kind", "options"),
    [("operation_error", {"code": "NO"}), ("permission", {}), ("drop", {}), ("hang", {})],
)
def test_delete_that_never_succeeds_raises_machine_not_deleted(
    gce, backend, spec, insert, kind, options
):
    """After a bounded time the error names the gcloud command that deletes the machine."""
    backend, spec = backend(timeouts=dict(reply=0.5, call=0.5, delete=1)), spec()
    insert(backend, spec)
    gce.faults.add("instances.delete", kind, times=FOR_EVER, **options)
    started = time.monotonic()
    with pytest.raises(MachineNotDeleted, match="could not be deleted") as refused:
        backend.delete(spec.name, ZONE)
    assert time.monotonic() - started < 30
    hand = f"gcloud compute instances delete {spec.name} --zone={ZONE} --project={gce.project}"
    assert hand in refused.value.hint
    assert gce.instances


def test_404_of_the_project_does_not_prove_a_deletion(gce, backend, spec, insert):
    """A project that does not exist is an error, not the proof that its machine is gone."""
    backend, spec = backend(), spec()
    insert(backend, spec)
    backend.delete(spec.name, ZONE)
    elsewhere = GceBackend(Details("another-project"))
    elsewhere.timeouts = Timeouts(delete=1)
    with pytest.raises(MachineNotDeleted, match="project another-project does not exist"):
        elsewhere.delete(spec.name, ZONE)


def test_delete_waits_for_a_pending_insert(gce, backend, spec):
    """A machine whose insert is still under way is deleted once it exists."""
    backend, spec = backend(), spec()
    slow = gce.faults.add("instances.insert", "slow_operation", seconds=1)
    backend._client.insert(ZONE, _body(backend, spec), spec.request_id)
    assert slow.reached.wait(5)
    assert "404" in backend.delete(spec.name, ZONE)
    assert not gce.instances
    assert not gce.disks


def test_insert_that_hangs_is_machine_lost_within_the_timeout(gce, backend, spec):
    """An insert that never ends is bounded in time, and so is the deletion of its machine."""
    timeouts = dict(insert=1.5, pending_insert=0.5, delete=3)
    backend, spec = backend(timeouts=timeouts), spec()
    gce.faults.add("instances.insert", "hold_operation")
    with pytest.raises(MachineLost, match="was not created in us-west1-b within 1.5 s"):
        backend.create(spec)
    with pytest.raises(MachineNotDeleted):
        backend.delete(spec.name, ZONE)
    gce.faults.clear()
    assert "404" in backend.delete(spec.name, ZONE)
    assert not gce.instances


def test_internal_error_allows_a_second_request(gce, backend, spec):
    """A second request to the same zone may succeed, and does."""
    backend, spec = backend(), spec()
    gce.faults.add("instances.insert", "operation_error")
    with pytest.raises(NoCapacity) as refused:
        backend.create(spec)
    assert refused.value.again
    backend.create(replace(spec, request_id=str(uuid.uuid4()))).close()


def test_region_without_the_subnet_is_left_for_another(gce, backend, spec):
    """A 404 of the subnet means the region: another one may have it."""
    gce.settings.subnetworks["us-central1/mine"] = "default"
    backend = backend(subnet="mine")
    with pytest.raises(NoCapacity, match="region us-west1 has no such subnet") as refused:
        backend.create(spec())
    assert refused.value.region == "us-west1"
    backend.create(spec(zone="us-central1-a")).close()


def test_policy_on_locations_leaves_another_zone(gce, backend, spec):
    """A policy that forbids one zone may allow another; any other policy is final."""
    gce.settings.policies["gcp.resourceLocations"] = ["us-central1"]
    backend = backend()
    with pytest.raises(NoCapacity, match="a policy of your organisation forbids the machine"):
        backend.create(spec())
    backend.create(spec(zone="us-central1-a")).close()
    gce.settings.policies = {"compute.requireOsLogin": True}
    with pytest.raises(CloudRefused, match="a policy of your organisation") as refused:
        backend.create(spec(name="words-2-ab"))
    assert not isinstance(refused.value, NoCapacity)


@pytest.mark.parametrize(
    ("kind", "options", "error", "says"),
    [
        ("stockout", {}, NoCapacity, "us-west1-b has no capacity"),
        ("stockout", {"early": 1.0}, NoCapacity, "us-west1-b has no capacity"),
        (
            "operation_error",
            {"code": "UNSUPPORTED_OPERATION"},
            NoCapacity,
            "us-west1-b has no capacity",
        ),
        (
            "operation_error",
            {"code": "RESOURCE_NOT_READY"},
            NoCapacity,
            "us-west1-b has no capacity",
        ),
        ("operation_error", {}, NoCapacity, "us-west1-b: Compute Engine had an internal error"),
        (
            "operation_error",
            {"http": 503},
            NoCapacity,
            "us-west1-b: Compute Engine had an internal error",
        ),
        ("operation_error", {"code": "IAM_PERMISSION_DENIED"}, CloudRefused, "refuses the request"),
        ("quota_exceeded", {}, NoCapacity, "is used up in region us-west1: its limit is 8"),
        (
            "quota",
            {},
            NoCapacity,
            "quota CPUS of project test-project is used up in region us-west1",
        ),
        ("permission", {}, CloudRefused, "you lack the permission compute.instances.create"),
        ("api_disabled", {}, CloudRefused, "the Compute Engine API is not enabled"),
        ("unauthenticated", {"times": FOR_EVER}, CloudRefused, "expired or revoked"),
        ("internal", {"times": FOR_EVER}, CloudRefused, "Compute Engine is not available"),
        ("hang", {"times": FOR_EVER}, CloudRefused, "Compute Engine is not available"),
    ],
)
def test_refused_insert_says_why_and_leaves_no_machine(
    gce, backend, spec, kind, options, error, says
):
    """Each refusal becomes its own error in bounded time, and no machine is left."""
    backend, spec = backend(timeouts=dict(reply=0.5, call=0.5)), spec()
    gce.faults.add("instances.insert", kind, **options)
    with pytest.raises(error, match=says) as refused:
        backend.create(spec)
    assert refused.value.exit_code == 3
    assert refused.value.hint
    gce.faults.clear()
    backend.delete(spec.name, ZONE)
    assert not gce.instances


def test_stockout_names_zones_with_capacity(gce, backend, spec):
    """NoCapacity carries the zones that Compute Engine names; a quota applies to a region."""
    backend = backend()
    gce.faults.add("instances.insert", "stockout", elsewhere="us-central1-a,us-central1-f")
    with pytest.raises(NoCapacity) as refused:
        backend.create(spec())
    assert refused.value.elsewhere == ("us-central1-a", "us-central1-f")
    assert refused.value.region == ""
    gce.faults.add("instances.insert", "quota_exceeded")
    with pytest.raises(NoCapacity) as refused:
        backend.create(spec())
    assert refused.value.region == "us-west1"


def test_machine_of_another_job_with_the_same_name_is_left_alone(gce, backend, spec, insert):
    """A machine whose labels name another job is neither used nor deleted."""
    backend, other = backend(), spec(uid="cd")
    insert(backend, other)
    with pytest.raises(CloudRefused, match="belongs to another job"):
        backend.create(spec())
    assert backend.connect(spec()) is None
    assert "belongs to another job" in backend.delete(other.name, ZONE)
    assert gce.instances


@pytest.mark.parametrize(
    ("kind", "error", "says"),
    [
        ("no_guest_attributes", MachineLost, "published no host keys within 1 s"),
        ("no_ssh_key", MachineLost, "no SSH connection within 1 s"),
        ("no_ssh", MachineLost, "no SSH connection within 1 s"),
        ("wrong_host_key", HostKeyMismatch, "nothing was sent"),
    ],
)
def test_machine_without_ssh_is_lost_within_the_timeout(gce, backend, spec, kind, error, says):
    """Missing host keys, a missing job key, no SSH server, another host key: each ends in time."""
    gce.faults.add("boot", kind)
    with pytest.raises(error, match=says):
        backend(timeouts=dict(host_keys=1, connect=1)).create(spec())


@pytest.mark.parametrize("kind", ["late_guest_attributes", "late_ssh_key", "clock"])
def test_slow_guest_agent_and_wrong_clock_are_tolerated(gce, backend, spec, create, kind):
    """A machine with late keys, or a clock that is an hour off, is connected all the same."""
    gce.faults.add("boot", kind)
    create(backend(), spec())


def _body(backend, spec):
    now = datetime.now(UTC)
    return request.fill(backend._details.insert, spec, "ssh-ed25519 AAAA", now)
