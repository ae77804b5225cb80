import time
from datetime import UTC, datetime

import pytest
from fake_gce import FOR_EVER

from launcher.errors import (
    CloudRefused,
    HostKeyMismatch,
    MachineLost,
    MachineNotDeleted,
    NoCapacity,
)
from launcher.machines.gce import GceBackend, request
from launcher.machines.gce.details import Details
from launcher.machines.gce.timeouts import Timeouts

ZONE = "us-west1-b"
BEFORE = ("internal", "unavailable", "bad_gateway", "drop", "rate_limit")
AFTER = ("lost_reply", "lost_reply_502", "empty_body", "bad_body")


def test_a_machine_is_made_used_and_given_back(gce, backend, spec, create):
    """It answers over SSH, carries all that it must, and its end is proven."""
    backend, spec = backend(), spec()
    create(backend, spec)
    made = gce.instances[spec.name]
    assert made["labels"]["managed-by"] == "micro-speech-launcher"
    assert made["scheduling"]["maxRunDuration"] == {"seconds": "600"}
    proof = backend.delete(spec.name, ZONE)
    assert spec.name in proof
    assert "not found (404)" in proof
    assert f"{datetime.now(UTC):%Y-%m-%dT%H:}" in proof
    assert not gce.instances
    assert not gce.disks


@pytest.mark.parametrize("kind", AFTER)
def test_a_reply_that_is_lost_makes_no_second_machine(gce, backend, spec, create, kind):
    """The request is sent again under its id, and one machine comes of it."""
    gce.faults.add("insert", kind)
    spec = spec()
    create(backend(), spec)
    assert len({r.query["requestId"] for r in gce.asked("instances.insert")}) == 1
    assert len(gce.instances) == 1


def test_an_order_that_is_repeated_gives_the_same_machine(gce, backend, spec, create):
    """Also where a launcher died after its request and asks under another id."""
    first, again = spec(), spec()
    create(backend(), first)
    create(backend(), first)
    create(backend(), again)
    assert len(gce.instances) == 1


@pytest.mark.parametrize("call", ["insert", "instances.get", "wait", "getGuestAttributes"])
def test_every_call_of_a_birth_is_repeated(gce, backend, spec, create, call):
    """Whatever has no time for us at first has some later."""
    for kind in BEFORE:
        gce.faults.add(call, kind)
    create(backend(), spec())
    assert len(gce.instances) == 1


ENDING = [(call, BEFORE) for call in ("instances.delete", "instances.get", "wait", "disks.get")]


@pytest.mark.parametrize(("call", "kinds"), [*ENDING, ("instances.delete", AFTER)])
def test_every_call_of_an_end_is_repeated(gce, backend, spec, insert, call, kinds):
    """No failure of a deletion keeps a machine."""
    backend, spec = backend(), spec()
    insert(backend, spec)
    for kind in kinds:
        gce.faults.add(call, kind)
    assert "404" in backend.delete(spec.name, ZONE)
    assert not gce.instances


@pytest.mark.parametrize("code", ["RESOURCE_NOT_READY", "SOMETHING_NEW"])
def test_a_deletion_that_fails_is_tried_again(gce, backend, spec, insert, code):
    """An operation that fails three times, without an HTTP status, succeeds at the fourth."""
    backend, spec = backend(), spec()
    insert(backend, spec)
    fault = gce.faults.add("instances.delete", "operation_error", times=3, code=code)
    assert "404" in backend.delete(spec.name, ZONE)
    assert fault.met == 3
    assert not gce.instances


@pytest.mark.parametrize(
    ("kind", "options"),
    [("operation_error", {"code": "NO"}), ("permission", {}), ("drop", {}), ("hang", {})],
)
def test_a_machine_that_cannot_be_deleted_is_owed(gce, backend, spec, insert, kind, options):
    """After a bounded time the user is told, with the command that does it by hand."""
    backend, spec = backend(timeouts=dict(reply=0.5, call=0.5, delete=1)), spec()
    insert(backend, spec)
    gce.faults.add("instances.delete", kind, times=FOR_EVER, **options)
    started = time.monotonic()
    with pytest.raises(MachineNotDeleted, match="could not be given back") as refused:
        backend.delete(spec.name, ZONE)
    assert time.monotonic() - started < 30
    hand = f"gcloud compute instances delete {spec.name} --zone={ZONE} --project={gce.project}"
    assert hand in refused.value.hint
    assert gce.instances


