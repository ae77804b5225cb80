import contextlib
import os
import shutil
import signal
import subprocess
import time

import psutil
import pytest
from tiny_training import VM_STARTUP

SCRIPT = (VM_STARTUP / "startup.sh").read_text()
IDLE_SECONDS = 1.2


def can_make_namespaces():
    if not shutil.which("bwrap"):
        return False
    done = subprocess.run(["bwrap", "--dev-bind", "/", "/", "--unshare-pid", "true"], check=False)
    return done.returncode == 0


pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="bwrap makes no namespace here")


class Guest:
    """A machine of a few processes with its own /run; poweroff creates a file."""

    def __init__(self, folder):
        self.work, self.off, self.tools = folder / "work", folder / "off", folder / "tools"
        self.init, self.folder = "/bin/bash", folder
        self.tools.mkdir()
        self.tool("poweroff", f"echo off >>{self.off}")

    def tool(self, name, script):
        """Add a command to the machine."""
        (self.tools / name).write_text(f"#!/bin/bash\n{script}\n")
        (self.tools / name).chmod(0o755)

    @contextlib.contextmanager
    def boot(self, then="true"):
        """Boot, run the start-up script and another command, and stay up until the block ends."""
        first, rest = SCRIPT.split("\n", 1)
        assignments = f"IDLE_MINUTES={IDLE_SECONDS / 60:.4f}\nWORK={self.work}\n"
        (self.folder / "startup").write_text(f"{first}\n{assignments}{rest}")
        booted = self.folder / "booted"
        command = f"bash {self.folder}/startup && {then}; touch {booted}; sleep 1000"
        namespace = ["bwrap", "--dev-bind", "/", "/", "--tmpfs", "/run", "--proc", "/proc"]
        namespace += ["--unshare-pid", "--die-with-parent", "--as-pid-1", "--"]
        environment = os.environ | {"PATH": f"{self.tools}:{os.environ['PATH']}"}
        with subprocess.Popen([*namespace, self.init, "-c", command], env=environment) as guest:
            try:
                wait_for(booted)
                yield guest
            finally:
                guest.kill()

    @property
    def is_off(self):
        return self.off.exists()


def wait_for(path, seconds=20):
    """Wait until a file is there."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path.name}"
        time.sleep(0.02)


@pytest.fixture
def guest(tmp_path):
    """A machine that is powered off."""
    return Guest(tmp_path)


def run_folder(guest, pid, **files):
    """A run folder as the launcher makes it."""
    folder = guest.work / "run-1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pid").write_text(f"{pid}\n")
    for name, text in files.items():
        (folder / name).write_text(text)


def test_idle_machine_powers_off(guest):
    """It powers off without a launcher and a job, even without a work folder."""
    with guest.boot():
        began = time.monotonic()
        wait_for(guest.off)
        assert time.monotonic() - began > IDLE_SECONDS * 0.5


def test_heartbeat_keeps_the_machine_on(guest):
    """Each touch of the heartbeat restarts the idle time, whatever its timestamp."""
    guest.work.mkdir()
    with guest.boot():
        for hour in range(12):
            heartbeat = guest.work / "heartbeat"
            heartbeat.touch()
            os.utime(heartbeat, (time.time() + 3600 * (-1) ** hour,) * 2)
            time.sleep(IDLE_SECONDS / 6)
        assert not guest.is_off
        wait_for(guest.off)


def test_running_job_keeps_the_machine_on(guest):
    """A running job needs no launcher; the idle time starts when it ends."""
    job = f"cd {guest.work} && mkdir run-1 && echo $BASHPID >run-1/pid && sleep 2.5"
    guest.work.mkdir()
    with guest.boot(f"{{ ({job}) & }}"):
        time.sleep(IDLE_SECONDS * 1.5)
        assert not guest.is_off
        wait_for(guest.off)


@pytest.mark.parametrize("files", [{"exit": "0"}, {}], ids=["ended", "other process"])
def test_ended_job_does_not_keep_the_machine_on(guest, files):
    """A run with an exit code, or whose number is now another process's, does not count."""
    run_folder(guest, 1, **files)
    with guest.boot():
        wait_for(guest.off)


def test_frozen_time_does_not_count_as_idle(guest):
    """A thawed machine leaves its launcher time to reconnect."""
    with guest.boot() as process:
        frozen = [process, *psutil.Process(process.pid).children(recursive=True)]
        for part in frozen:
            part.send_signal(signal.SIGSTOP)
        time.sleep(IDLE_SECONDS * 1.5)
        for part in frozen:
            part.send_signal(signal.SIGCONT)
        time.sleep(IDLE_SECONDS * 0.3)
        assert not guest.is_off
        wait_for(guest.off)


def test_startup_script_starts_one_watch(guest):
    """A second run of the script starts no second watch."""
    again = f"bash {guest.folder}/startup && sleep 0.3"
    with guest.boot(f"{again} && {again}") as process:
        commands = [p.cmdline() for p in psutil.Process(process.pid).children(recursive=True)]
        assert len([c for c in commands if c[-1].endswith("dead_man.sh")]) == 1


def test_systemd_restarts_the_watch(guest):
    """With systemd the watch is a service that is restarted, and is created once."""
    guest.init = shutil.copy("/bin/bash", guest.folder / "systemd")
    made = guest.folder / "made"
    guest.tool("systemctl", f"[ -e {made} ]")
    guest.tool("systemd-run", f'echo "$*" >>{made}; while [[ $1 == -* ]]; do shift; done; "$@" &')
    with guest.boot(f"bash {guest.folder}/startup"):
        wait_for(guest.off)
    assert made.read_text() == (
        "--quiet --collect --unit=micro-speech-dead-man --property=Restart=always "
        "bash /run/micro-speech/dead_man.sh\n"
    )
