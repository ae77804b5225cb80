"""The story of one retraining, on one screen."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from launcher.config import loading as configs
from launcher.console import Screen
from launcher.errors import ConfigError, Interrupted, LauncherError, NotNow
from launcher.jobs.local_build import translated
from launcher.retrain import fingerprint, notify, recordings
from launcher.retrain.events import Verdict
from launcher.retrain.history import History
from launcher.retrain.retraining import Retraining


def retrain(
    path: Path,
    overrides: tuple[str, ...] = (),
    *,
    force: bool = False,
    scheduled: datetime | None = None,
    expect: str = "",
    screen: Screen,
) -> dict[str, Any]:
    """Retrain the model of a config: its run as JSON values, with `verdict` and `exit_code`.

    A config file with another SHA-256 than `expect` makes the run fail. The same call begins a run,
    or resumes one that was killed: nothing that the history has is done again. Raises UsageError
    if config, history or champion cannot be used; NotNow while another launcher retrains this
    model, and Interrupted: the next call then resumes the run.
    """
    config = configs.load(path, overrides)
    notify.check(config.retrain)
    scanned = recordings.scan(config.data.folder)
    with History.lock(config.name) as history, translated():
        listing = recordings.read(config.data.folder, scanned, history.folder, screen)
        inputs = fingerprint.take(config, listing)
        retraining = Retraining(config, listing, inputs, history, screen)
        retraining.recover()
        time = scheduled.astimezone(UTC).isoformat() if scheduled else ""
        edited = expect not in ("", configs.digest(path))
        if found := retraining.find_scheduled(time) or retraining.find_unchanged(force or edited):
            return found
        retraining.begin(time)
        try:
            retraining.end(_run_steps(retraining, path if edited else None))
        except (Interrupted, NotNow):
            raise
        except (LauncherError, OSError) as error:
            retraining.fail(error)
        except Exception as error:  # a bug: notified like other failures, with its traceback shown
            retraining.fail(LauncherError(repr(error)))
            retraining.notify()
            raise
        retraining.notify()
        return retraining.result


def _run_steps(retraining: Retraining, edited: Path | None) -> Verdict:
    """Check, train, compare, promote. A resumed run whose challenger was compared is only promoted.
    Raises ConfigError for a config that was `edited` before that."""
    from launcher.retrain import steps

    compared = bool(retraining.run.comparison)
    if edited and not compared:
        hint = "add the schedule again: launcher schedule add CONFIG --cron EXPRESSION --replace"
        raise ConfigError(f"{edited} was edited since it was scheduled", hint)
    with translated():
        if not compared:
            steps.check(retraining)
            steps.compare(retraining, steps.train(retraining))
        return steps.promote(retraining)
