"""The machines behind the instances: real processes, reached by a real ssh."""

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fake_gce.host import state_of
from fake_gce.vm import FAKETIME


def test_a_machine_is_a_world_of_its_own(fake, connect, tmp_path):
    """Its own name, users, processes, /tmp and environment; the host's files cannot be written."""
    client = connect(gce := fake(vm_environment={"PYTHON": "/usr/bin/env python3", "EMPTY": ""}))
    client.make()
    gce.vm("vm-1").wait_for_ssh()
    (tmp_path / "secret").write_text("of the host")
    script = f"hostname; pwd; echo $PYTHON; ls {tmp_path} /tmp; ps ax | wc -l; touch /usr/x /etc/x"
    lines = client.ssh(script).stdout.splitlines()
    assert lines[:3] == ["vm-1", "/home/jupyter", "/usr/bin/env python3"]
    assert "secret" not in lines and not Path("/usr/x").exists()
    assert int(lines[-1]) < 15


def test_the_startup_script_runs_as_root_at_each_boot(gce, client, until):
    """With the machine's environment; its output is the serial port's."""
    items = client.body()["metadata"]["items"]
    items.append({"key": "startup-script", "value": "#!/bin/bash\nid -u; echo boot >> /root/boots"})
    client.make(metadata={"items": items})
    boots = gce.vm("vm-1").folder / "root/boots"
    until(boots.exists)
    gce.vm("vm-1").wait_for_ssh()
    client.ssh("reboot")
    until(lambda: boots.read_text() == "boot\nboot\n")
    place = {"project": "test-project", "zone": "us-west1-b", "instance": "vm-1"}
    assert client.instances.get_serial_port_output(**place).contents.startswith("0\n")


@pytest.mark.parametrize("command", ["sudo -n poweroff", "systemctl poweroff", "shutdown -h now"])
def test_a_guest_powers_itself_off(gce, client, command):
    """By each of the usual commands."""
    client.make()
    gce.vm("vm-1").wait_for_ssh()
    client.ssh(command)
    assert gce.vm("vm-1").wait() == 0


def test_a_power_cut_ends_a_session_at_once(gce, client):
    """The client of a machine that lost its power hears of it."""
    client.make(scheduling={"automatic_restart": False})
    machine = gce.vm("vm-1")
    machine.wait_for_ssh()
    with ThreadPoolExecutor() as pool:
        session = pool.submit(client.ssh, "sleep 60")
        _until_a_session_runs(machine, "sleep 60")
        machine.power_cut()
        assert session.result(10).returncode == 255


def test_a_frozen_machine_does_nothing_until_it_thaws(gce, client):
    """No process of it runs, and its sessions neither end nor go on."""
    client.make()
    machine = gce.vm("vm-1")
    machine.wait_for_ssh()
    with ThreadPoolExecutor() as pool:
        session = pool.submit(client.ssh, "while [ ! -e /tmp/go ]; do sleep 0.1; done; echo done")
        _until_a_session_runs(machine, "sleep 0.1")
        machine.freeze()
        assert {state_of(process) for process in machine.processes()} == {"T"}
        (machine.folder / "tmp/go").touch()
        with pytest.raises(TimeoutError):
            machine.wait_for_ssh(0.5)
        assert not session.done()
        machine.thaw()
        assert session.result(10).stdout == "done\n"


def test_a_blackholed_machine_is_silent(gce, client):
    """Packets are dropped both ways: a new connection hangs, nothing is refused or reset."""
    client.make()
    machine = gce.vm("vm-1")
    machine.wait_for_ssh()
    machine.blackhole()
    command = ["bash", "-c", f"exec 3<>/dev/tcp/{machine.address}/22"]
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(command, timeout=1)
    machine.thaw()
    assert client.ssh("true").returncode == 0


def test_a_full_disk_is_full(gce, client):
    """Writing to /home fails as it does on a disk that is full."""
    gce.faults.add("boot", "small_disk", bytes=1 << 20)
    client.make()
    gce.vm("vm-1").wait_for_ssh()
    gce.vm("vm-1").fill_disk()
    assert "No space left on device" in client.ssh("echo text > file").stderr