def test_a_404_of_something_else_proves_nothing(gce, backend, spec, insert):
    """That the project is not to be found does not mean that the machine is gone."""
    backend, spec = backend(), spec()
    insert(backend, spec)
    backend.delete(spec.name, ZONE)
    elsewhere = GceBackend(Details("another-project"))
    elsewhere.timeouts = Timeouts(delete=1)
    with pytest.raises(MachineNotDeleted, match="there is no project another-project"):
        elsewhere.delete(spec.name, ZONE)


def test_a_deletion_waits_for_what_is_still_being_made(gce, backend, spec):
    """A launcher that was killed right after its request leaves nothing."""
    backend, spec = backend(), spec()
    slow = gce.faults.add("instances.insert", "slow_operation", seconds=1)
    backend._client.insert(ZONE, _body(backend, spec), spec.request_id)
    assert slow.reached.wait(5)
    assert "404" in backend.delete(spec.name, ZONE)
    assert not gce.instances
    assert not gce.disks


def test_a_machine_whose_making_hangs_is_lost_in_time(gce, backend, spec):
    """The wait for an operation has an end, and so has the one for its deletion."""
    timeouts = dict(insert=1.5, unborn=0.5, delete=3)
    backend, spec = backend(timeouts=timeouts), spec()
    gce.faults.add("instances.insert", "hold_operation")
    with pytest.raises(MachineLost, match="was not made in us-west1-b within 1.5 s"):
        backend.create(spec)
    with pytest.raises(MachineNotDeleted):
        backend.delete(spec.name, ZONE)
    gce.faults.clear()
    assert "404" in backend.delete(spec.name, ZONE)
    assert not gce.instances


@pytest.mark.parametrize(
    ("kind", "options", "error", "says"),
    [
        ("stockout", {}, NoCapacity, "us-west1-b has no room"),
        ("stockout", {"early": 1.0}, NoCapacity, "us-west1-b has no room"),
        (
            "operation_error",
            {"code": "UNSUPPORTED_OPERATION"},
            NoCapacity,
            "us-west1-b has no room",
        ),
        ("operation_error", {"code": "RESOURCE_NOT_READY"}, NoCapacity, "us-west1-b has no room"),
        ("operation_error", {"code": "IAM_PERMISSION_DENIED"}, CloudRefused, "refuses"),
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
def test_an_insert_that_is_refused_says_why(gce, backend, spec, kind, options, error, says):
    """Each refusal is its own error, in bounded time, and no machine is left."""
    backend, spec = backend(timeouts=dict(reply=0.5, call=0.5)), spec()
    gce.faults.add("instances.insert", kind, **options)
    with pytest.raises(error, match=says) as refused:
        backend.create(spec)
    assert refused.value.exit_code == 3
    assert refused.value.hint
    gce.faults.clear()
    backend.delete(spec.name, ZONE)
    assert not gce.instances


def test_a_stockout_tells_where_there_is_room(gce, backend, spec):
    """The zones that Compute Engine names are handed on; a quota holds for the region."""
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


def test_a_strangers_machine_of_the_same_name_is_left_alone(gce, backend, spec, insert):
    """It is neither taken up nor deleted."""
    backend, stranger = backend(), spec(uid="cd")
    insert(backend, stranger)
    with pytest.raises(CloudRefused, match="that this job did not make"):
        backend.create(spec())
    assert backend.connect(spec()) is None
    assert "somebody else's" in backend.delete(stranger.name, ZONE)
    assert gce.instances


@pytest.mark.parametrize(
    ("kind", "error", "says"),
    [
        ("no_guest_attributes", MachineLost, "published no host keys within 1 s"),
        ("no_ssh_key", MachineLost, "no login within 1 s"),
        ("no_ssh", MachineLost, "no login within 1 s"),
        ("wrong_host_key", HostKeyMismatch, "nothing was sent to it"),
    ],
)
def test_a_machine_that_does_not_let_us_in_is_not_waited_for_long(
    gce, backend, spec, kind, error, says
):
    """Keys that are not published, a login that is not to be had, a stranger who answers."""
    gce.faults.add("boot", kind)
    with pytest.raises(error, match=says):
        backend(timeouts=dict(keys=1, login=1)).create(spec())


@pytest.mark.parametrize("kind", ["late_guest_attributes", "late_ssh_key", "clock"])
def test_a_machine_that_takes_its_time_is_waited_for(gce, backend, spec, create, kind):
    """A slow guest agent, and a clock that is an hour off, are no failures."""
    gce.faults.add("boot", kind)
    create(backend(), spec())


def _body(backend, spec):
    now = datetime.now(UTC)
    return request.fill(backend._insert, spec, "ssh-ed25519 AAAA", now)
