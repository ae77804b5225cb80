"""An SSH machine against a real sshd, and against everything that a network can do to it."""

import base64
import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fake_gce.host import Host, missing_tools, reserve_address, send_signal
from fake_gce.vm import FAKETIME, Hardware, Vm

paramiko = pytest.importorskip("paramiko")
from launcher.backends import ssh  # noqa: E402
from launcher.backends.ssh_call import AT_ONCE, SLOWEST, Watchdog  # noqa: E402
from launcher.errors import ConfigError, HostKeyMismatch, MachineLost  # noqa: E402

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason=missing_tools() or "-")

QUICK = ssh.Bounds(dial=1, login=2, grace=0.8, quiet=1, unheard=0.8, keepalive=0.4, pause=0.1)
HEALTHY = Hardware()
SLACK = 4  # seconds that a busy computer may add to a bound
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


class Site:
    """Machines to log in to, and the job's key."""

    def __init__(self, folder):
        self.folder = folder
        self.host = Host()
        self.public_key = ssh.new_key(folder)
        self._vms, self._addresses, self._machines = [], [], []

    def vm(self, hardware=HEALTHY, boot=True):
        """A virtual machine whose user `jupyter` the job's key belongs to."""
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
        """The launcher's view of it."""
        access = ssh.Access("jupyter", vm.address, self.folder / "ssh_key", _keys(vm))
        self._machines.append(ssh.SshMachine(vm.name, replace(access, **changes), bounds))
        return self._machines[-1]

    def close(self):
        """Leave nothing."""
        for thing in [*self._machines, *self._addresses]:
            thing.close()
        for vm in self._vms:
            vm.remove()
        self.host.close()


