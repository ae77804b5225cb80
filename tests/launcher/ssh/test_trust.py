"""Host key checks, and how long to wait for a first connection."""

import base64
import contextlib
import socket
import subprocess
import threading
import time
from dataclasses import replace

import paramiko
import pytest
from ssh_site import QUICK, ends_within, soon

from launcher.errors import HostKeyMismatch, MachineLost


class OtherServer(paramiko.ServerInterface):
    """An SSH server with another host key; records what a client asks."""

    def __init__(self, host_key):
        self.asked = []
        self._host_key = host_key
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        link, _ = self._listener.accept()
        transport = paramiko.Transport(link)
        transport.add_server_key(self._host_key)
        with contextlib.suppress(paramiko.SSHException, EOFError):
            transport.start_server(server=self)
        transport.join()
        self._listener.close()

    def get_allowed_auths(self, username):
        self.asked.append(username)
        return "publickey,password"

    def check_auth_none(self, username):
        self.asked.append(username)
        return paramiko.AUTH_FAILED

    def check_auth_publickey(self, username, key):
        self.asked.append(username)
        return paramiko.AUTH_FAILED


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_host_key_mismatch_ends_before_authentication(site, kind):
    """A server with another host key gets no user name and no key; the error names the machine and
    both fingerprints, and there is no retry."""
    path = site.folder / "host_key"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path], check=True)
    key = paramiko.PKey.from_path(path)
    server = OtherServer(key)
    vm = site.vm(boot=False)
    machine = site.machine(vm, address="127.0.0.1", port=server.port)
    with ends_within(2), pytest.raises(HostKeyMismatch) as caught:
        machine.wait(60)
    expected = [paramiko.Ed25519Key(data=base64.b64decode(vm.host_keys()["ssh-ed25519"]))]
    expected += [paramiko.ECDSAKey(data=base64.b64decode(vm.host_keys()["ecdsa-sha2-nistp256"]))]
    message = str(caught.value)
    assert "words-1-ab" in message and key.fingerprint in message
    assert "nothing was sent" in message
    assert any(one.fingerprint in message for one in expected)
    assert server.asked == []


@pytest.mark.parametrize(
    "host_keys",
    [[], [("ssh-dss", "AAAA")], [("ssh-ed25519", "no key")], [("ssh-ed25519", "AAAA")]],
    ids=["none", "an unknown kind", "not base64", "cut off"],
)
def test_no_usable_host_key_means_no_connection(site, host_keys):
    """No TCP connection is opened to a machine that published no usable host key."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        machine = site.machine(site.vm(boot=False), host_keys=host_keys, port=port)
        with pytest.raises(HostKeyMismatch, match="published no usable host key"):
            machine.run("true", timeout=1)
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_one_known_host_key_is_enough(site, shared_vm, shared_site, kind):
    """A machine with several host keys is authenticated by the one that was published."""
    key = (kind, shared_vm.host_keys()[kind])
    machine = shared_site.machine(shared_vm, host_keys=[("ssh-dss", "AAAA"), key])
    assert machine.run("true", timeout=5).code == 0


def test_ssh_settings_of_the_user_are_ignored(shared_site, shared_vm, tmp_path, monkeypatch):
    """Neither ~/.ssh, nor fabric's files, nor an SSH agent changes a connection."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n  Port 1\n  User nobody\n")
    (tmp_path / ".ssh" / "known_hosts").write_text(f"{shared_vm.address} ssh-ed25519 AAAA\n")
    (tmp_path / ".fabric.yaml").write_text("gateway: 'false'\nforward_agent: true\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(tmp_path / "agent"))
        agent.listen()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        machine = shared_site.machine(shared_vm)
        assert machine.run("true", timeout=5).code == 0
        agent.settimeout(0)
        with pytest.raises(BlockingIOError):
            agent.accept()


def test_wait_ends_with_the_first_connection(site):
    """`wait` goes on while the port is closed and while the key is not installed yet."""
    vm = site.vm(boot=False)
    vm.authorize("")
    with soon(vm.boot, 0.3), soon(lambda: vm.authorize(f"jupyter:{site.public_key}"), 1):
        site.machine(vm).wait(20)


def _endless_banner(listener):
    """Sends lines before the SSH banner, without end."""
    with contextlib.suppress(OSError):
        link, _ = listener.accept()
        while True:
            link.send(b"please hold the line\r\n")
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ("closed", "Connection refused"),
        ("silent", "did not complete the SSH login within 0.6 s"),
        ("endless banner", "did not complete the SSH login within 0.6 s"),
        ("no key", "Authentication failed"),
    ],
)
def test_wait_without_a_connection_is_machine_lost(site, server, reason):
    """A machine without a working SSH login is lost after the deadline, with the last error."""
    vm = site.vm(boot=False)
    with contextlib.ExitStack() as stack:
        if server in ("silent", "endless banner"):
            listener = stack.enter_context(socket.create_server((vm.address, 22)))
            if server == "endless banner":
                threading.Thread(target=_endless_banner, args=[listener], daemon=True).start()
        elif server == "no key":
            vm.authorize("")
            vm.boot()
            vm.wait_for_ssh()
        machine = site.machine(vm, replace(QUICK, authenticate=0.6))
        with ends_within(2), pytest.raises(MachineLost, match="words-1-ab") as caught:
            machine.wait(0.5)
    assert reason in str(caught.value)
