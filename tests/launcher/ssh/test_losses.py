"""Calls during a network failure, a power cut, or on a frozen machine."""

import contextlib
import os
import socket
import threading
import time
from pathlib import Path

import paramiko
import pytest
from ssh_site import ends_within, soon

from launcher.errors import HostKeyMismatch
from launcher.machines.ssh.call import NO_EXTENSION, SLOWEST, Watchdog


def _touched(path):
    path.touch()
    return path


def _calls(tmp_path):
    os.truncate(_touched(tmp_path / "large"), 10 << 30)  # takes no disk
    return {
        "run": lambda machine: machine.run("sleep 3", timeout=1),
        "put": lambda machine: machine.put(tmp_path / "large", "large"),
        "get": lambda machine: machine.get("zeros", tmp_path / "back", 1 << 40),
    }


@pytest.mark.parametrize("call", ["run", "put", "get"])
@pytest.mark.parametrize("fault", ["power_cut", "freeze", "blackhole"])
def test_silent_machine_ends_each_call_within_its_bounds(site, tmp_path, capfd, fault, call):
    """A power cut, a frozen machine and a dead network end each call within its bounds, with one
    exception and no output."""
    vm = site.vm()
    machine = site.machine(vm)
    machine.run("truncate -s 1T zeros", timeout=5)
    before = threading.active_count()
    with (
        soon(getattr(vm, fault)),
        ends_within(4),
        pytest.raises(ConnectionError, match="words-1-ab"),
    ):
        _calls(tmp_path)[call](machine)
    assert threading.active_count() <= before
    assert not (tmp_path / "back").exists()
    assert capfd.readouterr() == ("", "")


def test_lost_packets_end_a_long_command_early(site):
    """A connection whose packets are lost is cut long before the timeout of its command."""
    vm = site.vm()
    machine = site.machine(vm)
    with soon(vm.blackhole), ends_within(4), pytest.raises(ConnectionError, match="broke"):
        machine.run("sleep 60", timeout=60)


@pytest.mark.parametrize("fault", ["freeze", "blackhole"])
def test_next_call_reconnects_once_the_machine_answers(site, fault):
    """A lost machine is connected again by the next call once it answers; until then each call
    ends within its bounds."""
    vm = site.vm()
    machine = site.machine(vm)
    machine.run("echo kept >file", timeout=5)
    getattr(vm, fault)()
    for _ in range(2):
        with ends_within(5), pytest.raises(ConnectionError):
            machine.run("true", timeout=0.2)
    vm.thaw()
    assert machine.run("cat file", timeout=5).stdout == b"kept\n"


def test_log_is_complete_after_dropped_connections(site, tmp_path):
    """After each dropped connection the next call works, and every byte of a log arrives."""
    vm = site.vm()
    machine = site.machine(vm)
    machine.run("seq 100000 >log", timeout=5)
    read = b""
    for _ in range(3):
        done = machine.run(f"tail -c +{len(read) + 1} log | head -c 200000", timeout=5)
        read += done.stdout
        with pytest.raises(ConnectionError):
            machine.run("kill -9 $(pgrep -f '^sshd: jupyter')", timeout=5)
    assert read == b"".join(b"%d\n" % n for n in range(1, 100001))[: len(read)]
    assert len(read) == 588_895


def test_rebooted_machine_is_reconnected(site):
    """A reboot between two calls fails at most one of them."""
    vm = site.vm()
    machine = site.machine(vm)
    machine.run("true", timeout=5)
    vm.power_cut()
    vm.boot()
    vm.wait_for_ssh()
    with contextlib.suppress(ConnectionError):
        machine.run("true", timeout=5)
    assert machine.run("exit 4", timeout=5).code == 4


def test_watchdog_cuts_a_transfer_that_is_too_slow():
    """The watchdog cuts a connection on which only a byte moves now and then."""
    ours, theirs = socket.socketpair()
    with ours, theirs, Watchdog(ours, 0.3) as watchdog:
        with ends_within(0.5):
            while not watchdog.fired:
                watchdog.feed(1)
                time.sleep(0.05)
        assert ours.recv(1) == b""
    with ours, theirs, Watchdog(ours, 0.3) as watchdog:
        for _ in range(5):
            watchdog.feed(SLOWEST)
            time.sleep(0.1)
        assert not watchdog.fired


def test_output_does_not_extend_the_time_of_a_command():
    """With NO_EXTENSION, bytes that move do not delay the cut of a connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs, Watchdog(ours, 0.3, NO_EXTENSION) as watchdog, ends_within(0.5):
        while not watchdog.fired:
            watchdog.feed(1 << 20)
            time.sleep(0.05)


def _open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_connection_lost_right_after_the_login_is_a_lost_connection(site, monkeypatch):
    """A socket that closes as soon as the login is complete is a lost connection, like every other,
    and the next call connects again."""
    machine = site.machine(site.vm())

    def close_first(self, interval):
        monkeypatch.undo()
        self.sock.close()

    monkeypatch.setattr(paramiko.Transport, "set_keepalive", close_first)
    with pytest.raises(ConnectionError, match="words-1-ab cannot be reached: Bad file descriptor"):
        machine.run("true", timeout=5)
    assert machine.run("echo again", timeout=5).stdout == b"again\n"


def test_close_leaves_no_thread_socket_or_process(site):
    """After `close`, or a failed connection, no thread, socket or process is left."""
    vm = site.vm()
    before = threading.active_count(), _open_files()
    machine = site.machine(vm)
    machine.run("true", timeout=5)
    machine.close()
    machine.close()
    with pytest.raises(HostKeyMismatch):
        other = [("ssh-ed25519", site.public_key.split()[1])]
        site.machine(vm, host_keys=other).run("true", timeout=5)
    vm.authorize("")
    with pytest.raises(ConnectionError):
        machine.run("true", timeout=5)
    assert (threading.active_count(), _open_files()) == before
