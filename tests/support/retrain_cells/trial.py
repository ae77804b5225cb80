"""One retraining that is killed, and what is left of it."""

import json
import random
import shutil
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from desk import QUICKSTART, Desk
from leak_cells import Nursery

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
# What a launcher writes down on its way, and, for as long as what follows takes, when it is killed
# after that, in seconds.
MARKS = {
    "nothing": 0.5,
    "begun": 0.2,
    "job": 0.2,
    "machine requested": 0.2,
    "phase begun train": 0.4,
    "phase begun freeze": 0.3,
    "results pulled": 0.2,
    "phase begun convert": 0.2,
    "phase done report": 1.0,
    "decided": 0.05,
    "ended": 0.02,
}
END_SECONDS = 120
# What a nursery of retrainings imports; TensorFlow only for its reader of models.
WARM = (
    *("launcher.cli", "launcher.config.data_checks"),
    *("launcher.jobs.control", "launcher.jobs.pipeline"),
    *(f"launcher.retrain.{name}" for name in ("pipeline", "compare", "notify")),
    *("psutil", "scipy.optimize", "scipy.stats", "tensorflow", "leak_cells.strikes"),
)


@dataclass
class Outcome:
    """What came of a trial: counts of what must not be, and how often it was killed."""

    kind: str
    kills: int = 0
    wrong_promotions: int = 0
    lost_champions: int = 0
    half_versions: int = 0
    machines_left: int = 0
    otherwise: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing was lost, left or wrong."""
        counts = self.wrong_promotions, self.lost_champions, self.half_versions, self.machines_left
        return not any(counts) and not self.otherwise


def prepare(nursery: Nursery, challengers: Challengers, folder: Path) -> dict[str, Path]:
    """Desks whose model has as its champion: none, the bad one, the good one."""
    desks = {"": folder / "none"}
    desks[""].mkdir(parents=True)
    for name in ("bad", "good"):
        desks[name] = folder / name
        desks[name].mkdir()
        past = {"past": str(getattr(challengers, name)), "whole": True}
        first = nursery.launch(
            desks[name], Desk(desks[name]).environment, "retrain", str(QUICKSTART), strike=past
        )
        if not first.wait() or first.code:
            raise RuntimeError((desks[name] / "err").read_text())
    return desks


class Trial:
    """A desk of its own, killed at random instants that `seed` draws."""

    def __init__(
        self,
        kind: str,
        seed: int,
        nursery: Nursery,
        challengers: Challengers,
        desks: dict[str, Path],
        at: Path,
    ) -> None:
        champion, challenger, self.verdict = KINDS[kind]
        shutil.copytree(desks[champion], at, symlinks=True)
        self.desk = Desk(at)
        self.model = at / history.MODELS / NAME
        self.before = versions.current(self.model)
        self.after = "" if self.verdict == "kept" else f"v{len(versions.known(self.model)) + 1}"
        self._past = str(getattr(challengers, challenger))
        self._nursery, self._random = nursery, random.Random(seed)
        self._before = self._marks()
        self.outcome = Outcome(kind)

    def play(self, most: int = 4) -> Outcome:
        """Kill it up to so many times, let it end, and look."""
        for _ in range(self._random.randint(1, most)):
            launched = self._launch()
            if not self._kill(launched):
                break
            self.outcome.kills += 1
            self._look()
        for _ in range(3):  # a launcher whose lock is not free yet says "not now"
            launched = self._launch()
            if not launched.wait(END_SECONDS) or launched.code != 5:
                break
        if launched.code:
            self._say(f"it ended with {launched.code}: {(self.desk.folder / 'err').read_text()}")
        self._look()
        self._look_at_the_end()
        return self.outcome

    def _launch(self):
        return self._nursery.launch(
            self.desk.folder,
            self.desk.environment,
            *("retrain", str(QUICKSTART), "--set=train.seed=7", "--json"),
            strike={"past": self._past, "whole": True},
        )

    def _kill(self, launched) -> bool:
        """Kill the launcher soon after one of its marks; False where it ended before."""
        mark, within = self._random.choice(list(MARKS.items()))
        delay = self._random.random() * within
        while not launched.wait(0.005) and mark != "nothing":
            if self._marks()[mark] > self._before[mark]:
                break
        time.sleep(delay)
        launched.signal(signal.SIGKILL)
        return launched.wait(END_SECONDS) and launched.code == -signal.SIGKILL

    def _marks(self) -> Counter:
        """How often each was written down so far, over all runs of this model."""
        found = records.read(self.model / history.FILE)
        for run in history.fold(found):
            found += ledger.read(self.desk.folder / run.job) if run.job else []
        return Counter(f"{r['event']} {r.get('phase', '')}".strip() for r in found)

    def _look(self) -> None:
        """The champion is the old one or the new one, and every version is whole."""
        try:
            current = versions.current(self.model)
        except LauncherError as error:
            self._say(str(error))
            current = "?"
        self.outcome.lost_champions += bool(self.before) and current in ("", "?")
        self.outcome.wrong_promotions += current not in (self.before, self.after, "?")
        for path in self.model.glob("v*"):
            try:
                versions.check(self.model, path.name)
            except LauncherError as error:
                self.outcome.half_versions += 1
                self._say(str(error))

    def _look_at_the_end(self) -> None:
        runs = history.fold(records.read(self.model / history.FILE))
        current = versions.current(self.model)
        self.outcome.wrong_promotions += current != (self.after or self.before)
        self.outcome.machines_left += len(self.desk.machines()) + len(self.desk.processes())
        if [run.verdict for run in runs[1:] or runs] != [self.verdict]:
            self._say(f"verdicts {[run.verdict for run in runs]}")
        if runs[-1].version != self.after or not runs[-1].told:
            self._say(f"the last run says {runs[-1]}")
        if left := [path.name for path in self.model.glob(".*")]:
            self._say(f"left behind: {left}")
        log = (self.desk.folder / runs[-1].job / "training.log").read_text()
        if log.count("== train ==") != 1:
            self._say("it was trained again")

    def _say(self, sentence: str) -> None:
        self.outcome.otherwise.append(f"{sentence} ({json.dumps(str(self.desk.folder))})")
