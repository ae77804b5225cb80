import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from launcher.errors import HostKeyMismatch, MachineKept, MachineLost
from launcher.machines.gce import request

ZONE = "us-west1-b"


def wait_for(condition):
    """Return once the condition holds."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def key_expiry(created):
    """When the job's SSH key expires on the machine."""
    items = {item["key"]: item["value"] for item in created["metadata"]["items"]}
    return datetime.fromisoformat(json.loads(items["ssh-keys"].split(" ", 3)[3])["expireOn"])


def end(created):
    """When Compute Engine deletes the machine."""
    scheduling = created["resourceStatus"]["scheduling"]
    return datetime.fromisoformat(scheduling["terminationTimestamp"])


def test_connect_finds_the_machine_and_its_files(gce, backend, spec, create):
    """Another launcher with the same spec connects to the machine, and its files are there."""
    backend, spec = backend(), spec()
    create(backend, spec)
    first = backend.connect(spec)
    first.run("echo kept >note", timeout=10)
    first.close()
    again = backend.connect(spec)
    assert again.run("cat note", timeout=10).stdout == b"kept\n"
    again.close()


def test_connect_waits_for_a_pending_insert(gce, backend, spec):
    """A machine that a killed launcher requested is connected once it exists."""
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


def test_connect_after_a_stockout_finds_no_machine(gce, backend, spec):
    """A pending insert that ends with a stockout leaves no machine to connect to."""
    backend, spec = backend(), spec()
    gce.faults.add("instances.insert", "stockout")
    body = request.fill(backend._details.insert, spec, "ssh-ed25519 AAAA", datetime.now(UTC))
    backend._client.insert(ZONE, body, spec.request_id)
    assert backend.connect(spec) is None


def test_connect_starts_a_stopped_machine_again(gce, backend, spec, create):
    """A machine that powered itself off keeps its disk, and the job's key expires later."""
    backend, spec = backend(), spec()
    create(backend, spec)
    backend.connect(spec).run("echo kept >note", timeout=10)
    gce.vm(spec.name).press_power_button()
    wait_for(lambda: gce.instances[spec.name]["status"] == "TERMINATED")
    assert backend.list_machines().machines[0].state == "stopped"
    assert backend.list_machines().machines[0].ends == 0
    assert "powered itself off" in backend.termination_reason(spec)
    machine = backend.connect(spec)
    assert machine.run("cat note", timeout=10).stdout == b"kept\n"
    machine.close()
    assert key_expiry(gce.instances[spec.name]) >= end(gce.instances[spec.name])
    assert backend.termination_reason(spec) == ""


@pytest.fixture
def stopped(gce, backend, spec, create):
    """Makes a backend, and the spec of a machine that powered itself off."""

    def make(**spec_fields):
        made, of = backend(), spec(**spec_fields)
        create(made, of)
        gce.vm(of.name).press_power_button()
        wait_for(lambda: gce.instances[of.name]["status"] == "TERMINATED")
        return made, of

    return make


def test_stopped_machine_without_capacity_is_kept(gce, stopped):
    """Where a stopped machine cannot start for lack of capacity, it is kept, with its disk."""
    backend, spec = stopped()
    gce.faults.add("instances.start", "stockout")
    with pytest.raises(MachineKept, match="cannot start at the moment: zone us-west1-b has no cap"):
        backend.connect(spec)
    assert gce.instances[spec.name]["status"] == "TERMINATED"


def test_restarted_machine_has_only_what_is_left_of_its_time(gce, backend, stopped):
    """A machine that is started again, even twice, ends after the time that it was requested for,
    by Compute Engine's times: what it ran before counts, and while it was off does not."""
    made, spec = stopped()
    ran = 100.0
    for _ in range(2):
        resource = gce.instance(spec.name).resource
        off = datetime.fromisoformat(resource["lastStopTimestamp"])
        resource["lastStartTimestamp"] = (off - timedelta(seconds=100)).isoformat()
        machine = made.connect(spec)
        machine.close()
        bound = float(gce.instances[spec.name]["scheduling"]["maxRunDuration"]["seconds"])
        assert 600 - ran - 1 <= bound <= 600 - ran
        assert machine.uptime.ran == pytest.approx(ran, abs=20)
        assert machine.uptime.ran + machine.uptime.left == pytest.approx(600, abs=2)
        gce.vm(spec.name).press_power_button()
        wait_for(lambda: gce.instances[spec.name]["status"] == "TERMINATED")
        ran += 100


