"""A command whose standard input and output are a connection, such as an IAP tunnel."""

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import tempfile

STDERR_TAIL = 2000  # bytes of the command's standard error that are read


class ProxySocket:
    """A running proxy command, with the methods of a socket that an SSH transport calls.

    It has sockets, not pipes, so that reads and writes can time out and the end of the proxy is an
    end of file. Each direction has its own: a proxy that makes its input non-blocking would make
    its output non-blocking too. It runs in a session of its own, so that a Ctrl-C reaches only the
    launcher, and the children of a wrapper script are ended with it.
    """

    _closed = False  # paramiko reads it, as it does of a socket
    _tail = b""

    def __init__(self, command: str, address: str, port: int) -> None:
        """Start `command`, with %h and %p replaced. Raises OSError where it cannot be started."""
        words = [w.replace("%h", address).replace("%p", str(port)) for w in shlex.split(command)]
        self._sent, stdin = socket.socketpair()
        self._received, stdout = socket.socketpair()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 — lives as long as the command
        try:
            self._process = subprocess.Popen(
                words,
                stdin=stdin.fileno(),
                stdout=stdout.fileno(),
                stderr=self._stderr.fileno(),
                start_new_session=True,
            )
        except BaseException:
            self._close_files()
            raise
        finally:
            stdin.close()
            stdout.close()

    def send(self, data: bytes) -> int:
        return self._sent.send(data)

    def recv(self, size: int) -> bytes:
        return self._received.recv(size)

    def settimeout(self, seconds: float | None) -> None:
        self._sent.settimeout(seconds)
        self._received.settimeout(seconds)

    def shutdown(self, how: int) -> None:
        """End both directions at once, also for a thread that waits on them."""
        self._sent.shutdown(how)
        self._received.shutdown(how)

    def last_error(self) -> str:
        """The last line on standard error of the command, which has been closed."""
        lines = self._tail.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def close(self) -> None:
        """End the command and its children, and wait for that; may be repeated."""
        if self._closed:
            return
        self._closed = True
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):  # another user's; see _signal
                self._process.wait(2)
        self._signal(signal.SIGKILL)  # children that outlive it
        size = os.fstat(self._stderr.fileno()).st_size
        self._tail = os.pread(self._stderr.fileno(), STDERR_TAIL, max(0, size - STDERR_TAIL))
        self._close_files()

    def _signal(self, number: int) -> None:
        # It has ended already; or another user owns it, and only its closed input can end it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _close_files(self) -> None:
        for file in (self._sent, self._received, self._stderr):
            file.close()
