"""Whom a machine's address is believed, and how long a machine is waited for."""

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


class Stranger(paramiko.ServerInterface):
    """Someone at the machine's address with a host key of their own."""

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
def test_a_strangers_host_key_is_refused_before_anything_is_said(site, kind):
    """Whoever shows another host key hears no user's name and no key, and the refusal names the
    machine and both fingerprints, without another attempt."""
    path = site.folder / "host_key"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path], check=True)
    key = paramiko.PKey.from_path(path)
    stranger = Stranger(key)
    vm = site.vm(boot=False)
    machine = site.machine(vm, address="127.0.0.1", port=stranger.port)
    with ends_within(2), pytest.raises(HostKeyMismatch) as caught:
        machine.wait(60)
    expected = [paramiko.Ed25519Key(data=base64.b64decode(vm.host_keys()["ssh-ed25519"]))]
    expected += [paramiko.ECDSAKey(data=base64.b64decode(vm.host_keys()["ecdsa-sha2-nistp256"]))]
    said = str(caught.value)
    assert "words-1-ab" in said and key.fingerprint in said and "nothing was sent" in said
    assert any(one.fingerprint in said for one in expected)
    assert stranger.asked == []


@pytest.mark.parametrize(
    "host_keys",
    [[], [("ssh-dss", "AAAA")], [("ssh-ed25519", "no key")], [("ssh-ed25519", "AAAA")]],
    ids=["none", "an unknown kind", "not base64", "cut off"],
)
def test_without_a_host_key_to_check_nobody_is_called(site, host_keys):
    """A machine that published no usable host key is not even dialled."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        machine = site.machine(site.vm(boot=False), host_keys=host_keys, port=port)
        with pytest.raises(HostKeyMismatch, match="published no host key"):
            machine.run("true", timeout=1)
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_one_of_its_host_keys_is_enough(site, shared_vm, shared_site, kind):
    """A machine that has several host keys is known by the one that we have."""
    key = (kind, shared_vm.host_keys()[kind])
    machine = shared_site.machine(shared_vm, host_keys=[("ssh-dss", "AAAA"), key])
    assert machine.run("true", timeout=5).code == 0


def test_the_users_own_settings_play_no_part(shared_site, shared_vm, tmp_path, monkeypatch):
    """Neither ~/.ssh, nor fabric's files, nor an agent has a say in how a machine is reached."""
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


def test_waiting_ends_with_the_first_login(site):
    """A port that is still closed and a key that is not there yet are waited for."""
    vm = site.vm(boot=False)
    vm.authorize("")
    with soon(vm.boot, 0.3), soon(lambda: vm.authorize(f"jupyter:{site.public_key}"), 1):
        site.machine(vm).wait(20)


def _chatter(listener):
    """Greets for ever, a line at a time, and never comes to the point."""
    with contextlib.suppress(OSError):
        link, _ = listener.accept()
        while True:
            link.send(b"please hold the line\r\n")
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ("nobody", "Connection refused"),
        ("mute", "did not finish a login within 0.6 s"),
        ("chatty", "did not finish a login within 0.6 s"),
        ("deaf", "Authentication failed"),
    ],
)
def test_waiting_ends_with_its_deadline(site, answers, said):
    """A machine that lets nobody in is lost once the deadline is over, and why is said."""
    vm = site.vm(boot=False)
    with contextlib.ExitStack() as stack:
        if answers in ("mute", "chatty"):
            listener = stack.enter_context(socket.create_server((vm.address, 22)))
            if answers == "chatty":
                threading.Thread(target=_chatter, args=[listener], daemon=True).start()
        elif answers == "deaf":
            vm.authorize("")
            vm.boot()
            vm.wait_for_ssh()
        machine = site.machine(vm, replace(QUICK, authenticate=0.6))
        with ends_within(2), pytest.raises(MachineLost, match="words-1-ab") as caught:
            machine.wait(0.5)
    assert said in str(caught.value)
