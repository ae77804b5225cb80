"""A command whose standard input and output are a connection, such as an IAP tunnel."""

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import tempfile

LAST_WORDS = 2000  # bytes of the command's error output that are looked at


class ProxySocket:
    """A running proxy command, with as much of a socket's face as an SSH transport needs.

    Sockets and not pipes, so that reads and writes can time out and a dead proxy is an end of
    file. One for each direction: proxies that make their input non-blocking would otherwise make
    their output so too. A session of its own: Ctrl-C is for the launcher to answer, and a wrapper
    script ends together with what it started.
    """

    _closed = False  # paramiko looks at it, as it does at a socket's
    _tail = b""

    def __init__(self, command: str, address: str, port: int) -> None:
        """Start `command`, with %h and %p in it filled in. Raises OSError where it cannot be."""
        words = [w.replace("%h", address).replace("%p", str(port)) for w in shlex.split(command)]
        self._sent, stdin = socket.socketpair()
        self._received, stdout = socket.socketpair()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 — lives as long as the command
        try:
            self._process = subprocess.Popen(
                words, stdin=stdin, stdout=stdout, stderr=self._stderr, start_new_session=True
            )
        except BaseException:
            self._close_files()
            raise
        finally:
            stdin.close()
            stdout.close()

    def send(self, data: bytes) -> int:
        """See socket.send."""
        return self._sent.send(data)

    def recv(self, size: int) -> bytes:
        """See socket.recv."""
        return self._received.recv(size)

    def settimeout(self, seconds: float | None) -> None:
        """See socket.settimeout."""
        self._sent.settimeout(seconds)
        self._received.settimeout(seconds)

    def shutdown(self, how: int) -> None:
        """End both directions at once, whoever waits on them."""
        self._sent.shutdown(how)
        self._received.shutdown(how)

    def last_words(self) -> str:
        """The last line that the command, now closed, wrote to its standard error."""
        lines = self._tail.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def close(self) -> None:
        """End the command and all that it started, and wait for that; may be repeated."""
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
        self._tail = os.pread(self._stderr.fileno(), LAST_WORDS, max(0, size - LAST_WORDS))
        self._close_files()

    def _signal(self, number: int) -> None:
        # Gone already; or another user's, which its closed input must end.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _close_files(self) -> None:
        for file in (self._sent, self._received, self._stderr):
            file.close()
