"""A machine behind SSH: pinned host keys, one key per job, and no call that waits for ever.

fabric makes and configures the connection; commands run over plain channels of its transport.
Its runner starts three threads that look for output and input a hundred times a second, decodes
what must stay bytes, and cannot end a command in time.
"""

import base64
import contextlib
import logging
import os
import shlex
import socket
import tarfile
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fabric
import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from launcher.errors import ConfigError, HostKeyMismatch, MachineLost, describe
from launcher.machines.base import SSH_KEY, Completed
from launcher.machines.ssh.call import (
    AT_ONCE,
    BROKEN,
    OUTPUT_LIMIT,
    PIECE,
    SLOWEST,
    Call,
    Watchdog,
    shut,
)
from launcher.machines.ssh.proxy import ProxySocket

WORK = "~/micro-speech"  # on the machine
KILLED, ABSENT, UNFIT = 137, 66, 65  # exit codes: by `timeout`, and of FETCH
# What paramiko raises for a kind of key that it does not know, and for bytes that are no key.
NO_KEY = (paramiko.SSHException, paramiko.UnknownKeyType, ValueError, OverflowError)

IN_WORK = f"cd {WORK} 2>/dev/null || {{ mkdir -p {WORK} && cd {WORK}; }} || exit\n"

# `timeout` ends its process group; the two `cat`s keep it waiting until nothing of the command
# holds an output any more, so that a child left in the background has its time bounded too.
RUN = r"""exec </dev/null; timeout -s KILL {seconds} bash -c '
{{ bash -c "$1" 2>&1 >&3 3>&- | cat >&2; exit "${{PIPESTATUS[0]}}"; }} 3>&1 | cat
exit "${{PIPESTATUS[0]}}"' bash {command}
exit $?"""
FETCH = """f={source}
if [ ! -e "$f" ] && [ ! -L "$f" ]; then exit {absent}; fi
if [ -L "$f" ] || [ ! -f "$f" ] || [ "$(stat -c %s -- "$f")" -gt {limit} ]; then exit {unfit}; fi
head -c {most} <"$f"
"""
# What arrives is moved to its place by a second command, once all of it is known to be there: a
# connection that breaks looks to `tar` like the end of the archive.
RECEIVE = """rm -rf -- {new}
mkdir -p -- {new} && tar -xm --no-same-owner -f - -C {new} && exit
echo "free there: $(df -h --output=avail . | tail -n 1)" >&2; rm -rf -- {new}; exit 1"""
REPLACE = "rm -rf -- {old} && mv -T -- {new}/it {old} && rmdir -- {new}"

# What goes wrong is told by exceptions; paramiko's account of it is not for the user's screen.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Access:
    """How to reach a machine, and how to know it."""

    user: str
    address: str
    key: Path  # the job's private key
    host_keys: list[tuple[str, str]]  # (type, base64): any of them, and nothing else
    port: int = 22
    proxy_command: str = ""  # carries the connection on its stdin and stdout; %h and %p


@dataclass(frozen=True)
class Bounds:
    """Seconds after which a machine counts as out of reach."""

    dial: float = 5  # until its port answers
    login: float = 20  # from there until a login is through, and for a channel to open
    grace: float = 15  # for the answer to a command, over the time allowed to it
    quiet: float = 60  # of a transfer in which no byte moves
    unheard: float = 30  # until sent bytes are acknowledged
    keepalive: float = 15  # of silence before a few bytes are sent, to see them acknowledged
    pause: float = 0.5  # between attempts while waiting for a first login
    refused: float = 5  # after a refused login: sshd penalises who is refused often


def new_key(folder: Path) -> str:
    """The public half, "ssh-ed25519 BLOB", of the SSH key of the job in `folder`, made there as
    `ssh_key` (0600) and `ssh_key.pub` unless it exists."""
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


