"""A machine reached by SSH: pinned host keys, one key per job, and a time limit on each call.

fabric configures the connection; commands run over plain channels of its transport. Its own runner
starts three threads that poll a hundred times a second, decodes what must stay bytes, and cannot
end a command in time.
"""

import base64
import contextlib
import logging
import os
import socket
import tarfile
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import fabric
import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from launcher.errors import ConfigError, HostKeyMismatch, MachineLost, describe
from launcher.machines import scripts
from launcher.machines.base import SSH_KEY, Completed, Machine
from launcher.machines.ssh.call import (
    BROKEN,
    CHUNK,
    NO_EXTENSION,
    OUTPUT_LIMIT,
    SLOWEST,
    Call,
    Link,
    Watchdog,
    shut,
)
from launcher.machines.ssh.proxy import ProxySocket

KILLED = 137  # exit code of `timeout -s KILL`
ABSENT, UNFIT = 66, 65  # exit codes of fetch.sh
# What paramiko raises for a kind of key that it does not know, and for bytes that are no key.
NOT_A_KEY = (paramiko.SSHException, paramiko.UnknownKeyType, ValueError, OverflowError)

# Exceptions say what went wrong; paramiko's log lines are not for the user's screen.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Access:
    """How to reach a machine, and how to authenticate it."""

    user: str
    address: str
    key: Path  # the job's private key
    host_keys: list[tuple[str, str]]  # (type, base64): any of them, and no other
    port: int = 22
    proxy_command: str = ""  # carries the connection on its stdin and stdout; %h and %p


@dataclass(frozen=True)
class Bounds:
    """Seconds after which a machine counts as unreachable."""

    tcp_connect: float = 5  # until its port answers
    authenticate: float = 20  # from there until SSH is set up; also for a channel to open
    grace: float = 15  # for the answer to a command, beyond its timeout
    stall: float = 60  # of a transfer in which no byte moves
    unacknowledged: float = 30  # until sent bytes are acknowledged
    keepalive: float = 15  # of silence before a few bytes are sent, to see them acknowledged
    retry: float = 0.5  # between attempts to connect for the first time
    retry_refused: float = 5  # the longest after a refused key: sshd penalises frequent failures


def new_key(folder: Path) -> str:
    """The public half, "ssh-ed25519 BLOB", of the SSH key of the job in `folder`; a missing key is
    created there as SSH_KEY (0600) and SSH_KEY.pub."""
    path = folder / SSH_KEY
    if path.exists():
        private = serialization.load_ssh_private_key(path.read_bytes(), None)
    else:
        private = Ed25519PrivateKey.generate()
        form = serialization.PrivateFormat.OpenSSH
        pem = serialization.Encoding.PEM
        _write(path, private.private_bytes(pem, form, serialization.NoEncryption()))
    openssh = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    public = private.public_key().public_bytes(*openssh)
    _write(path.with_suffix(".pub"), public + b"\n")
    return public.decode("ascii")