def test_start_that_failed_counts_no_time(gce, stopped):
    """However often a stopped machine cannot start, what it ran counts once."""
    backend, spec = stopped()
    resource = gce.instance(spec.name).resource
    off = datetime.fromisoformat(resource["lastStopTimestamp"])
    resource["lastStartTimestamp"] = (off - timedelta(seconds=100)).isoformat()
    for _ in range(3):
        gce.faults.add("instances.start", "stockout")
        with pytest.raises(MachineKept):
            backend.connect(spec)
    backend.connect(spec).close()
    bound = float(gce.instances[spec.name]["scheduling"]["maxRunDuration"]["seconds"])
    assert bound == 500


def test_stopped_machine_without_time_is_kept(gce, stopped):
    """A machine that has used up its time is not started again, and is kept."""
    backend, spec = stopped(seconds=59.0)
    with pytest.raises(MachineKept, match="is stopped with its results, and has used 0 of its 1 m"):
        backend.connect(spec)
    assert gce.asked("instances.start") == []


def test_termination_reason_names_who_deleted_the_machine(gce, backend, spec, insert):
    """A machine that was deleted by hand is gone, and the reason names the user."""
    backend, spec = backend(), spec()
    assert backend.connect(spec) is None
    assert "does not say why" in backend.termination_reason(spec)
    insert(backend, spec)
    backend.delete(spec.name, ZONE)
    assert backend.connect(spec) is None
    assert f"{spec.name} was deleted by launcher@test-project" in backend.termination_reason(spec)


@pytest.mark.parametrize("gce", [{"clock_speed": 2400.0}], indirect=True)  # of its grace
def test_preempted_machine_is_gone_with_its_reason(gce, backend, spec, insert):
    """After a preemption connect returns None, and the reason says so."""
    backend, spec = backend(spot=True), spec(seconds=86_400.0)
    insert(backend, spec)
    gce.preempt(spec.name)
    wait_for(lambda: not gce.instances)
    assert backend.connect(spec) is None
    assert "was preempted by Compute Engine" in backend.termination_reason(spec)


@pytest.mark.parametrize("gce", [{"clock_speed": 3600.0}], indirect=True)
def test_machine_deletes_itself_after_its_time_limit(gce, backend, spec, insert):
    """After max_run_duration machine and disk are gone, and the reason says so."""
    backend, spec = backend(), spec(seconds=7200.0)
    insert(backend, spec)
    wait_for(lambda: not gce.instances)
    assert not gce.disks
    assert "deleted itself after 120 minutes, its time limit" in backend.termination_reason(spec)


def test_machine_deleted_while_booting_is_lost_at_once(gce, backend, spec):
    """The wait for host keys ends as soon as the machine is deleted."""
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


def test_machine_without_an_address_says_so(gce, backend, spec):
    """A machine that gets no address is not reported as one without host keys."""
    with pytest.raises(MachineLost, match="words-1-ab got no address within 0.5 s") as lost:
        backend(timeouts=dict(host_keys=0.5), external_ip=False).create(spec())
    assert "words-1-ab" not in lost.value.hint


def test_console_of_a_machine_without_host_keys_is_kept(gce, backend, spec):
    """The machine is deleted after the failure, so the end of its console is in the job's folder,
    with no character that a terminal acts on."""
    backend, spec = backend(timeouts=dict(host_keys=1)), spec()
    items = {item["key"]: item for item in backend._details.insert["metadata"]["items"]}
    items["startup-script"]["value"] = "#!/bin/bash\nprintf 'boot \\033[31mfailed\\n'\n"
    gce.faults.add("boot", "no_guest_attributes")
    with pytest.raises(MachineLost, match="published no host keys") as lost:
        backend.create(spec)
    assert lost.value.hint == f"the end of its console is in {spec.folder}/console.txt"
    assert r"boot \x1b[31mfailed" in (spec.folder / "console.txt").read_text("utf-8")