def _keys(vm):
    return list(vm.host_keys().items())


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory):
    made = Site(tmp_path_factory.mktemp("ssh"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_vm(shared_site):
    return shared_site.vm()


@pytest.fixture
def machine(shared_site, shared_vm):
    """A fresh connection to a machine that lives on, with an empty work folder."""
    made = shared_site.machine(shared_vm, ssh.Bounds())
    made.run("rm -rf ~/micro-speech/*", timeout=10)
    yield made
    made.close()


@pytest.fixture
def site(tmp_path):
    """Machines that a test may break."""
    made = Site(tmp_path)
    yield made
    made.close()


@contextlib.contextmanager
def ends_within(seconds):
    """The block ends in time."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds + SLACK


@contextlib.contextmanager
def soon(act, after=0.3):
    """`act` happens while the block runs."""
    timer = threading.Timer(after, act)
    timer.start()
    yield
    timer.join()


# The job's key


def test_a_key_is_made_once_and_is_nobody_elses(tmp_path):
    """A job's key is an unencrypted ed25519 key that only its owner can read, and is reused."""
    public = ssh.new_key(tmp_path)
    assert ssh.new_key(tmp_path) == public
    path = tmp_path / "ssh_key"
    done = subprocess.run(["ssh-keygen", "-y", "-f", path], capture_output=True, text=True)
    assert done.stdout.split()[:2] == public.split() and public.startswith("ssh-ed25519 ")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.with_suffix(".pub").read_text() == public + "\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ssh_key", "ssh_key.pub"]


# Commands


def test_a_command_gives_its_code_and_its_bytes(machine):
    """Exit code and both outputs come back unchanged; the input is empty; the place is ours."""
    done = machine.run(r"printf 'a\0\377\r\n'; printf b >&2; cat; exit 7", timeout=10)
    assert (done.code, done.stdout, done.stderr) == (7, b"a\0\xff\r\n", b"b")
    assert machine.run("pwd; kill -9 $$", timeout=10).code == 128 + signal.SIGKILL
    assert machine.run("pwd", timeout=10).stdout == b"/home/jupyter/micro-speech\n"


def test_a_command_may_contain_any_character(machine):
    """Quotes, newlines, dollars and braces reach the machine's Bash as they are."""
    text = 'it\'s "so" $HOME `id` {0} \\n %s ü\n\t!'
    done = machine.run(f"cat <<'END'\n{text}\nEND", timeout=10)
    assert done.stdout.decode() == text + "\n"


def test_both_outputs_may_be_long(machine):
    """Neither output waits for the other to be read."""
    done = machine.run(
        "head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2",
        timeout=20,
    )
    assert (done.code, len(done.stdout), len(done.stderr)) == (0, 3_000_000, 6_000_000)


def test_a_machine_cannot_fill_our_memory(machine):
    """Output beyond the bound is refused, and the connection stays usable."""
    with pytest.raises(ValueError, match="more than 16,777,216 bytes"):
        machine.run("cat /dev/zero", timeout=20)
    assert machine.run("exit 3", timeout=10).code == 3


@pytest.mark.parametrize(
    "command",
    [
        "(sleep 7.5; touch late) & sleep 7.5",
        "sleep 7.5 &",
        "exec >/dev/null 2>&1; sleep 7.5",
        "trap '' TERM HUP INT; sleep 7.5; sleep 7.5",
    ],
    ids=["with a child", "only a child", "outputs closed", "deaf"],
)
def test_a_command_out_of_time_is_gone(machine, command):
    """A command that takes too long raises TimeoutError, and nothing of it is left there."""
    with ends_within(0.3), pytest.raises(TimeoutError, match="took longer than 0.3 s"):
        machine.run(command, timeout=0.3)
    assert machine.run("pgrep -f 'sleep [7].5'", timeout=10).stdout == b""


def test_what_is_detached_goes_on(machine):
    """A process in a session of its own, with its outputs elsewhere, outlives the command."""
    machine.run("setsid -f sleep 8.5 >/dev/null 2>&1 </dev/null", timeout=5)
    machine.close()
    assert machine.run("pkill -f 'sleep [8].5'", timeout=5).code == 0


# Files


def test_a_large_file_goes_there_and_back(machine, tmp_path):
    """Fifty megabytes that do not compress arrive unchanged, both ways."""
    (tmp_path / "here").write_bytes(os.urandom(50_000_000))
    machine.put(tmp_path / "here", "sub/there")
    machine.get("sub/there", tmp_path / "back", limit=50_000_000)
    assert (tmp_path / "back").read_bytes() == (tmp_path / "here").read_bytes()
    assert machine.run("ls -A . sub", timeout=5).stdout.split() == [
        b".:",
        b"sub",
        b"sub:",
        b"there",
    ]


def test_a_folder_replaces_what_was_there(machine, tmp_path):
    """A folder arrives without caches and with what its links point at, in place of a file, of
    itself, and the other way round."""
    folder = tmp_path / "code"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "__pycache__" / "x.pyc").touch()
    (folder / "run me.sh").write_text("echo it ran")
    (folder / "run me.sh").chmod(0o555)
    (folder / "-link").symlink_to("run me.sh")
    machine.run("echo a file >code", timeout=5)
    machine.put(folder, "code")
    machine.run("touch code/stale", timeout=5)
    machine.put(folder, "code")
    done = machine.run("cd code && find . | sort && './run me.sh'; cat ./-link", timeout=5)
    assert done.stdout.decode().splitlines() == [
        ".",
        "./-link",
        "./run me.sh",
        "it ran",
        "echo it ran",
    ]
    machine.put(folder / "run me.sh", "code")
    assert machine.run("cat code", timeout=5).stdout == b"echo it ran"


@pytest.mark.parametrize(
    ("make", "error"),
    [
        ("true", FileNotFoundError),
        ("head -c 11 /dev/zero >wanted", ValueError),
        ("truncate -s 1T wanted", ValueError),
        ("mkdir wanted", ValueError),
        ("mkfifo wanted", ValueError),
        ("echo secret >other; ln -s other wanted", ValueError),
        ("ln -s nothing wanted", ValueError),
    ],
    ids=["absent", "too large", "huge", "folder", "pipe", "link", "dead link"],
)
def test_only_plain_files_within_their_bound_are_taken(machine, tmp_path, make, error):
    """What is absent, too large or no plain file is refused, and what is here stays as it was."""
    machine.run(make, timeout=10)
    (tmp_path / "back").write_text("before")
    with pytest.raises(error):
        machine.get("wanted", tmp_path / "back", limit=10)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("back", "before")]


def test_half_a_character_is_kept(machine):
    """A piece of a log that ends within a character comes as the bytes that it is."""
    machine.run("printf 'größer' >log", timeout=5)
    first = machine.run("head -c 3 log", timeout=5).stdout
    rest = machine.run("tail -c +4 log", timeout=5).stdout
    assert first == b"gr\xc3" and (first + rest).decode() == "größer"


