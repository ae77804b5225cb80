"""A retraining in the hands of this launcher: its config, its inputs, the model's history."""

import contextlib
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from launcher.config.settings import Config
from launcher.console import Screen
from launcher.errors import ConfigError, LauncherError, OverBudget, describe
from launcher.retrain import challenger_job, fingerprint, notify, recordings, rollback, versions
from launcher.retrain.events import Notified, RunBegun, RunEnded, Verdict
from launcher.retrain.fingerprint import Fingerprint
from launcher.retrain.history import History, ModelState, RetrainRun
from launcher.retrain.recordings import Listing

UNCHANGED = "unchanged"  # in place of a verdict, if no run was necessary


@dataclass
class Retraining:
    """One call of `launcher retrain`, with the model's history locked."""

    config: Config
    listing: Listing
    fingerprint: Fingerprint
    history: History
    screen: Screen

    @property
    def model(self) -> Path:
        """The folder of the model."""
        return self.history.folder

    @property
    def state(self) -> ModelState:
        """The model as the history has it now."""
        return self.history.state

    @property
    def run(self) -> RetrainRun:
        """The last run."""
        return self.state.runs[-1]

    @property
    def result(self) -> dict[str, Any]:
        """The last run as JSON values."""
        return to_json(self.model, self.run)

    def recover(self) -> None:
        """Finish what a killed launcher left: a rollback, a notification. Fail its run if the
        config was edited since."""
        if pending := self.state.pending_rollback:
            rollback.set_champion(self.history, pending.old, pending.new)
            change = f"{pending.old or 'no champion'} → {pending.new}"
            self.screen.say(f"{self.model.name}: finished an interrupted rollback, {change}")
        if edits := self._edits():
            reason = f"the config was edited while this run was stopped: {'; '.join(edits)}"
            self.screen.say(f"run {self.run.run} of {self.model.name} failed: {reason}")
            self.fail(ConfigError(reason, "the next run uses the new config"))
        if self.state.runs and self.run.delivery and not self.run.notified:
            self.notify()

    def _edits(self) -> list[str]:
        """What changed in the config since the unfinished run began. Its job has the old config;
        after the comparison the config is not used any more."""
        run = self.state.unfinished
        if not run or run.comparison:
            return []
        return fingerprint.differences(run.fingerprint.config, self.fingerprint.config)

    def find_scheduled(self, scheduled: str) -> dict[str, Any] | None:
        """The run of this scheduled time, if its challenger was compared."""
        runs = [run for run in self.state.runs if run.scheduled == scheduled and run.completed]
        return to_json(self.model, runs[-1]) if scheduled and runs else None

    def find_unchanged(self, force: bool) -> dict[str, Any] | None:
        """The last completed run if nothing changed since; None if there is work to do, or `force`.
        Raises UsageError if the champion is lost, or of another format."""
        champion = versions.champion(self.model, self.state.runs)
        last = self.state.last_completed
        if force or not last or self.state.unfinished or last.fingerprint != self.fingerprint:
            return None
        return to_json(self.model, last) | {"verdict": UNCHANGED, "champion": champion}

    def begin(self, scheduled: str) -> None:
        """Record that a run begins, or resume the one that was killed."""
        if self.state.unfinished:
            self.screen.say(f"run {self.run.run} of {self.model.name} resumes")
            return
        changes = ["the first run"]
        if last := self.state.last_completed:
            before = last.fingerprint
            changes = fingerprint.changes(self.model, before, self.fingerprint, self.listing)
        recordings.save(self.model, self.listing)
        number = 1 + max((run.run for run in self.state.runs), default=0)
        champion = versions.current(self.model)
        changed = tuple(changes or ["nothing"])
        self.history.add(RunBegun(number, self.fingerprint, changed, scheduled, champion))

    def end(self, verdict: Verdict) -> None:
        """Record the verdict after the comparison, and the cost."""
        version = self.run.version if verdict == Verdict.PROMOTED else ""
        self._end(verdict, reasons=tuple(self.run.comparison["reasons"]), version=version)
        recordings.remove_others(self.model, self.run.fingerprint.recordings_digest)

    def fail(self, error: LauncherError | OSError) -> None:
        """Record that the run failed, and why. Deletes its machine; if that fails, the next run
        deletes it."""
        if isinstance(error, OSError):
            error = LauncherError(describe(error))
        with contextlib.suppress(LauncherError):
            challenger_job.delete_machine(self.run)
        verdict = Verdict.OVER_BUDGET if isinstance(error, OverBudget) else Verdict.FAILED
        self._end(verdict, reasons=(str(error),), **error.to_json())

    def _end(self, verdict: Verdict, **facts: Any) -> None:
        cost_usd, delivery = challenger_job.cost_usd(self.state.runs), str(uuid.uuid4())
        number = self.run.run
        self.history.add(RunEnded(number, verdict, cost_usd=cost_usd, delivery=delivery, **facts))

    def notify(self) -> None:
        """Send the verdict to the webhook and the hook. If the launcher is killed meanwhile, the
        next one sends it again, with the same `delivery`."""
        failures = notify.send(self.config.retrain, {"event": self.run.verdict, **self.result})
        for failure in failures:
            self.screen.say(failure)
        self.history.add(Notified(self.run.run, tuple(failures)))


def to_json(model: Path, run: RetrainRun) -> dict[str, Any]:
    """A run as JSON values: for scripts, the webhook and the screen."""
    return {"model": model.name, "folder": str(model), **asdict(run)}