def test_console_that_was_not_seen_does_not_hide_the_error(gce, backend, spec):
    """Without the permission to see the console, the error is the same, and the hint says why."""
    gce.faults.add("boot", "no_guest_attributes")
    gce.faults.add("instances.getSerialPortOutput", "permission")
    with pytest.raises(MachineLost, match="published no host keys") as lost:
        backend(timeouts=dict(host_keys=0.5)).create(spec())
    assert lost.value.hint.startswith("its console was not seen: you lack the permission")


def test_host_keys_made_anew_are_read_again(gce, backend, spec, create):
    """Keys that change after the launcher has read them are read again, once they are published;
    keys that are published twice are the same."""
    gce.faults.add("boot", "new_host_keys", seconds=0.6)
    gce.faults.add("boot", "host_keys_again", seconds=0.1)
    gce.faults.add("boot", "late_ssh_key", seconds=1.2)  # no login before the keys change
    spec = spec()
    create(backend(), spec)
    asked = [request.query["queryPath"] for request in gce.asked("instances.getGuestAttributes")]
    assert len(asked) > 1


def test_host_key_that_is_never_published_is_refused(gce, backend, spec):
    """A server whose keys changed and were not published again is not connected to."""
    gce.faults.add("boot", "new_host_keys", seconds=0.6)
    gce.faults.add("boot", "late_ssh_key", seconds=1.2)
    spec = spec()

    def publish_no_more():
        wait_for(lambda: gce.asked("instances.getGuestAttributes"))
        gce.instance(spec.name)._publish_host_keys = lambda: None

    thread = threading.Thread(target=publish_no_more)
    thread.start()
    with pytest.raises(HostKeyMismatch, match="nothing was sent"):
        backend(timeouts=dict(host_keys=2, connect=5)).create(spec)
    thread.join()


@pytest.mark.parametrize("gce", [{"page_size": 1}], indirect=True)
def test_list_has_the_machines_of_all_zones_and_pages(gce, backend, spec, insert):
    """Every machine of the launcher is listed, and none that something else created."""
    backend = backend()
    for zone, uid in (("us-west1-b", "aa"), ("us-west1-b", "bb"), ("us-central1-f", "cc")):
        wanted = spec(zone, uid, f"words-1-{uid}", 3600.0)
        insert(backend, wanted)
    gce.instance("words-1-bb").resource["labels"] = {"managed-by": "another-tool"}
    found = {machine.name: machine for machine in backend.list_machines().machines}
    assert set(found) == {"words-1-aa", "words-1-cc"}
    machine = found["words-1-cc"]
    assert machine.zone == "us-central1-f"
    assert machine.labels["owner"] == "0a"
    assert machine.folder == str(wanted.folder)
    assert machine.state == "running"
    assert machine.usd_per_hour == pytest.approx(0.385)
    assert abs(machine.created - time.time()) < 30
    assert abs(machine.ends - time.time() - 3600) < 30


def test_disk_without_its_machine_is_listed_and_deleted(gce, backend, spec, insert):
    """A disk whose machine is gone is listed with its job folder, and delete removes it."""
    backend, spec = backend(), spec()
    insert(backend, spec)
    for disk in gce.instance(spec.name).resource["disks"]:
        disk["autoDelete"] = False
    gce.fleet.delete(gce.instance(spec.name))
    assert [(r.name, r.state, r.folder) for r in backend.list_machines().machines] == [
        (spec.name, "only its disk", str(spec.folder))
    ]
    assert "and its disk were not found (404)" in backend.delete(spec.name, ZONE)
    assert not gce.disks
    assert backend.list_machines().machines == []


def test_proxy_command_reaches_a_machine_without_address(gce, backend, spec, tmp_path):
    """The proxy command gets machine, zone and project, as gcloud's tunnel needs them."""
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

    def write_address():
        wait_for(lambda: gce.instances.get(spec.name, {}).get("status") == "RUNNING")
        (tmp_path / "address").write_text(gce.vm(spec.name).address)

    thread = threading.Thread(target=write_address)
    thread.start()
    machine = backend.create(spec)
    assert machine.run("hostname", timeout=10).stdout == b"words-1-ab\n"
    machine.close()
    thread.join()
    assert "accessConfigs" not in gce.instances[spec.name]["networkInterfaces"][0]