def test_a_full_disk_is_said_and_costs_nothing(site, tmp_path):
    """A file that does not fit raises an OSError with the machine's reason; the old one stays."""
    machine = site.machine(site.vm(Hardware(home_bytes=4 << 20)))
    (tmp_path / "file").write_bytes(b"old")
    machine.put(tmp_path / "file", "file")
    (tmp_path / "file").write_bytes(bytes(30_000_000))
    with pytest.raises(OSError, match="free there: +0") as caught:
        machine.put(tmp_path / "file", "file")
    assert not isinstance(caught.value, ConnectionError)
    assert machine.run("cat file; ls -A", timeout=5).stdout == b"oldfile\n"


@pytest.mark.skipif(not FAKETIME.exists(), reason="no libfaketime")
@pytest.mark.parametrize("offset", [3600, -3600])
def test_a_clock_an_hour_off_changes_nothing(site, tmp_path, offset):
    """Commands and files work on a machine whose clock is wrong."""
    machine = site.machine(site.vm(Hardware(clock_offset=offset)))
    (tmp_path / "file").write_bytes(b"content")
    machine.put(tmp_path / "file", "file")
    machine.get("file", tmp_path / "back", limit=7)
    with pytest.raises(TimeoutError):
        machine.run("sleep 9", timeout=0.2)


# Who answers


class Stranger(paramiko.ServerInterface):
    """Someone at the machine's address with a host key of their own."""

    def __init__(self, host_key):
        self.asked = []
        self._host_key = host_key
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        link, _ = self._listener.accept()
        transport = paramiko.Transport(link)
        transport.add_server_key(self._host_key)
        with contextlib.suppress(paramiko.SSHException, EOFError):
            transport.start_server(server=self)
        transport.join()
        self._listener.close()

    def get_allowed_auths(self, username):
        self.asked.append(username)
        return "publickey,password"

    def check_auth_none(self, username):
        self.asked.append(username)
        return paramiko.AUTH_FAILED

    def check_auth_publickey(self, username, key):
        self.asked.append(username)
        return paramiko.AUTH_FAILED


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_strangers_host_key_is_refused_before_anything_is_said(site, kind):
    """Whoever shows another host key hears no user's name and no key, and the refusal names the
    machine and both fingerprints, without another attempt."""
    path = site.folder / "host_key"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path], check=True)
    key = paramiko.PKey.from_path(path)
    stranger = Stranger(key)
    vm = site.vm(boot=False)
    machine = site.machine(vm, address="127.0.0.1", port=stranger.port)
    with ends_within(2), pytest.raises(HostKeyMismatch) as caught:
        machine.wait(60)
    expected = [paramiko.Ed25519Key(data=base64.b64decode(vm.host_keys()["ssh-ed25519"]))]
    expected += [paramiko.ECDSAKey(data=base64.b64decode(vm.host_keys()["ecdsa-sha2-nistp256"]))]
    said = str(caught.value)
    assert "words-1-ab" in said and key.fingerprint in said and "nothing was sent" in said
    assert any(one.fingerprint in said for one in expected)
    assert stranger.asked == []


