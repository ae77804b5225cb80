"""One command over an SSH connection, and the watchdog that no call outlives."""

import contextlib
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterator

import paramiko

from launcher.machines.ssh.proxy import ProxySocket

PIECE = 63 * 512  # bytes moved at once; blocks of tar that fit one SSH packet
OUTPUT_LIMIT = 16 << 20  # bytes a command may print; results come as files
SLOWEST = 16 << 10  # bytes per second of a transfer that is still waited for
AT_ONCE = float("inf")  # a slowest rate that gives no more time, however much arrives
BROKEN = (paramiko.SSHException, EOFError, OSError)  # what paramiko raises on a lost connection


class Call:
    """One command on a machine, over a channel of its own."""

    def __init__(self, name: str, watchdog: "Watchdog") -> None:
        self.seconds = 0.0  # that the command took, once it has ended
        self._name = name
        self._watchdog = watchdog
        self._channel: paramiko.Channel | None = None
        self._started = time.monotonic()

    def start(self, transport: paramiko.Transport, script: str, seconds: float) -> None:
        """Start `script`; to open the channel may take `seconds`."""
        try:
            # A window as large as the bound: error output never blocks output, or the other
            # way round, and one can be read after the other.
            self._channel = transport.open_session(OUTPUT_LIMIT, timeout=seconds)
            self._watchdog.channel = self._channel
            self._started = time.monotonic()
            self._channel.exec_command(f"exec bash -c {shlex.quote(script)}")
        except BROKEN:
            raise self._lost() from None

    def write(self, data: bytes) -> None:
        """Send input. Raises BrokenPipeError when the command takes no more."""
        try:
            self._channel.sendall(data)
        except BROKEN:
            raise BrokenPipeError from None
        self._watchdog.feed(len(data))

    def close_input(self) -> None:
        """The command finds the end of its input."""
        try:
            self._channel.shutdown_write()
        except BROKEN:
            raise BrokenPipeError from None

    def output(self, limit: int) -> Iterator[bytes]:
        """What the command prints. Raises ValueError once that is more than `limit` bytes."""
        return self._read(self._channel.recv, limit)

    def end(self) -> tuple[int, bytes]:
        """Wait for the end of the command: its exit code and what it printed as errors."""
        errors = b"".join(self._read(self._channel.recv_stderr, OUTPUT_LIMIT))
        self._channel.status_event.wait()
        code = self._channel.exit_status
        if code == -1:  # no code came: the connection, or the shell around the command, was cut
            raise self._lost()
        self.seconds = time.monotonic() - self._started
        return code, errors

    def stop(self) -> None:
        """Let go of the channel."""
        if self._channel:
            with contextlib.suppress(*BROKEN):
                self._channel.close()

    def _read(self, receive: Callable[[int], bytes], limit: int) -> Iterator[bytes]:
        received = 0
        while piece := self._receive(receive):
            received += len(piece)
            if received > limit:
                raise ValueError(f"{self._name} sends more than {limit:,} bytes")
            self._watchdog.feed(len(piece))
            yield piece

    def _receive(self, receive: Callable[[int], bytes]) -> bytes:
        try:
            return receive(PIECE)
        except BROKEN:
            raise self._lost() from None

    def _lost(self) -> ConnectionError:
        if self._watchdog.fired:
            return ConnectionError(f"{self._name} has not answered for {self._watchdog.quiet:g} s")
        return ConnectionError(f"the connection to {self._name} broke")


class Watchdog(threading.Thread):
    """Cuts a connection on which nothing has moved for `quiet` seconds, or less than `slowest`
    bytes per second beyond them; whoever waits on it then fails. The only way out of a frozen
    machine."""

    def __init__(
        self, link: socket.socket | ProxySocket, quiet: float, slowest: float = SLOWEST
    ) -> None:
        super().__init__(daemon=True)
        self.fired = False
        self.quiet = quiet
        self.channel: paramiko.Channel | None = None
        self._link = link
        self._slowest = slowest
        self._over = threading.Event()
        self._slow = self._until = time.monotonic() + quiet

    def feed(self, size: int) -> None:
        """`size` bytes have moved."""
        self._slow += size / self._slowest
        self._until = min(time.monotonic() + self.quiet, self._slow)

    def run(self) -> None:
        """Wait, then cut."""
        while (left := self._until - time.monotonic()) > 0:
            if self._over.wait(left):
                return
        self.fired = True
        shut(self._link)
        if self.channel:
            # A transport that died between paramiko's check and its wait never wakes it.
            self.channel.event.set()

    def __enter__(self) -> "Watchdog":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        self.join()


def shut(link: socket.socket | ProxySocket) -> None:
    """End a connection at once for whoever waits on it."""
    with contextlib.suppress(OSError):  # it has ended already
        link.shutdown(socket.SHUT_RDWR)
