"""Machines that are reached through a proxy command."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fake_gce.host import send_signal
from ssh_site import ends_within, soon

from launcher.errors import ConfigError, MachineLost

RELAY = """
import socket, sys, threading, os
link = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def pump(read, write):
    while piece := read(65536):
        write(piece)
    os._exit(0)
threading.Thread(target=pump, args=(lambda n: os.read(0, n), link.sendall)).start()
pump(link.recv, lambda piece: os.write(1, piece))
"""


def _children():
    return Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()


@pytest.fixture
def relay(tmp_path):
    """A proxy command that starts a relay as its child, as wrapper scripts do."""
    (tmp_path / "relay.py").write_text(RELAY)
    return f"sh -c '{sys.executable} {tmp_path}/relay.py %h %p; exit 3'"


def test_proxy_command_carries_commands_and_files(shared_site, shared_vm, relay, tmp_path):
    """Commands and files pass through a proxy command, whose processes end with the connection."""
    before = _children()
    machine = shared_site.machine(shared_vm, proxy_command=relay)
    (tmp_path / "here").write_bytes(os.urandom(5_000_000))
    machine.put(tmp_path / "here", "there")
    machine.get("there", tmp_path / "back", 5_000_000)
    assert (tmp_path / "back").read_bytes() == (tmp_path / "here").read_bytes()
    assert machine.run("exit 9", timeout=5).code == 9
    assert _children() != before
    machine.close()
    assert _children() == before
    assert subprocess.run(["pgrep", "-f", f"{tmp_path}/relay.py"]).returncode == 1


def test_proxy_that_ends_or_freezes_is_a_lost_connection(shared_site, shared_vm, relay, tmp_path):
    """A proxy that ends fails the call at once, and the next call starts another; one that freezes
    fails the call within its bounds."""
    machine = shared_site.machine(shared_vm, proxy_command=relay)

    def signal_relay(number):
        found = subprocess.run(["pgrep", "-f", f"{tmp_path}/relay.py"], capture_output=True)
        send_signal(number, [int(pid) for pid in found.stdout.split()])

    for number in (signal.SIGKILL, signal.SIGSTOP):
        machine.run("true", timeout=5)
        fault = soon(lambda number=number: signal_relay(number))
        with fault, ends_within(4), pytest.raises(ConnectionError):
            machine.run("sleep 3", timeout=1)
    machine.close()
    assert subprocess.run(["pgrep", "-f", f"{tmp_path}/relay.py"]).returncode == 1


def test_last_error_of_the_proxy_is_in_the_message(site):
    """The message has the last line of the proxy's standard error; a proxy program that does not
    exist is a config error."""
    vm = site.vm(boot=False)
    command = "sh -c 'echo WARNING >&2; echo \"ERROR: not authorized for $0\" >&2; exit 1' %h"
    with pytest.raises(MachineLost, match=f"ERROR: not authorized for {vm.address}"):
        site.machine(vm, proxy_command=command).wait(0.3)
    with pytest.raises(ConfigError, match="no-such-proxy"):
        site.machine(vm, proxy_command="no-such-proxy %h").wait(5)
