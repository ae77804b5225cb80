"""Real SSH servers, and helpers for tests with them."""

import contextlib
import threading
import time
from dataclasses import replace

from fake_gce.host import Host, reserve_address
from fake_gce.vm import Hardware, Vm

from launcher.machines.ssh import machine

QUICK = machine.Bounds(
    tcp_connect=1,
    authenticate=2,
    grace=0.8,
    stall=1,
    unacknowledged=0.8,
    keepalive=0.4,
    retry=0.1,
)
HEALTHY = Hardware()
SLACK = 4  # seconds that a busy computer may add to a bound


class Site:
    """Virtual machines with SSH servers, and the job's key."""

    def __init__(self, folder):
        self.folder = folder
        self.host = Host()
        self.public_key = machine.new_key(folder)
        self._vms, self._addresses, self._machines = [], [], []

    def vm(self, hardware=HEALTHY, boot=True):
        """A virtual machine whose user `jupyter` accepts the job's key."""
        self._addresses.append(reserve_address(1))
        address = self._addresses[-1].getsockname()[0]
        folder = self.folder / f"vm-{len(self._vms)}"
        vm = Vm("words-1-ab", address, folder, self.host, ["jupyter"], hardware=hardware)
        self._vms.append(vm)
        vm.install()
        vm.authorize(f"jupyter:{self.public_key}")
        if boot:
            vm.boot()
            vm.wait_for_ssh()
        return vm

    def machine(self, vm, bounds=QUICK, **changes):
        """The SshMachine of a virtual machine."""
        access = machine.Access(
            "jupyter", vm.address, self.folder / "ssh_key", list(vm.host_keys().items())
        )
        self._machines.append(machine.SshMachine(vm.name, replace(access, **changes), bounds))
        return self._machines[-1]

    def close(self):
        """Close connections and delete machines."""
        for thing in [*self._machines, *self._addresses]:
            thing.close()
        for vm in self._vms:
            vm.remove()
        self.host.close()


@contextlib.contextmanager
def ends_within(seconds):
    """Fails unless the block ends within `seconds` and some slack."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds + SLACK


@contextlib.contextmanager
def soon(act, after=0.3):
    """Calls `act` while the block runs."""
    timer = threading.Timer(after, act)
    timer.start()
    yield
    timer.join()
