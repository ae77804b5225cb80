"""Machines that are folders on this computer: every step for real, no cloud, no cost."""

import contextlib
import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from launcher import state
from launcher.config.settings import Config
from launcher.machines import base
from launcher.machines.base import Completed, Listing, MachineInfo, MachinePlan, MachineSpec

if TYPE_CHECKING:
    import psutil

# Every process of a machine has the machine's folder in its environment, so that all of them can be
# found and ended, also those that left their parent's process group.
BELONGS_TO = "MICRO_SPEECH_MACHINE"
LABELS = "machine.json"


class LocalMachine(base.Machine):
    """A folder, and the processes that were started in it."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.folder = folder
        self.work = folder / "work"

    def run(self, command: str, *, timeout: float) -> Completed:
        self._reach()
        environment = {
            **os.environ,
            BELONGS_TO: str(self.folder),
            "PYTHON": sys.executable,
            "TMPDIR": str(self.folder / "tmp"),  # so that temporary files are deleted too
        }
        # In a session of its own, so that a Ctrl-C in the terminal reaches only the launcher.
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.work,
            env=environment,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with process:
            try:
                out, err = process.communicate(timeout=timeout)
            except BaseException as error:
                # Its children too, also where the shell has ended: they keep the pipes open.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise TimeoutError(f"`{command}` took longer than {timeout:g} s") from None
                raise
        return Completed(process.returncode, out, err)

    def put(self, source: Path, target: str) -> None:
        self._reach()
        place = self.work / target
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, place)

    def get(self, source: str, target: Path, limit: int) -> None:
        facts, place = (self.work / source).lstat(), self.work.resolve() / source
        linked = place.resolve() != place
        if linked or not stat.S_ISREG(facts.st_mode) or facts.st_size > limit:
            raise ValueError(f"no plain file of at most {limit:,} bytes")
        shutil.copyfile(self.work / source, target)

    def close(self) -> None:
        """There is no connection."""

    def _reach(self) -> None:
        if not self.work.is_dir():
            raise ConnectionError(f"{self.folder} was deleted")


class LocalBackend(base.Backend):
    """Machines below one folder of the user's."""

    place = "this computer"

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or state.home() / "machines"

    @classmethod
    def for_config(cls, config: Config) -> Self:
        return cls()

    @classmethod
    def for_plan(cls, plan: MachinePlan, say: base.Say) -> Self:
        return cls()

    @classmethod
    def everywhere(cls, project: str) -> list[Self]:
        return [cls()]

    def plan_machine(self, config: Config, needs_account: bool = True) -> MachinePlan:
        return MachinePlan("local", [""], 0.0, "this computer: no cost", metered=False)

    def create(self, spec: MachineSpec) -> LocalMachine:
        """spec.max_run_seconds is not used: a folder costs nothing, and each command has its bound.

        The folder appears together with its labels, so that `reap` never finds a machine without
        a job.
        """
        if existing := self.connect(spec):
            return existing
        unfinished = self.root / f".{spec.name}"
        for name in ("work", "tmp"):
            (unfinished / name).mkdir(parents=True, exist_ok=True)
        facts = {"labels": spec.labels, "folder": str(spec.folder), "created": time.time()}
        (unfinished / LABELS).write_text(json.dumps(facts), encoding="utf-8")
        unfinished.rename(self.root / spec.name)
        return LocalMachine(self.root / spec.name)

    def connect(self, spec: MachineSpec) -> LocalMachine | None:
        folder = self.root / spec.name
        return LocalMachine(folder) if (folder / "work").is_dir() else None

    def termination_reason(self, spec: MachineSpec) -> str:
        return "" if self.connect(spec) else f"the folder of {spec.name} was deleted"

    def delete(self, name: str, zone: str, unanswered: bool = False) -> str:
        folder = self.root / name
        _end_processes(folder)
        for path in (folder, folder.with_name(f".{name}")):
            _remove(path / "work")
            _remove(path)  # the labels last, so that a removal that was cut off is still listed
        if folder.exists():
            why = "it was created again during its deletion"
            raise FileExistsError(errno.EEXIST, why, str(folder))
        return f"{name} was not found after its deletion"

    def list_machines(self) -> Listing:
        found = []
        for path in sorted(self.root.glob(f"*/{LABELS}")):
            with contextlib.suppress(ValueError):  # cut off while it was written
                facts = json.loads(path.read_text(encoding="utf-8"))
                name = path.parent.name.removeprefix(".")
                found.append(MachineInfo(name, facts["labels"], facts["folder"], facts["created"]))
        return Listing(found, time.time())


def _remove(folder: Path) -> None:
    """Remove a folder, also one with read-only folders in it, as copies of a data set may have."""
    for path, _, _ in os.walk(folder):
        Path(path).chmod(0o700)
    if folder.exists():
        shutil.rmtree(folder)


def _end_processes(folder: Path) -> None:
    """Send SIGTERM, after five seconds SIGKILL, until no process of the machine is left."""
    import psutil

    asked = time.monotonic()
    while processes := [p for p in psutil.process_iter() if _belongs(p, folder)]:
        waited = time.monotonic() - asked
        if waited > 30:
            pids = ", ".join(str(p.pid) for p in processes)
            raise TimeoutError(f"processes {pids} of {folder.name} survive SIGKILL")
        late = waited > 5
        for process in processes:
            try:
                process.kill() if late else process.terminate()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(processes, timeout=1)


def _belongs(process: "psutil.Process", folder: Path) -> bool:
    import psutil

    try:
        ours = process.environ().get(BELONGS_TO) == str(folder)
        return ours and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:  # it has ended, or belongs to another user
        return False