@pytest.mark.parametrize(
    "host_keys",
    [[], [("ssh-dss", "AAAA")], [("ssh-ed25519", "no key")], [("ssh-ed25519", "AAAA")]],
    ids=["none", "an unknown kind", "not base64", "cut off"],
)
def test_without_a_host_key_to_check_nobody_is_called(site, host_keys):
    """A machine that published no usable host key is not even dialled."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        machine = site.machine(site.vm(boot=False), host_keys=host_keys, port=port)
        with pytest.raises(HostKeyMismatch, match="published no host key"):
            machine.run("true", timeout=1)
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_one_of_its_host_keys_is_enough(site, shared_vm, shared_site, kind):
    """A machine that has several host keys is known by the one that we have."""
    key = (kind, shared_vm.host_keys()[kind])
    machine = shared_site.machine(shared_vm, host_keys=[("ssh-dss", "AAAA"), key])
    assert machine.run("true", timeout=5).code == 0


def test_the_users_own_settings_play_no_part(shared_site, shared_vm, tmp_path, monkeypatch):
    """Neither ~/.ssh, nor fabric's files, nor an agent has a say in how a machine is reached."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n  Port 1\n  User nobody\n")
    (tmp_path / ".ssh" / "known_hosts").write_text(f"{shared_vm.address} ssh-ed25519 AAAA\n")
    (tmp_path / ".fabric.yaml").write_text("gateway: 'false'\nforward_agent: true\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(tmp_path / "agent"))
        agent.listen()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        machine = shared_site.machine(shared_vm)
        assert machine.run("true", timeout=5).code == 0
        agent.settimeout(0)
        with pytest.raises(BlockingIOError):
            agent.accept()


# Waiting for a machine


def test_waiting_ends_with_the_first_login(site):
    """A port that is still closed and a key that is not there yet are waited for."""
    vm = site.vm(boot=False)
    vm.authorize("")
    with soon(vm.boot, 0.3), soon(lambda: vm.authorize(f"jupyter:{site.public_key}"), 1):
        site.machine(vm).wait(20)


def _chatter(listener):
    """Greets for ever, a line at a time, and never comes to the point."""
    with contextlib.suppress(OSError):
        link, _ = listener.accept()
        while True:
            link.send(b"please hold the line\r\n")
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ("nobody", "Connection refused"),
        ("mute", "did not finish a login within 0.6 s"),
        ("chatty", "did not finish a login within 0.6 s"),
        ("deaf", "Authentication failed"),
    ],
)
def test_waiting_ends_with_its_deadline(site, answers, said):
    """A machine that lets nobody in is lost once the deadline is over, and why is said."""
    vm = site.vm(boot=False)
    with contextlib.ExitStack() as stack:
        if answers in ("mute", "chatty"):
            listener = stack.enter_context(socket.create_server((vm.address, 22)))
            if answers == "chatty":
                threading.Thread(target=_chatter, args=[listener], daemon=True).start()
        elif answers == "deaf":
            vm.authorize("")
            vm.boot()
            vm.wait_for_ssh()
        machine = site.machine(vm, replace(QUICK, login=0.6))
        with ends_within(2), pytest.raises(MachineLost, match="words-1-ab") as caught:
            machine.wait(0.5)
    assert said in str(caught.value)


# Losses


def _touched(path):
    path.touch()
    return path


def _calls(tmp_path):
    os.truncate(_touched(tmp_path / "large"), 10 << 30)  # takes no disk
    return {
        "run": lambda machine: machine.run("sleep 3", timeout=1),
        "put": lambda machine: machine.put(tmp_path / "large", "large"),
        "get": lambda machine: machine.get("zeros", tmp_path / "back", 1 << 40),
    }


@pytest.mark.parametrize("call", ["run", "put", "get"])
@pytest.mark.parametrize("fault", ["power_cut", "freeze", "blackhole"])
def test_a_machine_that_falls_silent_holds_nobody(site, tmp_path, capfd, fault, call):
    """A power cut, a frozen machine and a dead network end each call within its bounds, with one
    exception and nothing on the screen."""
    vm = site.vm()
    machine = site.machine(vm)
    machine.run("truncate -s 1T zeros", timeout=5)
    before = threading.active_count()
    with (
        soon(getattr(vm, fault)),
        ends_within(4),
        pytest.raises(ConnectionError, match="words-1-ab"),
    ):
        _calls(tmp_path)[call](machine)
    assert threading.active_count() <= before
    assert not (tmp_path / "back").exists()
    assert capfd.readouterr() == ("", "")


def test_a_dead_network_is_noticed_long_before_a_command_is_due(site):
    """Without any traffic of its own, a connection whose packets vanish is known to be dead."""
    vm = site.vm()
    machine = site.machine(vm)
    with soon(vm.blackhole), ends_within(4), pytest.raises(ConnectionError, match="broke"):
        machine.run("sleep 60", timeout=60)


@pytest.mark.parametrize("fault", ["freeze", "blackhole"])
def test_the_next_call_connects_anew(site, fault):
    """A machine that was lost is reached again by the next call once it answers again; until
    then each call ends within its bounds."""
    vm = site.vm()
    machine = site.machine(vm)
    machine.run("echo kept >file", timeout=5)
    getattr(vm, fault)()
    for _ in range(2):
        with ends_within(5), pytest.raises(ConnectionError):
            machine.run("true", timeout=0.2)
    vm.thaw()
    assert machine.run("cat file", timeout=5).stdout == b"kept\n"