class SshMachine:
    """See base.Machine. Connects on first use, and again after a loss; for one thread.

    Where a login is needed, it takes at most dial + login seconds. A `run` then ends within its
    timeout and the grace, however much it prints; a transfer once it is quiet for too long, or
    moves fewer than SLOWEST bytes per second.
    """

    def __init__(self, name: str, access: Access, bounds: Bounds = Bounds()) -> None:
        self.name = name
        self._access = access
        self._bounds = bounds
        self._link: socket.socket | ProxySocket | None = None
        self._connection: fabric.Connection | None = None

    def wait(self, deadline_s: float) -> None:
        """Return once a command can be run. Raises HostKeyMismatch as soon as a stranger answers,
        and MachineLost when nobody let us in for `deadline_s` seconds (plus one attempt)."""
        until = time.monotonic() + deadline_s
        pause = self._bounds.pause
        while True:
            try:
                done = self.run("true", timeout=self._bounds.login)
                if done.code == 0:
                    return
                last = f"{self.name} has no work folder: {_reason(done.stderr)}"
                pause = self._bounds.pause
            except (ConnectionError, TimeoutError) as error:
                last = str(error)
                refused = isinstance(error, _LoginRefused)
                pause = min(2 * pause, self._bounds.refused) if refused else self._bounds.pause
            if time.monotonic() + pause > until:
                raise MachineLost(f"no login within {deadline_s:g} s; at last: {last}")
            time.sleep(pause)

    def run(self, command: str, *, timeout: float) -> Completed:
        """See base.Machine. Raises ValueError for more than OUTPUT_LIMIT bytes of output."""
        script = RUN.format(seconds=timeout, command=shlex.quote(command))
        with self._call(script, timeout + self._bounds.grace, AT_ONCE) as call:
            out = b"".join(call.output(OUTPUT_LIMIT))
            code, err = call.end()
        if code == KILLED and call.seconds >= timeout:
            short = textwrap.shorten(command, 80, placeholder=" …")
            raise TimeoutError(f"`{short}` took longer than {timeout:g} s")
        return Completed(code, out, err)

    def put(self, source: Path, target: str) -> None:
        """See base.Machine. Raises OSError where the machine cannot take it."""
        place = Path(target)
        old, new = shlex.quote(target), shlex.quote(str(place.with_name(f".{place.name}.new")))
        with self._call(RECEIVE.format(new=new), self._bounds.quiet) as call:
            with contextlib.suppress(BrokenPipeError):  # it ended; why, its exit code tells
                with tarfile.open(
                    fileobj=call, mode="w|", bufsize=PIECE, dereference=True
                ) as archive:
                    archive.add(source, "it", filter=_plain)
                call.close_input()
            code, error = call.end()
        if code == 0:
            done = self.run(REPLACE.format(old=old, new=new), timeout=self._bounds.quiet)
            code, error = done.code, done.stderr
        if code != 0:
            raise OSError(f"{self.name} did not take {target}: {_reason(error)}")

    def get(self, source: str, target: Path, limit: int) -> None:
        """See base.Machine."""
        script = FETCH.format(
            source=shlex.quote(source), limit=limit, most=limit + 1, absent=ABSENT, unfit=UNFIT
        )
        arriving = target.with_name(f".{target.name}.part")
        try:
            with self._call(script, self._bounds.quiet) as call:
                with arriving.open("wb") as file:
                    for piece in call.output(limit):
                        file.write(piece)
                code, error = call.end()
            if code == ABSENT:
                raise FileNotFoundError(f"there is no {source}")
            if code == UNFIT:
                raise ValueError(f"no plain file of at most {limit:,} bytes")
            if code != 0:
                raise OSError(f"{self.name} did not give {source}: {_reason(error)}")
            arriving.replace(target)
        finally:
            arriving.unlink(missing_ok=True)

    def close(self) -> None:
        """See base.Machine. Leaves no thread, socket or process."""
        link, connection = self._link, self._connection
        self._link = self._connection = None
        if link is None:
            return
        shut(link)
        transport = connection.client.get_transport() if connection else None
        if transport:
            connection.client.close()
            if transport.is_alive():
                transport.join(5)
            # Its handshake timer lives on for 15 s otherwise, and holds up the program's end.
            transport.packetizer.complete_handshake()
        link.close()

    @contextlib.contextmanager
    def _call(self, script: str, quiet: float, slowest: float = SLOWEST) -> Iterator[Call]:
        """`script` under way in the work folder. The connection is given up where it broke."""
        transport = self._transport()
        with Watchdog(self._link, quiet, slowest) as watchdog:
            call = Call(self.name, watchdog)
            try:
                call.start(transport, IN_WORK + script, self._bounds.login)
                yield call
            except ConnectionError:
                self.close()
                raise
            finally:
                call.stop()

    def _transport(self) -> paramiko.Transport:
        """That of the open connection, made anew where there is none or the last one was lost."""
        if self._connection and self._connection.is_connected:
            return self._connection.transport
        self.close()
        try:
            self._login()
        except BaseException:
            self.close()
            raise
        transport = self._connection.transport
        transport.set_keepalive(self._bounds.keepalive)
        self._link.settimeout(1)  # its thread wakes up that often, instead of each 0.1 s
        return transport

    def _login(self) -> None:
        access, bounds = self._access, self._bounds
        key = paramiko.Ed25519Key.from_private_key_file(str(access.key))
        host_keys = _host_keys(self.name, access)
        watchdog = None
        try:
            self._link = _dial(access, bounds)
            self._connection = _configured(access, key, self._link, bounds)
            for host_key in host_keys:
                self._connection.client.get_host_keys().add(*host_key)
            with Watchdog(self._link, bounds.login) as watchdog:
                self._connection.open()
        except paramiko.BadHostKeyException as error:
            raise HostKeyMismatch(
                f"whoever answers for {self.name} at {access.address} has host key "
                f"{error.key.fingerprint}, not {error.expected_key.fingerprint}, which "
                f"{self.name} published; nothing was sent to it"
            ) from None
        except BROKEN as error:
            refused = isinstance(error, paramiko.AuthenticationException) and not watchdog.fired
            kind = _LoginRefused if refused else ConnectionError
            late = watchdog is not None and watchdog.fired
            raise kind(f"{self.name} {self._why(error, late)}") from None

    def _why(self, error: Exception, late: bool) -> str:
        """Why there is no login, for a sentence that begins with the machine's name."""
        if late:
            why = f"did not finish a login within {self._bounds.login:g} s"
        elif isinstance(error, TimeoutError):
            why = f"does not answer at {self._access.address}, port {self._access.port}"
        elif isinstance(error, OSError):
            why = f"cannot be reached: {describe(error)}"
        else:
            why = f"let nobody in: {str(error).strip(' .') or 'it hung up'}"
        link = self._link
        self.close()
        words = link.last_words() if isinstance(link, ProxySocket) else ""
        return f"{why}; its proxy command says: {words}" if words else why