class SshMachine(Machine):
    """Connects on first use, and again after a loss; for one thread.

    To connect takes at most Bounds.tcp_connect + authenticate seconds. A `run` then ends within its
    timeout and the grace, also if it prints much; a transfer ends once it stalls, or moves fewer
    than SLOWEST bytes per second.
    """

    def __init__(self, name: str, access: Access, bounds: Bounds = Bounds()) -> None:
        self.name = name
        self._access = access
        self._bounds = bounds
        self._link: Link | None = None
        self._connection: fabric.Connection | None = None

    def wait(self, deadline_s: float) -> None:
        """Return once a command can be run. Raises HostKeyMismatch as soon as the host key is not
        the pinned one, and MachineLost after `deadline_s` seconds (plus one attempt)."""
        until = time.monotonic() + deadline_s
        pause = self._bounds.retry
        while True:
            try:
                done = self.run("true", timeout=self._bounds.authenticate)
                if done.code == 0:
                    return
                last = f"{self.name} has no work folder: {_reason(done.stderr)}"
                pause = self._bounds.retry
            except (ConnectionError, TimeoutError) as error:
                last = str(error)
                refused = isinstance(error, _KeyRefused)
                longer = min(2 * pause, self._bounds.retry_refused)
                pause = longer if refused else self._bounds.retry
            if time.monotonic() + pause > until:
                raise MachineLost(f"no SSH connection within {deadline_s:g} s; last error: {last}")
            time.sleep(pause)

    def run(self, command: str, *, timeout: float) -> Completed:
        """Raises ValueError for more than OUTPUT_LIMIT bytes of output."""
        program = scripts.arguments("wait_for_output", command)
        words = scripts.arguments("run_bounded", timeout, *program)
        with self._call(words, timeout + self._bounds.grace, NO_EXTENSION) as call:
            out = b"".join(call.output(OUTPUT_LIMIT))
            code, err = call.end()
        if code == KILLED and call.seconds >= timeout:
            short = textwrap.shorten(command, 80, placeholder=" …")
            raise TimeoutError(f"`{short}` took longer than {timeout:g} s")
        return Completed(code, out, err)

    def put(self, source: Path, target: str) -> None:
        """Raises OSError where the machine cannot store it."""
        unpacked = str(Path(target).with_name(f".{Path(target).name}.new"))
        with self._call(scripts.arguments("receive", unpacked), self._bounds.stall) as call:
            file = cast(IO[bytes], call)  # tarfile only writes to it
            with contextlib.suppress(BrokenPipeError):  # it ended; its exit code says why
                with tarfile.open(fileobj=file, mode="w|", bufsize=CHUNK, dereference=True) as tar:
                    tar.add(source, "content", filter=_plain)
                call.close_input()
            code, error = call.end()
        if code == 0:
            replace = scripts.command("replace", target, unpacked)
            done = self.run(replace, timeout=self._bounds.stall)
            code, error = done.code, done.stderr
        if code != 0:
            raise OSError(f"{self.name} could not store {target}: {_reason(error)}")

    def get(self, source: str, target: Path, limit: int) -> None:
        arriving = target.with_name(f".{target.name}.part")
        try:
            with self._call(scripts.arguments("fetch", source, limit), self._bounds.stall) as call:
                with arriving.open("wb") as file:
                    file.writelines(call.output(limit))
                code, error = call.end()
            if code == ABSENT:
                raise FileNotFoundError(f"there is no {source}")
            if code == UNFIT:
                raise ValueError(f"no plain file of at most {limit:,} bytes")
            if code != 0:
                raise OSError(f"{self.name} could not send {source}: {_reason(error)}")
            arriving.replace(target)
        finally:
            arriving.unlink(missing_ok=True)

    def close(self) -> None:
        """Leaves no thread, socket or process."""
        link, connection = self._link, self._connection
        self._link = self._connection = None
        if link is None:
            return
        shut(link)
        if connection and (transport := connection.client.get_transport()):
            connection.client.close()
            if transport.is_alive():
                transport.join(5)
            # Otherwise its handshake timer lives on for 15 s, and delays the end of the program.
            transport.packetizer.complete_handshake()
        link.close()

    @contextlib.contextmanager
    def _call(self, words: list[str], stall: float, slowest: float = SLOWEST) -> Iterator[Call]:
        """A command under way in the work folder. A connection that broke is closed."""
        link, transport = self._connect()
        with Watchdog(link, stall, slowest) as watchdog:
            call = Call(self.name, watchdog)
            try:
                command = scripts.command("in_work_folder", *words)
                call.start(transport, command, self._bounds.authenticate)
                yield call
            except ConnectionError:
                self.close()
                raise
            finally:
                call.stop()

    def _connect(self) -> tuple[Link, paramiko.Transport]:
        """The open connection, a new one where there is none or the last one was lost."""
        if self._link and self._connection and self._connection.is_connected:
            return self._link, self._connection.transport
        self.close()
        try:
            return self._authenticate()
        except BaseException:
            self.close()
            raise

    def _authenticate(self) -> tuple[Link, paramiko.Transport]:
        access, bounds = self._access, self._bounds
        key = paramiko.Ed25519Key.from_private_key_file(str(access.key))
        host_keys = _host_keys(self.name, access)
        watchdog: Watchdog | None = None
        try:
            self._link = link = _dial(access, bounds)
            self._connection = connection = _configured(access, key, link, bounds)
            for host_key in host_keys:
                connection.client.get_host_keys().add(*host_key)
            with Watchdog(link, bounds.authenticate) as watchdog:
                connection.open()
            connection.transport.set_keepalive(bounds.keepalive)
            link.settimeout(1)  # its thread wakes up that often, instead of each 0.1 s
        except paramiko.BadHostKeyException as error:
            raise HostKeyMismatch(
                f"host key mismatch: the server at {access.address} has {error.key.fingerprint}, "
                f"but {self.name} published {error.expected_key.fingerprint}; nothing was sent"
            ) from None
        except BROKEN as error:
            late = watchdog is not None and watchdog.fired
            refused = isinstance(error, paramiko.AuthenticationException) and not late
            kind = _KeyRefused if refused else ConnectionError
            raise kind(f"{self.name} {self._why(error, late)}") from None
        return link, connection.transport

    def _why(self, error: Exception, late: bool) -> str:
        """Why there is no connection, for a sentence that begins with the machine's name."""
        if late:
            why = f"did not complete the SSH login within {self._bounds.authenticate:g} s"
        elif isinstance(error, TimeoutError):
            why = f"does not answer at {self._access.address}, port {self._access.port}"
        elif isinstance(error, OSError):
            why = f"cannot be reached: {describe(error)}"
        else:
            why = f"refused the SSH login: {str(error).strip(' .') or 'it closed the connection'}"
        link = self._link
        self.close()
        last = link.last_error() if isinstance(link, ProxySocket) else ""
        return f"{why}; last error of its proxy command: {last}" if last else why


