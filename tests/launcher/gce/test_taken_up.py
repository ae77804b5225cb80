import json
import threading
import time
from datetime import UTC, datetime

import pytest

from launcher.errors import MachineLost
from launcher.machines.gce import request

ZONE = "us-west1-b"


def wait_for(condition):
    """Until it holds; a test that waits for nothing fails."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def key_end(made):
    """Until when the machine lets the job's key in."""
    items = {item["key"]: item["value"] for item in made["metadata"]["items"]}
    return datetime.fromisoformat(json.loads(items["ssh-keys"].split(" ", 3)[3])["expireOn"])


def test_a_machine_is_taken_up_again(gce, backend, spec, create):
    """Another launcher finds the machine of its spec, and what is on it."""
    backend, spec = backend(), spec()
    create(backend, spec)
    first = backend.connect(spec)
    first.run("echo kept >note", timeout=10)
    first.close()
    again = backend.connect(spec)
    assert again.run("cat note", timeout=10).stdout == b"kept\n"
    again.close()


def test_an_insert_under_way_is_waited_for(gce, backend, spec):
    """What a killed launcher asked for is taken up once it is there."""
    backend, spec = backend(), spec()
    slow = gce.faults.add("instances.insert", "slow_operation", seconds=0.5)
    thread = threading.Thread(target=lambda: backend.create(spec).close())
    thread.start()
    assert slow.reached.wait(10)
    machine = backend.connect(spec)
    assert machine.run("true", timeout=10).code == 0
    machine.close()
    thread.join()
    assert len(gce.instances) == 1


def test_an_insert_that_fails_meanwhile_leaves_no_machine(gce, backend, spec):
    """A stockout that the killed launcher did not live to see."""
    backend, spec = backend(), spec()
    gce.faults.add("instances.insert", "stockout")
    body = request.fill(backend._insert, spec, "ssh-ed25519 AAAA", datetime.now(UTC))
    backend._client.insert(ZONE, body, spec.request_id)
    assert backend.connect(spec) is None


def test_a_machine_that_powered_itself_off_is_started_again(gce, backend, spec, create):
    """Its disk is as it was, and its key works on for as long as the machine may now live."""
    backend, spec = backend(), spec()
    create(backend, spec)
    backend.connect(spec).run("echo kept >note", timeout=10)
    before = key_end(gce.instances[spec.name])
    gce.vm(spec.name).press_power_button()
    wait_for(lambda: gce.instances[spec.name]["status"] == "TERMINATED")
    assert backend.list_machines()[0].state == "stopped"
    assert backend.list_machines()[0].ends == 0
    assert "powered itself off" in backend.termination_reason(spec)
    machine = backend.connect(spec)
    assert machine.run("cat note", timeout=10).stdout == b"kept\n"
    machine.close()
    assert key_end(gce.instances[spec.name]) >= before
    assert backend.termination_reason(spec) == ""


def test_a_machine_that_has_no_room_to_start_again_counts_as_gone(gce, backend, spec, create):
    """The job goes on elsewhere rather than wait for this zone."""
    backend, spec = backend(), spec()
    create(backend, spec)
    gce.vm(spec.name).press_power_button()
    wait_for(lambda: gce.instances[spec.name]["status"] == "TERMINATED")
    gce.faults.add("instances.start", "stockout")
    said = []
    backend._say = said.append
    assert backend.connect(spec) is None
    assert "us-west1-b has no room" in said[-1]


def test_a_machine_that_was_deleted_is_gone_and_says_by_whom(gce, backend, spec, insert):
    """By hand, behind the launcher's back."""
    backend, spec = backend(), spec()
    assert backend.connect(spec) is None
    assert "does not say why" in backend.termination_reason(spec)
    insert(backend, spec)
    backend.delete(spec.name, ZONE)
    assert backend.connect(spec) is None
    assert f"{spec.name} was deleted by launcher@test-project" in backend.termination_reason(spec)


@pytest.mark.parametrize("gce", [{"clock_speed": 2400.0}], indirect=True)  # of its grace
def test_a_spot_machine_that_is_taken_away_is_gone(gce, backend, spec, insert):
    """Attach finds nothing to wait for, and the reason is told."""
    backend, spec = backend(spot=True), spec(seconds=86_400.0)
    insert(backend, spec)
    gce.preempt(spec.name)
    wait_for(lambda: not gce.instances)
    assert backend.connect(spec) is None
    assert "was taken away by Compute Engine" in backend.termination_reason(spec)


