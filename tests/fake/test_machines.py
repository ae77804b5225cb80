"""The machines behind the instances: real processes, reached by a real ssh."""

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fake_gce.host import command_of, state_of
from fake_gce.vm import FAKETIME


def test_machine_is_isolated_from_the_host(fake, connect, tmp_path):
    """A machine has its own name, users, processes, /tmp, environment; host files are read-only."""
    client = connect(gce := fake(vm_environment={"PYTHON": "/usr/bin/env python3", "EMPTY": ""}))
    client.create()
    gce.vm("vm-1").wait_for_ssh()
    (tmp_path / "secret").write_text("of the host")
    script = f"hostname; id -u; id -un; pwd; echo $PYTHON; ls {tmp_path} /tmp; ps ax | wc -l;"
    script += "sudo touch /usr/x /etc/x"
    lines = client.ssh(script).stdout.splitlines()
    assert lines[:4] == ["vm-1", "1000", "jupyter", "/home/jupyter"]
    assert lines[4] == "/usr/bin/env python3"
    assert "secret" not in lines and not Path("/usr/x").exists()
    assert int(lines[-1]) < 15


def test_user_is_not_root_and_sudo_is(gce, client):
    """The user owns its home alone; sudo runs a command as root, with its input and exit code."""
    client.create()
    gce.vm("vm-1").wait_for_ssh()
    assert client.ssh("touch file /tmp/file && stat -c %U . file").stdout == "jupyter\njupyter\n"
    assert "Permission denied" in client.ssh("touch /root/file || ls /root").stderr
    refused = client.ssh("poweroff")
    assert refused.returncode != 0 and gce.vm("vm-1").ended() is None
    done = client.ssh("echo words | sudo -n tee '/root/a file'; sudo sh -c 'id -un; pwd; exit 7'")
    assert (done.stdout, done.returncode) == ("words\nroot\n/home/jupyter\n", 7)
    assert (gce.vm("vm-1").folder / "root/a file").read_text() == "words\n"


def test_startup_script_runs_as_root_at_each_boot(gce, client, until):
    """The start-up script has the machine's environment; its output is on the serial port."""
    items = client.body()["metadata"]["items"]
    items.append({"key": "startup-script", "value": "#!/bin/bash\nid -u; echo boot >> /root/boots"})
    client.create(metadata={"items": items})
    boots = gce.vm("vm-1").folder / "root/boots"
    until(boots.exists)
    gce.vm("vm-1").wait_for_ssh()
    client.ssh("sudo reboot")
    until(lambda: boots.read_text() == "boot\nboot\n")
    place = {"project": "test-project", "zone": "us-west1-b", "instance": "vm-1"}
    assert client.instances.get_serial_port_output(**place).contents.startswith("0\n")


@pytest.mark.parametrize("command", ["poweroff", "systemctl poweroff", "shutdown -h now"])
def test_guest_powers_itself_off(gce, client, command):
    """Each of the usual commands powers the machine off."""
    client.create()
    gce.vm("vm-1").wait_for_ssh()
    client.ssh(f"sudo -n {command}")
    assert gce.vm("vm-1").wait() == 0


def test_power_cut_ends_a_session_at_once(gce, client):
    """The SSH client of a machine without power ends with an error."""
    client.create(scheduling={"automatic_restart": False})
    machine = gce.vm("vm-1")
    machine.wait_for_ssh()
    with ThreadPoolExecutor() as pool:
        session = pool.submit(client.ssh, "sleep 60")
        _until_a_session_runs(machine, "sleep 60")
        machine.power_cut()
        assert session.result(10).returncode == 255


def test_frozen_machine_does_nothing_until_it_thaws(gce, client):
    """No process of a frozen machine runs; its sessions neither end nor go on."""
    client.create()
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


def test_blackholed_machine_is_silent(gce, client):
    """Packets are dropped in both directions: a new connection hangs, none is refused or reset."""
    client.create()
    machine = gce.vm("vm-1")
    machine.wait_for_ssh()
    machine.blackhole()
    command = ["bash", "-c", f"exec 3<>/dev/tcp/{machine.address}/22"]
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(command, timeout=1)
    machine.thaw()
    assert client.ssh("true").returncode == 0


def test_write_to_a_full_disk_fails(gce, client):
    """Writing to /home fails as on a full disk."""
    gce.faults.add("boot", "small_disk", bytes=1 << 20)
    client.create()
    gce.vm("vm-1").wait_for_ssh()
    gce.vm("vm-1").fill_disk()
    assert "No space left on device" in client.ssh("echo text > file").stderr


