"""A folder to work in, the launcher as a command there, and what it left."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from launcher.jobs import ledger, records
from launcher.jobs.events import Created
from launcher.jobs.package import artefacts
from launcher.jobs.plan import Plan
from launcher.machines.local import BELONGS_TO

CONFIGS = Path(__file__).parents[2] / "configs"
QUICKSTART = CONFIGS / "quickstart.toml"
# A real training, but the shortest that has every part.
SMALL = (
    "--set=data.synthetic_clips=60",
    "--set=words.unknown_percentage=50",  # so that there are enough to judge by
    "--set=train.how_many_training_steps=40",
    "--set=train.learning_rate=0.001",
    "--set=train.eval_step_interval=20",
)
PATIENCE = 240  # seconds for anything here; reached only where something hangs


class Workspace:
    """A folder to work in, with machines of its own. With `forks`, a ForkServer, its launchers
    start with everything imported."""

    forks = None

    def __init__(self, folder, environment=None):
        self.folder = folder
        self.environment = {
            **os.environ,
            "XDG_STATE_HOME": str(folder / "state"),
            **(environment or {}),
        }

    def seen_from(self, folder):
        """The same launchers and machines, from another working directory."""
        other = Workspace(folder)
        other.environment, other.forks = self.environment, self.forks
        return other

    def start(self, *arguments):
        """The launcher in the background."""
        if self.forks:
            return self.forks.start(self.folder, self.environment, *arguments)
        return self.start_program(*arguments)

    def start_program(self, *arguments):
        """The launcher as a user starts it, in the background."""
        return subprocess.Popen(
            [sys.executable, "-c", "from launcher.cli import main; main()", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments):
        """The launcher to its end: exit code, standard output, standard error."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, out, err

    def job(self, name):
        """What a job's ledger says."""
        return ledger.read(self.folder / "runs" / name)

    def wait_for(self, name, phase):
        """Return as soon as the job's ledger says that `phase` began."""
        self.wait(lambda: any(r.get("phase") == phase for r in self._records(name)), phase)

    def wait(self, condition, what="it"):
        """Return as soon as `condition` holds, and what it then was."""
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert time.monotonic() < deadline, f"{what} never came"
            time.sleep(0.005)
        return found

    def machines(self):
        """Names of the machines that exist on this computer."""
        return [path.name for path in (self.folder / "state").glob("*/machines/*")]

    def processes(self):
        """Processes of this workspace's machines."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(BELONGS_TO, "").startswith(str(self.folder)):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def commands(self):
        """The command line of each process of this workspace's machines."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):  # it has ended meanwhile
                found.append(" ".join(process.cmdline()))
        return found

    def begin(self, plan):
        """The folder of a job whose launcher was killed right after its first record."""
        folder = self.folder / "runs" / plan["job"]
        ledger.Ledger.create(folder, Created(Plan.from_json(plan), uid="abcd", pid=0)).close()
        return folder

    def _records(self, name):
        return records.read(self.folder / "runs" / name / ledger.FILE)


def change_plan(folder, change):
    """Let a job that has only begun have another plan: `change` is given it to be changed."""
    path = folder / ledger.FILE
    created = json.loads(path.read_text())
    change(created["plan"])
    path.write_text(json.dumps(created) + "\n")


def without_training(plan, past):
    """`plan` as that of a job words-1 whose machine steps take a second and leave what the
    finished job in the folder `past` left."""
    steps = {
        "set up": "echo ready",
        "train": "mkdir -p train; sleep 1; for i in labels.txt metrics.json test_features.npz; "
        "do cp past/$i train/; done; echo 'Step #40/40: rate 0.001'",
        "freeze": "cp past/*.pb results/",
    }
    return plan | {"job": "words-1", "upload": {"past": str(past)}, "steps": steps}


def digests(folder):
    """The SHA-256 of everything that must be the same in two jobs of one config."""
    names = [name for name in artefacts(folder) if name != "training.log"]
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
