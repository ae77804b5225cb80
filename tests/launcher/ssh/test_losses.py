"""What a network, a power cut and a frozen machine can do to a call."""

import contextlib
import os
import socket
import threading
import time
from pathlib import Path

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
def test_a_machine_that_falls_silent_holds_nobody(site, tmp_path, capfd, fault, call):
    """A power cut, a frozen machine and a dead network end each call within its bounds, with one
    exception and nothing on the screen."""
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


def test_a_dead_network_is_noticed_long_before_a_command_is_due(site):
    """Without any traffic of its own, a connection whose packets vanish is known to be dead."""
    vm = site.vm()
    machine = site.machine(vm)
    with soon(vm.blackhole), ends_within(4), pytest.raises(ConnectionError, match="broke"):
        machine.run("sleep 60", timeout=60)


@pytest.mark.parametrize("fault", ["freeze", "blackhole"])
def test_the_next_call_connects_anew(site, fault):
    """A machine that was lost is reached again by the next call once it answers again; until
    then each call ends within its bounds."""
    vm = site.vm()
    machine = site.machine(vm)
    machine.run("echo kept >file", timeout=5)
    getattr(vm, fault)()
    for _ in range(2):
        with ends_within(5), pytest.raises(ConnectionError):
            machine.run("true", timeout=0.2)
    vm.thaw()
    assert machine.run("cat file", timeout=5).stdout == b"kept\n"


def test_a_server_may_drop_the_connection_as_often_as_it_likes(site, tmp_path):
    """After each loss the next call works, and every byte of a log still arrives."""
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


def test_a_machine_that_rebooted_is_reached_again(site):
    """A connection that died unnoticed between two calls costs at most one of them."""
    vm = site.vm()
    machine = site.machine(vm)
    machine.run("true", timeout=5)
    vm.power_cut()
    vm.boot()
    vm.wait_for_ssh()
    with contextlib.suppress(ConnectionError):
        machine.run("true", timeout=5)
    assert machine.run("exit 4", timeout=5).code == 4


def test_a_transfer_that_crawls_is_given_up():
    """A machine that sends a byte now and then, to be waited for, is cut off all the same."""
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


def test_printing_buys_a_command_no_time():
    """Output does not put off the moment at which a command's connection is cut."""
    ours, theirs = socket.socketpair()
    with ours, theirs, Watchdog(ours, 0.3, NO_EXTENSION) as watchdog, ends_within(0.5):
        while not watchdog.fired:
            watchdog.feed(1 << 20)
            time.sleep(0.05)


def _open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_closing_leaves_nothing(site):
    """After `close`, also after a failed login, no thread, socket or process of ours is left."""
    vm = site.vm()
    before = threading.active_count(), _open_files()
    machine = site.machine(vm)
    machine.run("true", timeout=5)
    machine.close()
    machine.close()
    with pytest.raises(HostKeyMismatch):
        stranger = [("ssh-ed25519", site.public_key.split()[1])]
        site.machine(vm, host_keys=stranger).run("true", timeout=5)
    vm.authorize("")
    with pytest.raises(ConnectionError):
        machine.run("true", timeout=5)
    assert (threading.active_count(), _open_files()) == before
