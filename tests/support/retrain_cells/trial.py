"""One retraining that is killed several times, and the checks of what it leaves."""

import json
import random
import shutil
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from leak_cells import ForkServer
from workspace import QUICKSTART, Workspace

from launcher.errors import LauncherError
from launcher.jobs import ledger, records
from launcher.retrain import history, versions
from retrain_cells.challengers import Challengers

NAME = "quickstart"
# The model's champion before, the challenger, and the verdict.
KINDS = {
    "the first": ("", "good", "promoted"),
    "a better": ("bad", "good", "promoted"),
    "a worse": ("good", "bad", "kept"),
    "an equal": ("good", "good", "kept"),
}
# Records after which the launcher is killed, and within how many seconds, which is about the time
# of its next step.
MARKS = {
    "nothing": 0.5,
    "run begun": 0.2,
    "job assigned": 0.2,
    "machine requested": 0.2,
    "phase begun train": 0.4,
    "phase begun freeze": 0.3,
    "results pulled": 0.2,
    "phase begun convert": 0.2,
    "phase done report": 1.0,
    "challenger compared": 0.05,
    "run ended": 0.02,
}
END_SECONDS = 120
# What the forked launchers have imported already; TensorFlow only for its reader of models.
WARM = (
    *("launcher.cli", "launcher.config.data_checks"),
    *("launcher.jobs.control", "launcher.jobs.pipeline"),
    *(f"launcher.retrain.{name}" for name in ("pipeline", "compare", "notify")),
    *("psutil", "scipy.optimize", "scipy.stats", "tensorflow", "leak_cells.injection"),
)


@dataclass
class Outcome:
    """The result of a trial: counts of failures, and how often the launcher was killed."""

    kind: str
    kills: int = 0
    wrong_promotions: int = 0
    lost_champions: int = 0
    incomplete_versions: int = 0
    machines_left: int = 0
    other_failures: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there was no failure."""
        counts = (
            self.wrong_promotions,
            self.lost_champions,
            self.incomplete_versions,
            self.machines_left,
        )
        return not any(counts) and not self.other_failures


def prepare(fork_server: ForkServer, challengers: Challengers, folder: Path) -> dict[str, Path]:
    """Working directories whose model has no champion, the bad one, or the good one."""
    workspaces = {"": folder / "none"}
    workspaces[""].mkdir(parents=True)
    for name in ("bad", "good"):
        workspaces[name] = folder / name
        workspaces[name].mkdir()
        fault = {"reference": str(getattr(challengers, name)), "whole": True}
        first = fork_server.launch(
            workspaces[name],
            Workspace(workspaces[name]).environment,
            "retrain",
            str(QUICKSTART),
            fault=fault,
        )
        if not first.wait() or first.code:
            raise RuntimeError((workspaces[name] / "err").read_text())
    return workspaces


class Trial:
    """A trial in its own working directory; `seed` decides the times of the kills."""

    def __init__(
        self,
        kind: str,
        seed: int,
        fork_server: ForkServer,
        challengers: Challengers,
        workspaces: dict[str, Path],
        at: Path,
    ) -> None:
        champion, challenger, self.verdict = KINDS[kind]
        shutil.copytree(workspaces[champion], at, symlinks=True)
        self.workspace = Workspace(at)
        self.model = at / history.MODELS / NAME
        self.before = versions.current(self.model)
        self.after = (
            "" if self.verdict == "kept" else f"v{len(versions.all_versions(self.model)) + 1}"
        )
        self._past = str(getattr(challengers, challenger))
        self._fork_server, self._random = fork_server, random.Random(seed)
        self._before = self._marks()
        self.outcome = Outcome(kind)

    def play(self, most: int = 4) -> Outcome:
        """Kill the launcher up to `most` times, let one finish, and check the result."""
        for _ in range(self._random.randint(1, most)):
            launched = self._launch()
            if not self._kill(launched):
                break
            self.outcome.kills += 1
            self._check()
        for _ in range(3):  # a launcher whose lock is not free yet ends with exit code 5
            launched = self._launch()
            if not launched.wait(END_SECONDS) or launched.code != 5:
                break
        if launched.code:
            self._fail(f"exit code {launched.code}: {(self.workspace.folder / 'err').read_text()}")
        self._check()
        self._check_the_end()
        return self.outcome

    def _launch(self):
        return self._fork_server.launch(
            self.workspace.folder,
            self.workspace.environment,
            *("retrain", str(QUICKSTART), "--set=train.seed=7", "--json"),
            fault={"reference": self._past, "whole": True},
        )

    def _kill(self, launched) -> bool:
        """Kill the launcher soon after one of its records; False if it ended before."""
        mark, within = self._random.choice(list(MARKS.items()))
        delay = self._random.random() * within
        while not launched.wait(0.005) and mark != "nothing":
            if self._marks()[mark] > self._before[mark]:
                break
        time.sleep(delay)
        launched.signal(signal.SIGKILL)
        return launched.wait(END_SECONDS) and launched.code == -signal.SIGKILL

    def _marks(self) -> Counter:
        """How many records of each kind there are, over all runs of this model."""
        path = self.model / history.FILE
        found = records.read(path)
        for run in history.fold(found, path).runs:
            found += records.read(self.workspace.folder / run.job / ledger.FILE) if run.job else []
        return Counter(f"{r['event']} {r.get('phase', '')}".strip() for r in found)

    def _check(self) -> None:
        """The champion is the old one or the new one, and every version is complete."""
        try:
            current = versions.current(self.model)
        except LauncherError as error:
            self._fail(str(error))
            current = "?"
        self.outcome.lost_champions += bool(self.before) and current in ("", "?")
        self.outcome.wrong_promotions += current not in (self.before, self.after, "?")
        for path in self.model.glob("v*"):
            try:
                versions.verify(self.model, path.name)
            except LauncherError as error:
                self.outcome.incomplete_versions += 1
                self._fail(str(error))

    def _check_the_end(self) -> None:
        path = self.model / history.FILE
        runs = history.fold(records.read(path), path).runs
        current = versions.current(self.model)
        self.outcome.wrong_promotions += current != (self.after or self.before)
        self.outcome.machines_left += len(self.workspace.machines()) + len(
            self.workspace.processes()
        )
        if [run.verdict for run in runs[1:] or runs] != [self.verdict]:
            self._fail(f"verdicts {[run.verdict for run in runs]}")
        if runs[-1].version != self.after or not runs[-1].notified:
            self._fail(f"the last run says {runs[-1]}")
        if left := [path.name for path in self.model.glob(".*")]:
            self._fail(f"left behind: {left}")
        log = (self.workspace.folder / runs[-1].job / "training.log").read_text()
        if log.count("== train ==") != 1:
            self._fail("there were two trainings")

    def _fail(self, sentence: str) -> None:
        self.outcome.other_failures.append(f"{sentence} ({json.dumps(str(self.workspace.folder))})")