@pytest.mark.parametrize("gce", [{"clock_speed": 3600.0}], indirect=True)
def test_a_machine_ends_itself_when_nobody_comes_back(gce, backend, spec, insert):
    """After its time it deletes itself, disk and all, and the reason is told."""
    backend, spec = backend(), spec(seconds=7200.0)
    insert(backend, spec)
    wait_for(lambda: not gce.instances)
    assert not gce.disks
    assert "deleted itself after its 120 minutes" in backend.termination_reason(spec)


def test_a_machine_that_ends_while_it_is_waited_for_is_lost_at_once(gce, backend, spec):
    """Nobody waits for the host keys of a machine that is gone."""
    gce.faults.add("boot", "no_guest_attributes")
    backend, spec = backend(), spec()
    thread = threading.Thread(target=lambda: _delete_once_running(gce, backend, spec))
    thread.start()
    with pytest.raises(MachineLost, match="was deleted by"):
        backend.create(spec)
    thread.join()


def _delete_once_running(gce, backend, spec):
    wait_for(lambda: gce.instances.get(spec.name, {}).get("status") == "RUNNING")
    backend.delete(spec.name, ZONE)


@pytest.mark.parametrize("gce", [{"page_size": 1}], indirect=True)
def test_every_machine_is_listed_wherever_it_is(gce, backend, spec, insert):
    """Over all zones and pages; machines of others are not ours to see."""
    backend = backend()
    for zone, uid in (("us-west1-b", "aa"), ("us-west1-b", "bb"), ("us-central1-f", "cc")):
        wanted = spec(zone, uid, f"words-1-{uid}", 3600.0)
        insert(backend, wanted)
    gce.instance("words-1-bb").resource["labels"] = {"managed-by": "somebody"}
    found = {rental.name: rental for rental in backend.list_machines()}
    assert set(found) == {"words-1-aa", "words-1-cc"}
    rental = found["words-1-cc"]
    assert rental.zone == "us-central1-f"
    assert rental.labels["owner"] == "0a"
    assert rental.folder == str(wanted.folder)
    assert rental.state == "running"
    assert rental.usd_per_hour == pytest.approx(0.385)
    assert abs(rental.created - time.time()) < 30
    assert abs(rental.ends - time.time() - 3600) < 30


def test_a_disk_that_is_left_over_is_listed_and_deleted(gce, backend, spec, insert):
    """It costs too, and says whose it was."""
    backend, spec = backend(), spec()
    insert(backend, spec)
    for disk in gce.instance(spec.name).resource["disks"]:
        disk["autoDelete"] = False
    gce.fleet.delete(gce.instance(spec.name))
    assert [(r.name, r.state, r.folder) for r in backend.list_machines()] == [
        (spec.name, "only its disk", str(spec.folder))
    ]
    assert "nor was its disk" in backend.delete(spec.name, ZONE)
    assert not gce.disks
    assert backend.list_machines() == []


def test_a_machine_without_an_address_is_reached_by_a_proxy_command(gce, backend, spec, tmp_path):
    """The command is told the machine and its zone, as gcloud's tunnel wants them."""
    proxy = tmp_path / "tunnel"
    proxy.write_text(
        "#!/bin/bash\n"
        f"[[ $1 == words-1-ab && $2 == {ZONE} && $3 == {gce.project} ]] || exit 1\n"
        f"exec 3<>/dev/tcp/$(cat {tmp_path}/address)/22\n"
        "cat <&3 & exec cat >&3\n",
        encoding="utf-8",
    )
    proxy.chmod(0o755)
    command = f"{proxy} <machine> <zone> <project>"
    backend, spec = backend({"proxy_command": command}, external_ip=False), spec()

    def tell():
        wait_for(lambda: gce.instances.get(spec.name, {}).get("status") == "RUNNING")
        (tmp_path / "address").write_text(gce.vm(spec.name).address)

    thread = threading.Thread(target=tell)
    thread.start()
    machine = backend.create(spec)
    assert machine.run("hostname", timeout=10).stdout == b"words-1-ab\n"
    machine.close()
    thread.join()
    assert "accessConfigs" not in gce.instances[spec.name]["networkInterfaces"][0]
