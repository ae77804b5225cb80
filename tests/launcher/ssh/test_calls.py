"""Commands and files on a machine behind a real SSH server."""

import os
import signal
import stat
import subprocess

import pytest
from fake_gce.vm import FAKETIME, Hardware
from ssh_site import ends_within

from launcher.machines.ssh import machine


def test_new_key_is_private_and_reused(tmp_path):
    """A job's key is an unencrypted ed25519 key that only its owner can read, and is reused."""
    public = machine.new_key(tmp_path)
    assert machine.new_key(tmp_path) == public
    path = tmp_path / "ssh_key"
    done = subprocess.run(["ssh-keygen", "-y", "-f", path], capture_output=True, text=True)
    assert done.stdout.split()[:2] == public.split() and public.startswith("ssh-ed25519 ")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.with_suffix(".pub").read_text() == public + "\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ssh_key", "ssh_key.pub"]


def test_run_returns_exit_code_and_bytes(machine):
    """Exit code and both outputs are unchanged, the input is empty, the work folder is current."""
    done = machine.run(r"printf 'a\0\377\r\n'; printf b >&2; cat; exit 7", timeout=10)
    assert (done.code, done.stdout, done.stderr) == (7, b"a\0\xff\r\n", b"b")
    assert machine.run("pwd; kill -9 $$", timeout=10).code == 128 + signal.SIGKILL
    assert machine.run("pwd", timeout=10).stdout == b"/home/jupyter/micro-speech\n"


def test_run_passes_any_character(machine):
    """Quotes, newlines, dollars and braces reach the machine's Bash as they are."""
    text = 'it\'s "so" $HOME `id` {0} \\n %s ü\n\t!'
    done = machine.run(f"cat <<'END'\n{text}\nEND", timeout=10)
    assert done.stdout.decode() == text + "\n"


def test_long_outputs_do_not_block_each_other(machine):
    """A command that fills both outputs ends, and all bytes arrive."""
    done = machine.run(
        "head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2",
        timeout=20,
    )
    assert (done.code, len(done.stdout), len(done.stderr)) == (0, 3_000_000, 6_000_000)


def test_output_beyond_the_limit_is_refused(machine):
    """A command that prints without end is refused, and the connection stays usable."""
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
    ids=["with a child", "only a child", "outputs closed", "signals ignored"],
)
def test_run_timeout_kills_the_command_and_its_children(machine, command):
    """A command that takes too long raises TimeoutError, and none of its processes is left."""
    with ends_within(0.3), pytest.raises(TimeoutError, match="took longer than 0.3 s"):
        machine.run(command, timeout=0.3)
    assert machine.run("pgrep -f 'sleep [7].5'", timeout=10).stdout == b""


def test_detached_process_survives_the_connection(machine):
    """A process in a session of its own, with its outputs elsewhere, outlives the command."""
    machine.run("setsid -f sleep 8.5 >/dev/null 2>&1 </dev/null", timeout=5)
    machine.close()
    assert machine.run("pkill -f 'sleep [8].5'", timeout=5).code == 0


def test_large_file_is_unchanged_after_put_and_get(machine, tmp_path):
    """Fifty megabytes that do not compress arrive unchanged in both directions."""
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


def test_put_folder_replaces_a_file_or_folder(machine, tmp_path):
    """A folder arrives without caches and with its links resolved; it replaces a file or an older
    folder, and a file replaces it."""
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
def test_get_refuses_all_but_plain_files_within_the_limit(machine, tmp_path, make, error):
    """What is absent, too large or no plain file is refused, and the target is unchanged."""
    machine.run(make, timeout=10)
    (tmp_path / "back").write_text("before")
    with pytest.raises(error):
        machine.get("wanted", tmp_path / "back", limit=10)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("back", "before")]


def test_log_split_within_a_character_keeps_its_bytes(machine):
    """A chunk of a log that ends within a character arrives byte for byte."""
    machine.run("printf 'größer' >log", timeout=5)
    first = machine.run("head -c 3 log", timeout=5).stdout
    rest = machine.run("tail -c +4 log", timeout=5).stdout
    assert first == b"gr\xc3" and (first + rest).decode() == "größer"


def test_put_on_a_full_disk_keeps_the_old_file(site, tmp_path):
    """A file that does not fit raises OSError with the machine's reason; the old one stays."""
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
def test_wrong_clock_on_the_machine_changes_nothing(site, tmp_path, offset):
    """Commands and files work on a machine whose clock is wrong."""
    machine = site.machine(site.vm(Hardware(clock_offset=offset)))
    (tmp_path / "file").write_bytes(b"content")
    machine.put(tmp_path / "file", "file")
    machine.get("file", tmp_path / "back", limit=7)
    with pytest.raises(TimeoutError):
        machine.run("sleep 9", timeout=0.2)