@pytest.mark.skipif(not FAKETIME.exists(), reason="libfaketime is not installed")
def test_clock_of_a_machine_may_be_wrong(gce, client):
    """Programs on the machine read the wrong time, and keys expire by it."""
    gce.faults.add("boot", "clock", seconds=3600)
    expires = datetime.now(UTC) + timedelta(minutes=90)
    client.create(metadata=_metadata(client, expires))
    gce.vm("vm-1").wait_for_ssh()
    assert float(client.ssh("date +%s").stdout) == pytest.approx(time.time() + 3600, abs=60)
    gce.faults.add("boot", "clock", seconds=7200)
    client.create("vm-2", metadata=_metadata(client, expires))
    gce.vm("vm-2").wait_for_ssh()
    assert "Permission denied" in client.ssh("date", "vm-2").stderr


def _metadata(client, expires: datetime) -> dict:
    guest, keys = client.body()["metadata"]["items"]
    end = json.dumps({"userName": "jupyter", "expireOn": f"{expires:%Y-%m-%dT%H:%M:%S+0000}"})
    return {"items": [guest, {"key": "ssh-keys", "value": f"{keys['value']} google-ssh {end}"}]}


def test_wrong_host_key_is_published(gce, client):
    """The published host key is not that of the machine, and ssh refuses it."""
    gce.faults.add("boot", "wrong_host_key")
    client.create()
    gce.vm("vm-1").wait_for_ssh()
    assert "Host key verification failed" in client.ssh("true").stderr


def test_host_keys_are_published_again_as_lines(gce, client):
    """A second publisher replaces the values: the same keys, as whole lines."""
    gce.faults.add("boot", "host_keys_again", seconds=600)
    client.create()
    bare = client.host_keys()
    _let_time_pass(gce, "vm-1")
    again = client.host_keys()
    assert again == {kind: f"{kind} {key} root@vm-1" for kind, key in bare.items()}


def test_host_keys_are_made_anew_at_the_first_boot(gce, client, until):
    """The first keys are published and valid, then others are."""
    gce.faults.add("boot", "new_host_keys", seconds=600)
    client.create()
    gce.vm("vm-1").wait_for_ssh()
    first = client.host_keys()
    assert client.ssh("true").returncode == 0
    _let_time_pass(gce, "vm-1")
    second = client.host_keys()
    assert set(first) == set(second) and not set(first.values()) & set(second.values())
    until(lambda: client.ssh("true").returncode == 0)  # with the second keys


def test_guest_attributes_are_late_or_missing(gce, client):
    """Guest attributes that are not published yet are not found."""
    gce.faults.add("boot", "late_guest_attributes", seconds=600, instance="late")
    gce.faults.add("boot", "no_guest_attributes", instance="never")
    client.create("late")
    client.create("never")
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


def test_key_is_installed_late(gce, client):
    """Until the guest agent installs the key, the machine refuses it."""
    gce.faults.add("boot", "late_ssh_key", seconds=600)
    client.create()
    gce.vm("vm-1").wait_for_ssh()
    assert "Permission denied" in client.ssh("true").stderr
    _let_time_pass(gce, "vm-1")
    assert client.ssh("true").returncode == 0


def _let_time_pass(gce, name: str) -> None:
    """Run the delayed actions of the guest agent now."""
    for timer in gce.instance(name).timers:
        timer.function()


def test_guest_reads_its_metadata_server(gce, client):
    """The guest reads preemption, name and attributes; without the header it is refused."""
    client.create()
    gce.vm("vm-1").wait_for_ssh()
    ask = (
        "curl -s -H 'Metadata-Flavor: Google' metadata.google.internal/computeMetadata/v1/instance"
    )
    assert client.ssh(f"{ask}/name").stdout == "vm-1"
    assert client.ssh(f"{ask}/preempted").stdout == "FALSE"
    assert client.ssh(f"{ask}/attributes/ssh-keys").stdout.startswith("jupyter:ecdsa-")
    assert "Missing required header" in client.ssh(ask.replace("-H", "-A")).stdout


def test_tunnel_reaches_a_machine_without_address(gce, client):
    """The gcloud of the fake connects to a machine, as IAP does."""
    client.create(network_interfaces=[{}])
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


def test_32_machines_at_once(gce, client):
    """32 machines are created, connected and deleted at the same time."""
    names = [f"vm-{number}" for number in range(32)]

    def live(name: str) -> str:
        assert not client.create(name).error.errors
        gce.vm(name).wait_for_ssh(30)
        answer = client.ssh("hostname", name, timeout=60).stdout
        client.delete(name)
        return answer

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(live, names)) == [f"{name}\n" for name in names]
    assert (gce.instances, gce.violations) == ({}, [])


def _until_a_session_runs(machine, command: str) -> None:
    deadline = time.monotonic() + 10
    while command not in {command_of(process) for process in machine.processes()}:
        assert time.monotonic() < deadline
        time.sleep(0.02)
