"""A model in the hands of a launcher that retrains it: what its history says, and is told."""

import contextlib
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from launcher.config.settings import Config
from launcher.console import Screen
from launcher.errors import ConfigError, LauncherError, OverBudget, describe
from launcher.retrain import fingerprint, history, run_job, versions
from launcher.retrain.fingerprint import Fingerprint
from launcher.retrain.history import History, Run


@dataclass
class Retraining:
    """One call of `launcher retrain`, with the model's history held."""

    config: Config
    seen: Fingerprint
    past: History
    screen: Screen

    @property
    def model(self) -> Path:
        """The folder of its versions."""
        return self.past.folder

    @property
    def run(self) -> Run:
        """The last run, as the history has it."""
        return self.past.runs[-1]

    @property
    def record(self) -> dict:
        """The last run for scripts, webhooks and the screen."""
        return record(self.model, self.run)

    def catch_up(self) -> None:
        """Finish what a killed launcher left between two writes: a roll-back, a message. End its
        run where it cannot be taken up."""
        if intent := self.past.rolling_back:
            before, version = intent["from"], intent["to"]
            versions.roll_back(self.past, before, version)
            done = f"{before or 'no champion'} → {version}"
            self.screen.say(f"{self.model.name}: a roll-back that was stopped is finished, {done}")
        if self.past.unfinished and (edits := self._edits()):
            what = f"the config was edited while this run was stopped: {'; '.join(edits)}"
            self.screen.say(f"run {self.run.run} of {self.model.name} failed: {what}")
            self.fail(ConfigError(what, "another run begins with what it says now"))
        if self.past.runs and self.run.verdict and not self.run.told:
            self.tell()

    def _edits(self) -> list[str]:
        """What the config says otherwise than when the last run began, unless that has decided:
        then nothing more is made with it. Its job is another config's."""
        return [] if self.run.comparison else self.seen.edits(self.run.fingerprint)

    def answered(self, scheduled: str) -> dict | None:
        """The run of this scheduled time, if it came to a verdict on its challenger."""
        found = [run for run in self.past.runs if scheduled and run.scheduled == scheduled]
        done = history.last_done(found)
        return record(self.model, done) if done else None

    def unchanged(self, force: bool) -> dict | None:
        """What to answer where there is nothing to do; None where there is. Raises UsageError
        where the champion is lost, or a newer launcher's."""
        champion = versions.champion(self.model, self.past.runs)
        done = history.last_done(self.past.runs)
        if force or not done or self.past.unfinished:
            return None
        if done.fingerprint["digest"] != self.seen.digest:
            return None
        return record(self.model, done) | {"verdict": "unchanged", "champion": champion}

    def begin(self, scheduled: str) -> None:
        """Write down that a run begins, or take up the one that was killed."""
        if self.past.unfinished:
            self.screen.say(f"run {self.run.run} of {self.model.name} goes on")
            return
        done = history.last_done(self.past.runs)
        changes = self.seen.changes(self.model, done.fingerprint if done else {})
        self.seen.remember(self.model)
        self.past.append(
            "begun",
            run=1 + max((run.run for run in self.past.runs), default=0),
            scheduled=scheduled,
            champion=versions.current(self.model),
            fingerprint=self.seen.to_json(),
            changes=changes or ["nothing"],
        )

    def note(self, event: str, **facts: object) -> None:
        """Write down something about the present run."""
        self.past.append(event, run=self.run.run, **facts)

    def end(self, verdict: str, error: LauncherError | None = None) -> None:
        """Write down the verdict, and what the run cost."""
        facts = {"reasons": self.run.comparison.get("reasons", [])}
        if error:
            facts = {"error": str(error), "hint": error.hint, "exit_code": error.exit_code}
            facts["reasons"] = [str(error)]
            with contextlib.suppress(LauncherError):  # what is still owed the next run gives back
                run_job.delete_machine(self.run)
        cost_usd, delivery = run_job.cost_usd(self.past.runs), str(uuid.uuid4())
        self.note("ended", verdict=verdict, cost_usd=cost_usd, delivery=delivery, **facts)
        if verdict in history.DONE:
            fingerprint.forget(self.model, self.run.fingerprint["clips_digest"])

    def fail(self, error: LauncherError | OSError) -> None:
        """Write down that the run came to no verdict on its challenger, and why."""
        if isinstance(error, OSError):
            error = LauncherError(describe(error))
        self.end("over budget" if isinstance(error, OverBudget) else "failed", error)

    def tell(self) -> None:
        """Tell the verdict to whom the config names. A launcher that is killed meanwhile tells it
        again, under the same `delivery`."""
        from launcher.retrain import notify

        event = {"event": self.run.verdict, **self.record}
        untold = notify.tell(self.config.retrain, event)
        for failure in untold:
            self.screen.say(failure)
        self.note("told", told=True, untold=untold)


def record(model: Path, run: Run) -> dict:
    """One run as plain JSON values."""
    return {"model": model.name, "folder": str(model), **asdict(run)}


def utc(moment: datetime | None) -> str:
    """A moment as ISO 8601 in UTC, so that equal moments are equal texts; "" for none."""
    return moment.astimezone(UTC).isoformat() if moment else ""