class _LoginRefused(ConnectionError):
    """It is the right machine, but its account does not know the key."""


def _dial(access: Access, bounds: Bounds) -> socket.socket | ProxySocket:
    """A connection to whoever answers, nothing sent yet."""
    if access.proxy_command:
        try:
            return ProxySocket(access.proxy_command, access.address, access.port)
        except FileNotFoundError as error:
            raise ConfigError(f"the proxy command {error.filename} is not there") from None
    link = socket.create_connection((access.address, access.port), timeout=bounds.dial)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(bounds.unheard * 1000))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return link


def _host_keys(name: str, access: Access) -> list[tuple[str, str, paramiko.PKey]]:
    """The keys that the machine may show, each with the name it is looked up by, and its kind."""
    usable = []
    host = access.address if access.port == 22 else f"[{access.address}]:{access.port}"
    for kind, blob in access.host_keys:
        with contextlib.suppress(*NO_KEY):
            key = paramiko.PKey.from_type_string(kind, base64.b64decode(blob))
            usable.append((host, kind, key))
    if not usable:
        raise HostKeyMismatch(
            f"{name} published no host key that can be checked, so that it cannot be told from a "
            "stranger; nothing was sent to it"
        )
    return usable


def _configured(
    access: Access, key: paramiko.PKey, link: socket.socket | ProxySocket, bounds: Bounds
) -> fabric.Connection:
    """A connection over `link` that offers one key, and not to strangers."""
    # Lazy: no ~/.fabric.yaml, and no ~/.ssh/config, says anything about our machines.
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
            "timeout": bounds.login,
            "banner_timeout": bounds.login,
            "auth_timeout": bounds.login,
        },
    )
    # fabric takes any host key that it does not know yet.
    connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    return connection


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """A file or folder as it arrives there: nobody's in particular, and replaceable."""
    if Path(member.name).name == "__pycache__" or not (member.isfile() or member.isdir()):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode |= 0o700 if member.isdir() else 0o600
    return member


def _reason(errors: bytes) -> str:
    lines = errors.decode(errors="replace").strip().splitlines()
    said = [line for line in lines if not line.startswith("tar: Exiting with failure")]
    return "; ".join(said[-2:]) or "no reason given"


def _write(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, all of it or nothing."""
    unborn = path.with_name(f".{path.name}.new")
    unborn.unlink(missing_ok=True)
    with os.fdopen(os.open(unborn, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unborn.replace(path)