def test_a_server_may_drop_the_connection_as_often_as_it_likes(site, tmp_path):
    """After each loss the next call works, and every byte of a log still arrives."""
    vm = site.vm()
    machine = site.machine(vm)
    machine.run("seq 100000 >log", timeout=5)
    read = b""
    for _ in range(3):
        done = machine.run(f"tail -c +{len(read) + 1} log | head -c 200000", timeout=5)
        read += done.stdout
        with pytest.raises(ConnectionError):
            machine.run("kill -9 $(pgrep -f '^sshd: jupyter')", timeout=5)
    assert read == b"".join(b"%d\n" % n for n in range(1, 100001))[: len(read)]
    assert len(read) == 588_895


def test_a_machine_that_rebooted_is_reached_again(site):
    """A connection that died unnoticed between two calls costs at most one of them."""
    vm = site.vm()
    machine = site.machine(vm)
    machine.run("true", timeout=5)
    vm.power_cut()
    vm.boot()
    vm.wait_for_ssh()
    with contextlib.suppress(ConnectionError):
        machine.run("true", timeout=5)
    assert machine.run("exit 4", timeout=5).code == 4


def test_a_transfer_that_crawls_is_given_up():
    """A machine that sends a byte now and then, to be waited for, is cut off all the same."""
    ours, theirs = socket.socketpair()
    with ours, theirs, Watchdog(ours, 0.3) as watchdog:
        with ends_within(0.5):
            while not watchdog.fired:
                watchdog.feed(1)
                time.sleep(0.05)
        assert ours.recv(1) == b""
    with ours, theirs, Watchdog(ours, 0.3) as watchdog:
        for _ in range(5):
            watchdog.feed(SLOWEST)
            time.sleep(0.1)
        assert not watchdog.fired


def _open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_printing_buys_a_command_no_time():
    """Output does not put off the moment at which a command's connection is cut."""
    ours, theirs = socket.socketpair()
    with ours, theirs, Watchdog(ours, 0.3, AT_ONCE) as watchdog, ends_within(0.5):
        while not watchdog.fired:
            watchdog.feed(1 << 20)
            time.sleep(0.05)


def test_closing_leaves_nothing(site):
    """After `close`, also after a failed login, no thread, socket or process of ours is left."""
    vm = site.vm()
    before = threading.active_count(), _open_files()
    machine = site.machine(vm)
    machine.run("true", timeout=5)
    machine.close()
    machine.close()
    with pytest.raises(HostKeyMismatch):
        stranger = [("ssh-ed25519", site.public_key.split()[1])]
        site.machine(vm, host_keys=stranger).run("true", timeout=5)
    vm.authorize("")
    with pytest.raises(ConnectionError):
        machine.run("true", timeout=5)
    assert (threading.active_count(), _open_files()) == before


# Through a proxy command


def _children():
    return Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()


@pytest.fixture
def relay(tmp_path):
    """A proxy command that starts a relay as its child, as wrapper scripts do."""
    (tmp_path / "relay.py").write_text(RELAY)
    return f"sh -c '{sys.executable} {tmp_path}/relay.py %h %p; exit 3'"


def test_a_machine_is_reached_through_a_proxy_command(shared_site, shared_vm, relay, tmp_path):
    """Commands and files pass through a proxy, whose processes end with the connection."""
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


def test_a_proxy_that_ends_is_a_lost_connection(shared_site, shared_vm, relay, tmp_path):
    """A proxy that dies ends the call at once, and the next call starts another; one that freezes
    ends it within its bounds."""
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


def test_what_a_proxy_complains_about_is_said(site):
    """The last line of a proxy's errors is part of the sentence; one that does not exist is a
    fault of the settings, not of the machine."""
    vm = site.vm(boot=False)
    command = "sh -c 'echo WARNING >&2; echo \"ERROR: not authorized for $0\" >&2; exit 1' %h"
    with pytest.raises(MachineLost, match=f"ERROR: not authorized for {vm.address}"):
        site.machine(vm, proxy_command=command).wait(0.3)
    with pytest.raises(ConfigError, match="no-such-proxy"):
        site.machine(vm, proxy_command="no-such-proxy %h").wait(5)
