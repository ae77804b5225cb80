"""One command over an SSH connection, and the watchdog that bounds its time."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import paramiko

from launcher.machines.ssh.proxy import ProxySocket

Link = socket.socket | ProxySocket  # what carries a connection

CHUNK = 63 * 512  # bytes moved at once: as many blocks of tar as fit an SSH packet
OUTPUT_LIMIT = 16 << 20  # bytes a command may print; results come as files
SLOWEST = 16 << 10  # bytes per second; a transfer that moves fewer is cut
NO_EXTENSION = float("inf")  # as the slowest rate: bytes that move give no more time
BROKEN = (paramiko.SSHException, EOFError, OSError)  # what paramiko raises on a lost connection


class Call:
    """One command on a machine, over a channel of its own."""

    _channel: paramiko.Channel  # from `start` on

    def __init__(self, name: str, watchdog: "Watchdog") -> None:
        self.seconds = 0.0  # how long the command took, once it has ended
        self._name = name
        self._watchdog = watchdog
        self._started = time.monotonic()

    def start(self, transport: paramiko.Transport, command: str, seconds: float) -> None:
        """Start a shell command; the channel must open within `seconds`."""
        try:
            # With a window as large as the bound neither output blocks the other, so that one can
            # be read after the other.
            self._channel = transport.open_session(OUTPUT_LIMIT, timeout=seconds)
            self._watchdog.channel = self._channel
            self._started = time.monotonic()
            self._channel.exec_command(f"exec {command}")
        except BROKEN:
            raise self._lost() from None

    def write(self, data: bytes) -> None:
        """Send input. Raises BrokenPipeError where the command reads no more."""
        try:
            self._channel.sendall(data)
        except BROKEN:
            raise BrokenPipeError from None
        self._watchdog.feed(len(data))

    def close_input(self) -> None:
        """Send the end of the input."""
        try:
            self._channel.shutdown_write()
        except BROKEN:
            raise BrokenPipeError from None

    def output(self, limit: int) -> Iterator[bytes]:
        """The standard output. Raises ValueError once it is longer than `limit` bytes."""
        return self._read(self._channel.recv, limit)

    def end(self) -> tuple[int, bytes]:
        """Wait for the end of the command: its exit code and its standard error."""
        errors = b"".join(self._read(self._channel.recv_stderr, OUTPUT_LIMIT))
        self._channel.status_event.wait()
        code = self._channel.exit_status
        if code == -1:  # no code came: the connection broke, or the shell was killed
            raise self._lost()
        self.seconds = time.monotonic() - self._started
        return code, errors

    def stop(self) -> None:
        """Close the channel."""
        if self._watchdog.channel:
            with contextlib.suppress(*BROKEN):
                self._channel.close()

    def _read(self, receive: Callable[[int], bytes], limit: int) -> Iterator[bytes]:
        received = 0
        while chunk := self._receive(receive):
            received += len(chunk)
            if received > limit:
                raise ValueError(f"{self._name} sent more than {limit:,} bytes")
            self._watchdog.feed(len(chunk))
            yield chunk

    def _receive(self, receive: Callable[[int], bytes]) -> bytes:
        try:
            return receive(CHUNK)
        except BROKEN:
            raise self._lost() from None

    def _lost(self) -> ConnectionError:
        if self._watchdog.fired:
            return ConnectionError(f"{self._name} has not answered for {self._watchdog.stall:g} s")
        return ConnectionError(f"the connection to {self._name} broke")


class Watchdog(threading.Thread):
    """Cuts a connection once no byte has moved for `stall` seconds, or fewer than `slowest` bytes
    per second beyond them; a call that waits on it then fails. No other timeout ends a call to a
    frozen machine."""

    def __init__(self, link: Link, stall: float, slowest: float = SLOWEST) -> None:
        super().__init__(daemon=True)
        self.fired = False
        self.stall = stall
        self.channel: paramiko.Channel | None = None
        self._link = link
        self._slowest = slowest
        self._over = threading.Event()
        self._slow = self._until = time.monotonic() + stall

    def feed(self, size: int) -> None:
        """`size` bytes have moved."""
        self._slow += size / self._slowest
        self._until = min(time.monotonic() + self.stall, self._slow)

    def run(self) -> None:
        """Wait, then cut the connection."""
        while (left := self._until - time.monotonic()) > 0:
            if self._over.wait(left):
                return
        self.fired = True
        shut(self._link)
        if self.channel:
            # paramiko waits for ever where the transport ends between its check and its wait.
            self.channel.event.set()

    def __enter__(self) -> "Watchdog":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def shut(link: Link) -> None:
    """End a connection at once, also for a thread that waits on it."""
    with contextlib.suppress(OSError):  # it has ended already
        link.shutdown(socket.SHUT_RDWR)
