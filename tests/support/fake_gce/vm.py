"""One virtual machine made of real processes: its disk, its SSH server, and its faults."""

import json
import shlex
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fake_gce.host import Host, command_of, send_signal, state_of

GUEST = Path(__file__).parent / "guest"
POWERED_OFF, REBOOT = 0, 3  # how process 1 ends when the guest asked for it; else it crashed
PRIVATE = ("/home", "/root", "/tmp", "/var/tmp", "/var/log")  # its own disk, kept while it is off
OWN_ETC = ("passwd", "group", "shadow", "hosts", "ssh")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # of everyone, as on Ubuntu
FIRST_USER = 1000  # the ID of its first user
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


@dataclass(frozen=True)
class Hardware:
    """Faults of a machine's hardware."""

    clock_offset: float = 0.0  # seconds that its clock is ahead; negative: behind
    home_bytes: int = 0  # size of the disk that holds /home, empty at each boot; 0: the host's
    boot_seconds: float = 0.0  # until its SSH server starts
    ssh: bool = True  # False: nothing ever listens on port 22


@dataclass
class Vm:
    """One machine. Its disk is `folder` and stays while it is powered off."""

    name: str
    address: str
    folder: Path
    host: Host
    users: list[str]
    environment: dict[str, str] = field(default_factory=dict)  # of all that runs on it
    hardware: Hardware = field(default_factory=Hardware)
    process: subprocess.Popen | None = None
    first: int = 0  # its process 1, as the host numbers it

    def install(self) -> None:
        """Write the disk: own host keys, own users, empty homes."""
        for path in PRIVATE:
            (self.folder / path[1:]).mkdir(parents=True, exist_ok=True)
            if path.endswith("/tmp"):
                (self.folder / path[1:]).chmod(0o1777)
        for path in self.host.shared:  # bwrap's own folders above it would be root's alone
            (self.folder / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        for name in self.users:  # who gets it at boot
            (self.folder / "home" / name).mkdir(mode=0o700, exist_ok=True)
        etc = self.folder / "etc"
        (etc / "ssh/authorized_keys").mkdir(parents=True, exist_ok=True)
        self._make_host_keys()
        self._make_key(etc / "ssh/sudo_key", "ed25519")
        self._write_etc(etc)

    def host_keys(self) -> dict[str, str]:
        """The public host keys: type → base64."""
        lines = [path.read_text().split() for path in self.folder.glob("etc/ssh/ssh_host_*.pub")]
        return {line[0]: line[1] for line in lines}

    def renew_host_keys(self) -> None:
        """Make the host keys anew; the SSH server, if it runs, reads them."""
        for path in (self.folder / "etc/ssh").glob("ssh_host_*"):
            path.unlink()
        self._make_host_keys()
        servers = [p for p in self.processes() if "/usr/sbin/sshd -D" in command_of(p)]
        send_signal(signal.SIGHUP, servers)

    def authorize(self, ssh_keys: str) -> None:
        """Install the keys of the metadata `ssh-keys`, as the guest agent does; each expires by the
        machine's own clock."""
        ssh = self.folder / "etc/ssh"
        allowed: dict[str, str] = {user: "" for user in self.users}
        allowed["root"] = (ssh / "sudo_key.pub").read_text()
        for entry in filter(None, ssh_keys.splitlines()):
            user, _, line = entry.partition(":")
            allowed[user] = allowed.get(user, "") + self._with_expiry(line) + "\n"
        for user, lines in allowed.items():
            (ssh / "authorized_keys" / user).write_text(lines)

    def boot(self, startup_script: str = "") -> None:
        """Power on. Returns at once; SSH works a moment later."""
        run = self.folder / "run"
        run.mkdir(exist_ok=True)
        (run / "startup-script").write_text(startup_script)
        (run / "startup-script").chmod(0o700)
        lines = [f"export {key}={shlex.quote(text)}\n" for key, text in self._variables().items()]
        (run / "environment").write_text("".join(lines))
        self._write_sshd_config()
        self.process, self.first = self.host.spawn(self._bwrap())

    def processes(self) -> list[int]:
        """Every process of the machine, as the host numbers them."""
        # Only while it runs: afterwards another process may have the number of its process 1.
        return self.host.processes_like(self.first) if self.ended() is None else []

    def power_cut(self, *, silent: bool = False) -> None:
        """Cut the power. `silent`: open connections are not reset, as in a failure of a rack."""
        if silent:
            self.blackhole()
        self._kill()

    def press_power_button(self) -> None:
        """Request a shutdown of the guest, as ACPI does for a preemption or a stop."""
        if self.ended() is None:
            send_signal(signal.SIGTERM, [self.first])

    def freeze(self) -> None:
        """Stop every process; the kernel still acknowledges packets."""
        deadline = time.monotonic() + 10
        while running := [one for one in self.processes() if state_of(one) not in "TZ"]:
            send_signal(signal.SIGSTOP, running)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} does not freeze")
            time.sleep(0.01)

    def blackhole(self) -> None:
        """Drop every packet from and to the machine silently."""
        self.host.firewall.drop(self.address)

    def thaw(self) -> None:
        """Undo freeze and blackhole."""
        send_signal(signal.SIGCONT, self.processes())
        self.host.firewall.let_pass(self.address)

    def fill_disk(self) -> None:
        """Write to /home until nothing more fits; only where Hardware.home_bytes bounds it."""
        if not self.hardware.home_bytes:
            raise ValueError(f"{self.name} has no small disk: give it Hardware(home_bytes=…)")
        with (self.inside("/home") / ".full").open("ab", buffering=0) as file:
            for size in (1 << 16, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    continue

    def inside(self, path: str) -> Path:
        """A path of the running machine, as the host reaches it. Raises RuntimeError while off."""
        if self.ended() is not None:
            raise RuntimeError(f"{self.name} is off")
        return Path(f"/proc/{self.first}/root{path}")

    def wait(self, timeout: float = 10.0) -> int:
        """Wait until it is off; the exit code of process 1. Raises subprocess.TimeoutExpired."""
        return self.process.wait(timeout) if self.process else POWERED_OFF

    def ended(self) -> int | None:
        """The exit code of process 1, None while it runs."""
        return self.process.poll() if self.process else POWERED_OFF

    def wait_for_ssh(self, timeout: float = 10.0) -> None:
        """Wait for the banner of the SSH server. Raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                with socket.create_connection((self.address, 22), timeout=1) as link:
                    if link.recv(4) == b"SSH-":
                        return
            except OSError:
                time.sleep(0.02)
        raise TimeoutError(
            f"{self.name} sent no SSH banner on {self.address}:22 within {timeout} s"
        )

    def remove(self) -> None:
        """Power off, delete the disk, and pass packets of the address again."""
        self._kill()
        self.host.firewall.let_pass(self.address)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kill(self) -> None:
        if self.process and self.process.poll() is None:
            send_signal(signal.SIGKILL, [self.first])
            self.process.wait(10)

    def _with_expiry(self, line: str) -> str:
        key, found, comment = line.partition(" google-ssh ")
        if not found:
            return line
        expires = datetime.strptime(json.loads(comment)["expireOn"], "%Y-%m-%dT%H:%M:%S%z")
        expires -= timedelta(seconds=self.hardware.clock_offset)  # sshd goes by the host's clock
        return f'expiry-time="{expires.astimezone(UTC):%Y%m%d%H%M%S}Z" {key}'

    def _make_host_keys(self) -> None:
        for kind in ("ed25519", "ecdsa"):
            self._make_key(self.folder / f"etc/ssh/ssh_host_{kind}_key", kind)

    def _make_key(self, path: Path, kind: str) -> None:
        command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", self.name, "-f", str(path)]
        subprocess.run(command, check=True)

    def _write_etc(self, etc: Path) -> None:
        numbered = list(enumerate(self.users, FIRST_USER))
        users = "".join(f"{name}:x:{n}:{n}::/home/{name}:/bin/bash\n" for n, name in numbered)
        groups = "".join(f"{name}:x:{n}:\n" for n, name in numbered)
        (etc / "passwd").write_text(users + Path("/etc/passwd").read_text())
        (etc / "group").write_text(groups + Path("/etc/group").read_text())
        names = [*self.users, "root", "sshd"]
        (etc / "shadow").write_text("".join(f"{name}:*:19000::::::\n" for name in names))
        (etc / "shadow").chmod(0o600)
        # sshd opens a session as root for sudo: in bwrap no program can gain rights. ssh accepts a
        # private key that others can read where it is not the caller's.
        (etc / "ssh/sudo_key").chmod(0o644)
        own = f"{self.address} {self.name} metadata.google.internal metadata"
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n{own}\n")

    def _write_sshd_config(self) -> None:
        variables = {"PATH": PATH} | self._variables()
        pairs = "".join(f' "{key}={text}"' for key, text in variables.items())
        config = (GUEST / "sshd_config").read_text() + f"ListenAddress {self.address}\n"
        config += f"SetEnv{pairs}\n"
        (self.folder / "etc/ssh/sshd_config").write_text(config)

    def _variables(self) -> dict[str, str]:
        offset = self.hardware.clock_offset
        clock = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": f"{offset:+.0f}s"} if offset else {}
        return self.environment | clock

    def _bwrap(self) -> list[str]:
        disk = self.folder
        homes = [word for name in self.users for word in ("--dir", f"/home/{name}")]
        small = ["--size", str(self.hardware.home_bytes), "--tmpfs", "/home", *homes]
        return [
            *("bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
            *("--tmpfs", "/run", "--dir", "/run/sshd"),
            *[word for path in PRIVATE for word in ("--bind", f"{disk}{path}", path)],
            *(small if self.hardware.home_bytes else []),
            *[word for path in self.host.shared for word in ("--ro-bind", path, path)],
            *[
                word
                for name in OWN_ETC
                for word in ("--bind", f"{disk}/etc/{name}", f"/etc/{name}")
            ],
            *("--bind", f"{disk}/run", "/run/machine", "--ro-bind", f"{GUEST}/init", "/run/init"),
            *("--ro-bind", f"{GUEST}/bin", "/usr/local/sbin"),
            *("--unshare-pid", "--unshare-uts", "--unshare-ipc", "--hostname", self.name),
            *("--as-pid-1", "--die-with-parent", "--new-session", "--cap-add", "ALL", "--clearenv"),
            *("--setenv", "PATH", PATH, "--setenv", "HOME", "/root", "--setenv", "LANG", "C.UTF-8"),
            *("--chdir", "/"),
            *("--", "/bin/bash", "/run/init", "sshd" if self.hardware.ssh else "no sshd"),
            str(self.hardware.boot_seconds),
            str(self.host.lifeline),
        ]