@pytest.mark.skipif(not FAKETIME.exists(), reason="libfaketime is not installed")
def test_a_clock_may_be_an_hour_off(gce, client):
    """What runs on the machine reads the wrong time, and keys expire by it."""
    gce.faults.add("boot", "clock", seconds=3600)
    expires = datetime.now(UTC) + timedelta(minutes=90)
    client.make(metadata=_metadata(client, expires))
    gce.vm("vm-1").wait_for_ssh()
    assert float(client.ssh("date +%s").stdout) == pytest.approx(time.time() + 3600, abs=60)
    gce.faults.add("boot", "clock", seconds=7200)
    client.make("vm-2", metadata=_metadata(client, expires))
    gce.vm("vm-2").wait_for_ssh()
    assert "Permission denied" in client.ssh("date", "vm-2").stderr


def _metadata(client, expires: datetime) -> dict:
    guest, keys = client.body()["metadata"]["items"]
    end = json.dumps({"userName": "jupyter", "expireOn": f"{expires:%Y-%m-%dT%H:%M:%S+0000}"})
    return {"items": [guest, {"key": "ssh-keys", "value": f"{keys['value']} google-ssh {end}"}]}


def test_a_wrong_host_key_is_published(gce, client):
    """The machine is not the one that its guest attributes describe, and ssh says so."""
    gce.faults.add("boot", "wrong_host_key")
    client.make()
    gce.vm("vm-1").wait_for_ssh()
    assert "Host key verification failed" in client.ssh("true").stderr


def test_guest_attributes_come_late_or_never(gce, client):
    """Until then they are not found."""
    gce.faults.add("boot", "late_guest_attributes", seconds=600, instance="late")
    gce.faults.add("boot", "no_guest_attributes", instance="never")
    client.make("late")
    client.make("never")
    assert _published(client, "late") is False
    _let_time_pass(gce, "late")
    assert _published(client, "late") is True
    assert _published(client, "never") is False


def _published(client, name: str) -> bool:
    from google.api_core.exceptions import NotFound

    try:
        return bool(client.host_keys(name))
    except NotFound:
        return False


def test_a_key_may_come_late(gce, client):
    """Until the guest agent has installed it, the machine lets nobody in."""
    gce.faults.add("boot", "late_ssh_key", seconds=600)
    client.make()
    gce.vm("vm-1").wait_for_ssh()
    assert "Permission denied" in client.ssh("true").stderr
    _let_time_pass(gce, "vm-1")
    assert client.ssh("true").returncode == 0


def _let_time_pass(gce, name: str) -> None:
    """As much as the guest agent was to wait."""
    for timer in gce.instance(name).timers:
        timer.function()


def test_a_guest_asks_its_metadata_server(gce, client):
    """Whether it is preempted, who it is, and its attributes; without the header it is refused."""
    client.make()
    gce.vm("vm-1").wait_for_ssh()
    ask = (
        "curl -s -H 'Metadata-Flavor: Google' metadata.google.internal/computeMetadata/v1/instance"
    )
    assert client.ssh(f"{ask}/name").stdout == "vm-1"
    assert client.ssh(f"{ask}/preempted").stdout == "FALSE"
    assert client.ssh(f"{ask}/attributes/ssh-keys").stdout.startswith("jupyter:ecdsa-")
    assert "Missing required header" in client.ssh(ask.replace("-H", "-A")).stdout


def test_a_tunnel_reaches_a_machine_without_an_address(gce, client):
    """The gcloud of the fake connects, as IAP does."""
    client.make(network_interfaces=[{}])
    assert client.get().network_interfaces[0].access_configs == []
    gce.vm("vm-1").wait_for_ssh()
    command = ["gcloud", "compute", "start-iap-tunnel", "vm-1", "22", "--listen-on-stdin"]
    path = f"{gce.tools}:{os.environ['PATH']}"
    with subprocess.Popen(
        command,
        env=os.environ | gce.environment | {"PATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as tunnel:
        assert tunnel.stdout.readline().startswith(b"SSH-2.0-OpenSSH")
        tunnel.stdin.close()
        tunnel.kill()


def test_thirty_two_machines_at_once(gce, client):
    """Made, logged in to and deleted, all at the same time."""
    names = [f"vm-{number}" for number in range(32)]

    def live(name: str) -> str:
        assert not client.make(name).error.errors
        gce.vm(name).wait_for_ssh(30)
        answer = client.ssh("hostname", name, timeout=60).stdout
        client.delete(name)
        return answer

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(live, names)) == [f"{name}\n" for name in names]
    assert (gce.instances, gce.violations) == ({}, [])


def _until_a_session_runs(machine, command: str) -> None:
    deadline = time.monotonic() + 10
    while command not in {_command(process) for process in machine.processes()}:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""