class _KeyRefused(ConnectionError):
    """The machine is the right one, but does not accept the job's key (yet)."""


def _dial(access: Access, bounds: Bounds) -> Link:
    """A connection on which nothing was sent yet."""
    if access.proxy_command:
        try:
            return ProxySocket(access.proxy_command, access.address, access.port)
        except FileNotFoundError as error:
            raise ConfigError(
                f"gce.proxy_command: program {error.filename} not found",
                "install it, or set another gce.proxy_command",
            ) from None
    link = socket.create_connection((access.address, access.port), timeout=bounds.tcp_connect)
    milliseconds = round(bounds.unacknowledged * 1000)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return link


def _host_keys(name: str, access: Access) -> list[tuple[str, str, paramiko.PKey]]:
    """The keys that the machine may show: (host as paramiko looks it up, type, key)."""
    usable = []
    host = access.address if access.port == 22 else f"[{access.address}]:{access.port}"
    for kind, blob in access.host_keys:
        with contextlib.suppress(*NOT_A_KEY):
            key = paramiko.PKey.from_type_string(kind, base64.b64decode(blob))
            usable.append((host, kind, key))
    if not usable:
        raise HostKeyMismatch(
            f"{name} published no usable host key, so it cannot be authenticated; nothing was sent"
        )
    return usable


def _configured(
    access: Access, key: paramiko.PKey, link: Link, bounds: Bounds
) -> fabric.Connection:
    """A connection over `link` that offers one key, and only to a known host."""
    # Lazy: neither ~/.fabric.yaml nor ~/.ssh/config is read.
    config = fabric.Config(lazy=True, overrides={"load_ssh_configs": False})
    connection = fabric.Connection(
        access.address,
        user=access.user,
        port=access.port,
        config=config,
        connect_kwargs={
            "sock": link,
            "pkey": key,
            "allow_agent": False,
            "look_for_keys": False,
            "timeout": bounds.authenticate,
            "banner_timeout": bounds.authenticate,
            "auth_timeout": bounds.authenticate,
        },
    )
    # By default fabric accepts every unknown host key.
    connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    return connection


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """A file or folder without an owner, which can be replaced; None leaves it out."""
    if Path(member.name).name == "__pycache__" or not (member.isfile() or member.isdir()):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode |= 0o700 if member.isdir() else 0o600
    return member


def _reason(errors: bytes) -> str:
    lines = errors.decode(errors="replace").strip().splitlines()
    found = [line for line in lines if not line.startswith("tar: Exiting with failure")]
    return "; ".join(found[-2:]) or "no reason given"


def _write(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, all of it or nothing."""
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
