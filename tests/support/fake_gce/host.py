"""The host of the virtual machines: addresses, processes and packets."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PRIVATE_ROOTS = ("/home", "/root", "/tmp", "/var/tmp")  # a machine has its own instead


def missing_tools() -> str:
    """What this computer lacks to run virtual machines; "" = nothing."""
    lacking = [tool for tool in ("bwrap", "ssh-keygen", "ssh", "nft") if shutil.which(tool) is None]
    lacking += [] if Path("/usr/sbin/sshd").exists() else ["sshd"]
    if lacking:
        return f"no {', '.join(lacking)} on this computer"
    return "" if os.geteuid() == 0 else "virtual machines need root"


def send_signal(number: signal.Signals, processes: Iterable[int]) -> None:
    """Signal processes, some of which may have ended already."""
    for process in processes:
        try:
            os.kill(process, number)
        except ProcessLookupError:
            continue


def state_of(process: int) -> str:
    """One letter, as ps shows it: R, S, T, Z …; Z also where it has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def command_of(process: int) -> str:
    """Its command line; "" where it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


class Firewall:
    """Drops all packets of an address silently, in this network namespace."""

    def __init__(self) -> None:
        self._table = f"fake_gce_{os.getpid()}_{id(self):x}"
        self._dropped: set[str] = set()
        self._exists = False

    def drop(self, address: str) -> None:
        """Raises FileNotFoundError where nft is not installed."""
        if not self._exists:
            chain = "{ type filter hook input priority 0; }"
            self._nft(
                f"add table inet {self._table}",
                f"add set inet {self._table} dropped {{ type ipv4_addr; }}",
                f"add chain inet {self._table} packets {chain}",
                f"add rule inet {self._table} packets ip daddr @dropped drop",
                f"add rule inet {self._table} packets ip saddr @dropped drop",
            )
            self._exists = True
        self._nft(f"add element inet {self._table} dropped {{ {address} }}")
        self._dropped.add(address)

    def let_pass(self, address: str) -> None:
        if address in self._dropped:
            self._nft(f"delete element inet {self._table} dropped {{ {address} }}")
            self._dropped.discard(address)

    def close(self) -> None:
        if self._exists:
            self._nft(f"delete table inet {self._table}")
            self._exists = False

    def _nft(self, *commands: str) -> None:
        subprocess.run(["nft", "-f", "-"], input="\n".join(commands), text=True, check=True)


class Host:
    """Starts virtual machines; each ends with this process, however that ends."""

    def __init__(self, shared: Iterable[str] = ()) -> None:
        self.firewall = Firewall()
        self.shared = _hidden([sys.prefix, sys.base_prefix, *shared])
        # bwrap's --die-with-parent kills a machine in any state. The parent is the thread that
        # started it, so one thread starts all. It takes effect only once the machine is set up,
        # so each machine also reads from a pipe that ends with this process.
        self.lifeline, self._alive = os.pipe()
        self._spawner = ThreadPoolExecutor(1, thread_name_prefix="spawner")

    def spawn(self, bwrap: list[str]) -> tuple[subprocess.Popen, int]:
        """Start a namespace: bwrap's process, and the host's number of process 1 in the namespace,
        which runs. Raises RuntimeError where it does not start."""
        process, first = self._spawner.submit(self._spawn, bwrap).result(30)
        deadline = time.monotonic() + 30
        while _name(first) == "bwrap":  # it still sets up the namespace
            if time.monotonic() > deadline:
                raise RuntimeError("bwrap does not start")
            time.sleep(0.002)
        return process, first

    def processes_like(self, process: int) -> list[int]:
        """Every process of the namespace of `process`."""
        space = _namespace(process)
        numbers = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
        return [number for number in numbers if space and _namespace(number) == space]

    def close(self) -> None:
        """Close; every machine must be off."""
        self._spawner.shutdown()
        self.firewall.close()
        for end in (self.lifeline, self._alive):
            if end >= 0:
                os.close(end)
        self.lifeline = self._alive = -1

    def _spawn(self, bwrap: list[str]) -> tuple[subprocess.Popen, int]:
        reading, writing = os.pipe()
        with os.fdopen(reading) as info:
            command = [bwrap[0], "--info-fd", str(writing), *bwrap[1:]]
            process = subprocess.Popen(  # a session of its own: no Ctrl-C ends it
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=[writing, self.lifeline],
                start_new_session=True,
            )
            os.close(writing)
            answer = info.read()
        if not answer:
            raise RuntimeError(f"bwrap ended with {process.wait()}")
        return process, json.loads(answer)["child-pid"]


def reserve_address(port: int) -> socket.socket:
    """A socket that listens on `port` of a free loopback address; while it is open, no other fake
    uses the address. Other fakes may run in this network namespace, hence the random start."""
    start = random.SystemRandom().randrange(250)
    for third in range(1, 250):
        for fourth in range(250):
            address = f"127.0.{third}.{(start + fourth) % 250 + 1}"
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((address, port))
                listener.listen(64)
                return listener
            except OSError:
                listener.close()
    raise RuntimeError("no loopback address is free")


def _name(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return ""


def _namespace(process: int) -> int | None:
    try:
        return Path(f"/proc/{process}/ns/pid").stat().st_ino
    except OSError:
        return None


def _hidden(paths: Iterable[str]) -> list[str]:
    """Existing paths that the private folders of a machine hide."""
    places = {str(Path(path).resolve()) for path in paths if Path(path).exists()}
    return sorted(
        place for place in places if place.startswith(tuple(f"{r}/" for r in PRIVATE_ROOTS))
    )
